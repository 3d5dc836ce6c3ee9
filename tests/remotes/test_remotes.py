"""Push to and pull from every kind of remote, against servers on loopback (rclone)."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
USER, PASSWORD = "someone", "a-long-secret"
CONTENT = os.urandom(200_000)


def dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    home = folder.parent / "home"
    env = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "HOME": str(home),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=200
    )


def check(folder: Path, *arguments: str) -> str:
    done = dvc(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(kind: str, folder: Path, *options: str):
    """rclone serving `folder`; yields the port."""
    port = free_port()
    command = [BIN / "rclone", "serve", kind, folder, "--addr", f"127.0.0.1:{port}", *options]
    with open(folder.parent / "server.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                assert server.poll() is None, (folder.parent / "server.log").read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield port
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def project(tmp_path) -> Path:
    """A small DVC project with a tracked model, and a folder for a server."""
    (tmp_path / "home").mkdir()
    (tmp_path / "served" / "bucket" / "dvc").mkdir(parents=True)
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models/agent.safetensors").write_bytes(CONTENT)
    check(folder, "init", "--no-scm", "-q")
    check(folder, "config", "core.check_update", "false")
    check(folder, "add", "-q", "models")
    return folder


def set_remote(folder: Path, url: str, **settings: str) -> None:
    """As the docs say: the address in the config, what is secret in config.local only."""
    check(folder, "remote", "add", "-f", "-d", "team", url)
    for key, value in settings.items():
        check(folder, "remote", "modify", "--local", "team", key, value)
    assert PASSWORD not in (folder / ".dvc/config").read_text()


def wipe(folder: Path) -> None:
    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / "models")


def push_wipe_pull(folder: Path) -> None:
    check(folder, "push")
    assert "in sync" in check(folder, "status", "-c")
    wipe(folder)
    check(folder, "pull")
    assert (folder / "models/agent.safetensors").read_bytes() == CONTENT


def test_s3(project):
    with serve("s3", project.parent / "served", "--auth-key", f"{USER},{PASSWORD}") as port:
        url = f"http://127.0.0.1:{port}"
        secrets = {"access_key_id": USER, "secret_access_key": PASSWORD}
        set_remote(project, "s3://bucket/dvc", endpointurl=url, **secrets)
        push_wipe_pull(project)


def test_sftp(project):
    options = ("--user", USER, "--pass", PASSWORD)
    with serve("sftp", project.parent / "served", *options) as port:
        url = f"ssh://127.0.0.1:{port}/bucket/dvc"
        set_remote(project, url, user=USER, password=PASSWORD, allow_agent="false")
        push_wipe_pull(project)


def test_webdav(project):
    options = ("--user", USER, "--pass", PASSWORD)
    with serve("webdav", project.parent / "served", *options) as port:
        url = f"webdav://127.0.0.1:{port}/bucket/dvc"
        set_remote(project, url, user=USER, password=PASSWORD)
        push_wipe_pull(project)


def test_http_reads_what_was_pushed_to_a_folder(project):
    store = project.parent / "served"
    set_remote(project, str(store))
    check(project, "push")
    with serve("http", store) as port:
        set_remote(project, f"http://127.0.0.1:{port}")
        wipe(project)
        check(project, "pull")
    assert (project / "models/agent.safetensors").read_bytes() == CONTENT


def test_a_refused_password_is_an_error_and_loses_nothing(project):
    options = ("--user", USER, "--pass", PASSWORD)
    with serve("webdav", project.parent / "served", *options) as port:
        url = f"webdav://127.0.0.1:{port}/bucket/dvc"
        set_remote(project, url, user=USER, password="wrong")
        done = dvc(project, "push")
        assert done.returncode != 0 and "401" in done.stderr + done.stdout
    assert (project / "models/agent.safetensors").read_bytes() == CONTENT
    assert "up to date" in check(project, "status")


def test_a_server_that_is_down_is_an_error_and_loses_nothing(project):
    set_remote(project, f"webdav://127.0.0.1:{free_port()}/dvc", user=USER, password=PASSWORD)
    done = dvc(project, "push")
    assert done.returncode != 0 and "ERROR" in done.stderr
    assert (project / "models/agent.safetensors").read_bytes() == CONTENT
    assert "up to date" in check(project, "status")
