"""A checkpoint serves one set of inputs, is whole or not used, and leads to the same bytes."""

import errno
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages import train_controller_by_evolution_in_real
from tests.stopping import Stopped
from worldmodels.pipeline.errors import UserError
from worldmodels.runtime import checkpoint as module
from worldmodels.runtime.checkpoint import Checkpoint, fingerprint, root


def test_state_comes_back_and_is_deleted_when_the_stage_is_done(tmp_path):
    folder = tmp_path / "c"
    with pytest.raises(Stopped), Checkpoint(folder) as checkpoint:
        assert checkpoint.resume() is None
        checkpoint.save({"numbers": np.arange(3)})
        raise Stopped
    with Checkpoint(folder) as checkpoint:
        np.testing.assert_array_equal(checkpoint.resume()["numbers"], [0, 1, 2])
        assert checkpoint.seconds_before > 0
    assert not folder.exists()
    with Checkpoint(folder, keep=True) as checkpoint:
        checkpoint.save(7)
    with Checkpoint(folder, keep=True) as checkpoint:
        assert checkpoint.resume() == 7


def test_a_damaged_or_cut_state_is_reported_and_not_used(tmp_path, capsys):
    with Checkpoint(tmp_path / "c", "train_vae@first", keep=True) as checkpoint:
        checkpoint.save(list(range(50)))
        path = tmp_path / "c/state"
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert checkpoint.resume() is None
        for length in (0, 10, 32, len(whole) - 1):
            path.write_bytes(whole[:length])
            assert checkpoint.resume() is None
        assert "state: damaged" in capsys.readouterr().err
        path.write_bytes(whole)
        assert checkpoint.resume() == list(range(50))


def test_a_full_disk_is_reported_and_the_work_continues(tmp_path, monkeypatch, capsys):
    def full(path, content):
        raise UserError(f"{path}: cannot be written: No space left on device")

    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        checkpoint.save(1)
        monkeypatch.setattr(module, "write_bytes", full)
        checkpoint.save(2)
        assert "No space left" in capsys.readouterr().err
        assert checkpoint.resume() == 1


def test_where_locks_are_refused_the_work_is_done_with_a_warning(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(module.fcntl, "flock", refuse)
    for expected in (None, 7):
        with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
            assert checkpoint.resume() == expected
            checkpoint.save(7)
    (said, *_) = capsys.readouterr().err.splitlines()
    assert "cannot be locked (No locks available)" in said and "WM_CHECKPOINTS" in said


def test_seconds_between_checkpoints_can_be_set_and_must_be_a_number(tmp_path, monkeypatch):
    for text, due in (("0", True), ("", False), ("1e3", False)):
        monkeypatch.setenv("WM_CHECKPOINT_SECONDS", text)
        with Checkpoint(tmp_path / "c") as checkpoint:
            assert checkpoint.due() == due
    for wrong in ("soon", "-1", "nan"):
        monkeypatch.setenv("WM_CHECKPOINT_SECONDS", wrong)
        with (
            pytest.raises(UserError, match=rf"WM_CHECKPOINT_SECONDS is '{wrong}'"),
            Checkpoint(tmp_path / "c"),
        ):
            pass


def hold(folder, keep, held, release):
    with Checkpoint(folder, "test", keep) as checkpoint:
        checkpoint.save("held")
        held.set()
        assert release.wait(60)


@pytest.mark.parametrize("keep", [False, True])
def test_a_second_process_on_the_same_inputs_waits_for_the_first(tmp_path, keep):
    """Threads stand for processes: the lock is of the open file, not of the process."""
    events = [(threading.Event(), threading.Event()) for _ in range(2)]
    with redirect_stderr(StringIO()) as said, ThreadPoolExecutor(2) as pool:
        first = pool.submit(hold, tmp_path / "c", keep, *events[0])
        assert events[0][0].wait(60)
        second = pool.submit(hold, tmp_path / "c", keep, *events[1])
        deadline = time.monotonic() + 60
        while "waiting for another process" not in said.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said.getvalue().startswith("test: waiting for another process")
        assert not events[1][0].wait(0.5)
        events[0][1].set()
        first.result()
        assert events[1][0].wait(60)
        assert (tmp_path / "c/state").exists()  # the second's, which the first has not deleted
        events[1][1].set()
        second.result()
    assert (tmp_path / "c/state").exists() == keep


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="set WM_CHECKPOINTS"),
        Checkpoint(tmp_path / "file" / "c"),
    ):
        pass


@pytest.fixture
def project(code, tmp_path):
    folder = shutil.copytree(code, tmp_path / "project")
    (folder / "data/first").mkdir(parents=True)
    (folder / "data/first/latents.parquet").write_bytes(b"latents")
    return folder


def test_other_code_params_or_data_have_another_checkpoint(project, monkeypatch):
    monkeypatch.chdir(project)
    seen = [fingerprint("train_mdnrnn", "first")]
    assert fingerprint("train_mdnrnn", "first") == seen[0]
    seen.append(fingerprint("train_mdnrnn", "second"))
    cached = project / "worldmodels/pipeline/__pycache__/errors.cpython-311.pyc"
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(b"compiled by Python, in a folder that the stage depends on")
    assert fingerprint("train_mdnrnn", "first") == seen[0]
    for path, change in [
        ("data/first/latents.parquet", b"latentz"),
        (
            "worldmodels/memory/mdnrnn.py",
            (project / "worldmodels/memory/mdnrnn.py").read_bytes() + b"\n",
        ),
        ("params.yaml", (project / "params.yaml").read_bytes().replace(b"seed: 1", b"seed: 2")),
    ]:
        (project / path).write_bytes(change)
        seen.append(fingerprint("train_mdnrnn", "first"))
    assert len(set(seen)) == len(seen)
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["real"]["evolution"]["sigma"] = 0.9  # not of this stage
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    assert fingerprint("train_mdnrnn", "first") == seen[-1]


def test_the_budget_does_not_change_the_fingerprint_of_a_search(project, monkeypatch):
    monkeypatch.chdir(project)
    plan = train_controller_by_evolution_in_real.PLAN
    apart = tuple(name.replace("${key}", "first") for name in plan)
    before = fingerprint("train_controller", "first", apart)
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["rounds"]["first"]["iterations"] += 5
    tree["rounds"]["first"]["env_steps"] += 5
    tree["real"]["evolution"]["schedule"] = [{"from_generation": 0, "tracks": 77}]
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    assert fingerprint("train_controller", "first", apart) == before
    assert fingerprint("train_controller", "first") != before


def test_experiments_in_dvcs_temporary_folders_share_the_checkpoints(tmp_path, monkeypatch):
    inside = tmp_path / ".dvc/tmp/exps/standalone/tmp123"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert root() == tmp_path / ".checkpoints"
    monkeypatch.setenv("WM_CHECKPOINTS", str(tmp_path / "elsewhere"))
    assert root() == tmp_path / "elsewhere"
    monkeypatch.setenv("WM_CHECKPOINTS", "~/elsewhere")
    assert root() == Path.home() / "elsewhere"
    monkeypatch.setenv("WM_CHECKPOINTS", "")
    assert root() == tmp_path / ".checkpoints"
