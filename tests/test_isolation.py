"""Tests never see the user's git, even when a git hook runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.quick import environment


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_repository(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("content")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "-m", "all")
    return folder


def test_a_commit_in_a_temporary_repository_stays_there(tmp_path):
    folder = new_repository(tmp_path / "repository")
    assert git(folder, "log", "--format=%s %an") == "all test\n"
    assert Path(git(folder, "rev-parse", "--show-toplevel").strip()).samefile(folder)


@pytest.mark.slow
def test_tests_in_a_git_hook_leave_the_users_git_alone(tmp_path, root):
    users = new_repository(tmp_path / "users")
    (users / "file").write_text("changed")
    before = git(users, "rev-parse", "HEAD"), (users / ".git/index").read_bytes()
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n")
    hook = {
        "GIT_DIR": str(users / ".git"),
        "GIT_INDEX_FILE": str(users / ".git/index"),
        "GIT_WORK_TREE": str(users),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "HOME": str(home),
    }
    inner = f"{Path(__file__)}::{test_a_commit_in_a_temporary_repository_stays_there.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", inner],
        cwd=root,
        env=os.environ | hook,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    assert before == (git(users, "rev-parse", "HEAD"), (users / ".git/index").read_bytes())


def test_quick_passes_on_no_git_variable_of_a_hook(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / ".git/index"))
    assert not [name for name in environment(tmp_path) if name.startswith("GIT_")]
