"""A checkpoint serves one set of inputs, is whole or not used, and leads to the same bytes."""

import errno
import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from commands.quick import make_copy
from stages import sample, train_controller_by_evolution_in_real, train_mdnrnn, train_vae
from worldmodels.driving.episodes import EpisodeResult
from worldmodels.evolution.strategies import CMAES, SimpleES, SimpleESConfig
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.memory.windows import Sequences
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import load
from worldmodels.real.by_evolution import Phase, Plan, search_by_es
from worldmodels.records.latents import Latents
from worldmodels.runtime import checkpoint as module
from worldmodels.runtime.checkpoint import Checkpoint, fingerprint, root
from worldmodels.training.budget import Budget
from worldmodels.vision.vae import VAE, VAEConfig


class Stopped(Exception):
    """The end of the process."""


class Stopping(Checkpoint):
    """Saves at every chance, and stops the work after `after` of them."""

    def __init__(self, folder, after):
        super().__init__(folder, "test", keep=True)
        self.after = after

    def due(self):
        return True

    def save(self, state):
        super().save(state)
        self.after -= 1
        if self.after < 0:
            raise Stopped


def stop_and_resume(folder, work, stops):
    """The result of `work(checkpoint)`, stopped after so many chances to save each time."""
    for after in stops:
        with pytest.raises(Stopped), Stopping(folder, after) as checkpoint:
            work(checkpoint)
    with Stopping(folder, 10**6) as checkpoint:
        return work(checkpoint)


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
        while "waits for another process" not in said.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said.getvalue().startswith("test: waits for another process")
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


@pytest.fixture(scope="session")
def code(shared):
    """A copy of the code with tiny params, not to be changed."""
    return shared("code", make_copy)


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


@pytest.fixture
def tiny(code, monkeypatch):
    """Loads the tiny params of a stage's round."""
    monkeypatch.chdir(code)
    return lambda stage: load(stage.Params, "first")


@pytest.mark.slow
def test_v_stopped_and_resumed_equals_uninterrupted(tmp_path, tiny):
    params = tiny(train_vae)
    pictures = np.random.default_rng(1).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)

    class Drawn:
        def batches(self, order, size, threads):
            for start in range(0, len(order), size):
                yield pictures[order[start : start + size]]

    def work(checkpoint):
        torch.manual_seed(1)
        config = VAEConfig(latent_size=params.vae.latent_size)
        vae = VAE(config).to(memory_format=torch.channels_last)
        frames = np.arange(64)
        rows = train_vae.train(
            vae, Drawn(), frames[:48], frames[48:], params, torch.device("cpu"), checkpoint
        )
        return rows, pickle.dumps({n: t.numpy() for n, t in vae.state_dict().items()})

    assert stop_and_resume(tmp_path / "c", work, [0, 3, 2]) == work(Checkpoint(None))


def test_m_stopped_and_resumed_equals_uninterrupted(tmp_path, tiny):
    params = tiny(train_mdnrnn)
    rng = np.random.default_rng(1)
    latents = Latents(
        mu=rng.normal(size=(400, 4)).astype(np.float16),
        logvar=np.full((400, 4), -2, np.float16),
        actions=rng.uniform(size=(400, 3)).astype(np.float16),
        rewards=rng.normal(size=400).astype(np.float32),
        terminated=np.zeros(400, bool),
        episode=np.repeat(np.arange(8), 50).astype(np.int32),
    )
    held = np.arange(8) < 2

    def work(checkpoint):
        torch.manual_seed(1)
        model = MDNRNN(
            MDNRNNConfig(hidden_size=16, mixtures=2, reward_and_end=True, reward_steps=1), 4
        )
        parts = Sequences(latents, ~held), Sequences(latents, held)
        rows = train_mdnrnn.train(model, *parts, params, torch.device("cpu"), checkpoint)
        return rows, pickle.dumps({n: t.numpy() for n, t in model.state_dict().items()})

    assert stop_and_resume(tmp_path / "c", work, [0, 2, 3]) == work(Checkpoint(None))


class FakeCandidates:
    """Scores a point by its distance from (1, 1, 1), in two parts."""

    seed = 1

    def drive(self, points, drives, results, on_done):
        for part in (drives[::2], drives[1::2]):
            for c, t in part:
                if drives.index((c, t)) not in results:
                    score = -float(((points[c] - 1) ** 2).sum()) - t % 10
                    results[drives.index((c, t))] = EpisodeResult(c, t, score, 10, None)
            on_done()
        return [results[drive] for drive in range(len(drives))]


def search_for(checkpoint, generations, method, later=3):
    """`later`: how many tracks a candidate drives from generation 4 on."""
    phases = [Phase(from_generation=0, tracks=2), Phase(from_generation=4, tracks=later)]
    plan = Plan(Budget(generations, 0), phases)
    rng = np.random.default_rng(1)
    if method == "cma-es":
        strategy = CMAES(np.zeros(3), 0.5, 8, rng)
    else:
        strategy = SimpleES(
            np.zeros(3), 0.5, 8, rng, SimpleESConfig(elite_share=0.25, sigma_decay=0.99)
        )
    run = search_by_es(strategy, FakeCandidates(), "first", plan, [5, 6], 2, checkpoint)
    return run.rows, run.strategy.mean.tobytes(), run.strategy.sigma


@pytest.mark.parametrize("method", ["cma-es", "simple-es"])
def test_a_search_stopped_anywhere_and_resumed_equals_uninterrupted(tmp_path, method):
    expected = search_for(Checkpoint(None), 9, method)
    np.random.seed(123)  # the global generator must play no part
    stopped = stop_and_resume(tmp_path / "c", lambda c: search_for(c, 9, method), [0, 1, 4, 5, 2])
    assert stopped == expected


def test_more_generations_continue_the_search_and_fewer_start_from_scratch(tmp_path):
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        search_for(checkpoint, 4, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        longer = search_for(checkpoint, 9, "cma-es")
        assert checkpoint.seconds_before > 0
    assert longer == search_for(Checkpoint(None), 9, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        assert search_for(checkpoint, 3, "cma-es") == search_for(Checkpoint(None), 3, "cma-es")
        assert checkpoint.seconds_before == 0


@pytest.mark.parametrize("generations, resumes", [(3, True), (4, True), (6, False)])
def test_a_schedule_may_change_for_generations_not_reached_yet(tmp_path, generations, resumes):
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        search_for(checkpoint, generations, "cma-es")
    with Checkpoint(tmp_path / "c", keep=True) as checkpoint:
        other = search_for(checkpoint, 9, "cma-es", later=4)
        assert (checkpoint.seconds_before > 0) == resumes
    assert other == search_for(Checkpoint(None), 9, "cma-es", later=4)
    assert other != search_for(Checkpoint(None), 9, "cma-es")


@pytest.mark.slow
def test_a_record_stopped_and_resumed_equals_uninterrupted(tmp_path, tiny, monkeypatch):
    params = tiny(sample)
    monkeypatch.setattr(sample, "EPISODES_PER_JOB", 2)
    monkeypatch.setenv("WM_WORKERS", "2")

    def work(checkpoint):
        return [
            (e.track_seed, e.poses.tobytes(), e.actions.tobytes(), e.touched_at.tobytes())
            for e in sample.record("first", params, checkpoint)
        ]

    expected = work(Checkpoint(None))
    monkeypatch.setenv("WM_WORKERS", "1")
    assert stop_and_resume(tmp_path / "c", work, [0, 1]) == expected
    assert len(expected) > 8
