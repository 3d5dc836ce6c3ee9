"""V, M and a record: stopped and resumed, they have the bytes of an uninterrupted run."""

import pickle

import numpy as np
import pytest
import torch

from stages import sample, train_mdnrnn, train_vae
from tests.stopping import stop_and_resume
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.memory.windows import Sequences
from worldmodels.pipeline.params import load
from worldmodels.records.latents import Latents
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.vision.vae import VAE, VAEConfig


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
