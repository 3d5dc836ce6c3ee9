"""The policies that drive for a record, and that it holds what was driven."""

import numpy as np
import pytest

from stages import sample
from worldmodels.driving.limits import Limits
from worldmodels.pipeline.params import load
from worldmodels.policies.random_networks import random_agent
from worldmodels.policies.recording import RecordRandomAgents
from worldmodels.runtime.checkpoint import Checkpoint


def test_random_agents_have_the_papers_sizes_and_differ():
    agents = [random_agent(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert agents[0].parameters.shape == (1, 867)
    assert np.array_equal(agents[0].parameters, agents[1].parameters)
    assert not np.array_equal(agents[0].parameters, agents[2].parameters)
    weights = np.concatenate([random_agent(np.random.default_rng(n)).parameters for n in range(8)])
    assert np.median(np.abs(weights)) < 0.01 < np.abs(weights).max()


def test_each_track_is_driven_to_the_end_by_its_own_random_agent():
    limits = Limits(25, 0)
    together = RecordRandomAgents((7, 8), limits, 1, "cpu").run()
    alone = RecordRandomAgents((8,), limits, 1, "cpu").run()
    first, second = (result.episode for result in together)
    assert len(first.rewards) == len(second.rewards) == 25
    assert np.array_equal(second.actions, alone[0].episode.actions)
    assert np.isfinite(first.actions).all() and (first.actions[0] != second.actions[0]).any()
    assert abs(float(first.actions[:, 1].mean()) - 0.5) < 0.5  # tanh of little: half throttle


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_random_agents_drive_the_frames_that_the_explorer_does_not(monkeypatch, root, share):
    monkeypatch.chdir(root)
    monkeypatch.setenv("WM_WORKERS", "1")
    monkeypatch.setattr(sample, "EPISODES_PER_JOB", 1)
    params = load(sample.Params, "first")
    change = {"policy": sample.RANDOM, "frames": 50, "exploration_share": share}
    params = params.model_copy(
        update={
            "world": params.world.model_copy(update=change),
            "sample": params.sample.model_copy(update={"horizon": 20}),
        }
    )
    episodes = sample.record("first", params, Checkpoint(None))
    frames = {"exploration": 0, "agent": 0}
    for episode in episodes:
        frames[episode.driver] += len(episode.rewards)
    assert frames == {"exploration": 50 * share, "agent": 50 * (1 - share)}
