"""A score depends on the controller and the track, and on nothing else."""

import numpy as np
import pytest
import torch

from tests.agents import make_agent
from worldmodels.agent.agent import Agent, AgentConfig
from worldmodels.agent.driver import AgentDriver
from worldmodels.driving.episodes import Drive, drive_all
from worldmodels.driving.jobs import DriveJob
from worldmodels.driving.limits import Limits
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.memory.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.pipeline.errors import UserError
from worldmodels.vision.vae import VAE, VAEConfig
from worldmodels.workers.jobs import split_evenly
from worldmodels.workers.processes import run_in_processes


class Traced:
    """A driver that keeps every action of every (candidate, track)."""

    def __init__(self, driver):
        self.driver, self.at, self.actions = driver, {}, {}

    def start(self, slot, candidate, track):
        self.at[slot] = (candidate, track)
        self.actions[candidate, track] = []
        self.driver.start(slot, candidate, track)

    def act(self, slots, observations):
        return self.driver.act(slots, observations)

    def remember(self, slots, actions):
        for slot, action in zip(slots, actions):
            self.actions[self.at[slot]].append(action.tobytes())
        self.driver.remember(slots, actions)


def traces(agent, drives, slots=64, horizon=40):
    """The bytes of all actions of each drive."""
    driver = Traced(AgentDriver(agent, slots, 1, "cpu"))
    drive_all(driver, VectorCarRacing(slots), drives, Limits(horizon, 0))
    return [driver.actions[drive] for drive in drives]


def results(agent, drives, slots=64, horizon=60, patience=0):
    driver = AgentDriver(agent, slots, 1, "cpu")
    found = drive_all(driver, VectorCarRacing(slots), drives, Limits(horizon, patience))
    assert [(result.candidate, result.track) for result in found] == drives
    return found


def scores(*arguments, **settings):
    return [result.score for result in results(*arguments, **settings)]


DRIVES = [Drive(candidate, track) for candidate in range(5) for track in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("latent", ["mu", "sample"])
def test_same_actions_in_any_order_slot_and_batch(precision, latent):
    agent = make_agent(precision=precision, latent=latent, latent_size=32, hidden_size=256)
    together = traces(agent, DRIVES)
    assert len({b"".join(trace) for trace in together}) == len(DRIVES)
    turned = traces(agent, DRIVES[::-1], slots=7)
    assert turned[::-1] == together
    assert traces(agent, DRIVES[11:12]) == together[11:12]
    assert traces(agent, DRIVES[:34], slots=34) == together[:34]


@pytest.mark.slow
def test_same_scores_for_any_worker_count(monkeypatch):
    agent = make_agent()
    expected = scores(agent, DRIVES)
    for workers in ("1", "2"):
        monkeypatch.setenv("WM_WORKERS", workers)
        parts = split_evenly(DRIVES, int(workers))
        jobs = [
            DriveJob(agent, tuple(DRIVES[i] for i in part), "drawn", Limits(60, 0), 1, "cpu")
            for part in parts
        ]
        found = {}
        for part, results in zip(parts, run_in_processes(jobs)):
            found |= {i: result.score for i, result in zip(part, results)}
        assert [found[i] for i in range(len(DRIVES))] == expected


def test_a_job_says_what_it_drives():
    job = DriveJob(make_agent(), (Drive(0, 5), Drive(3, 9)), "drawn", Limits(60, 0), 1, "cpu")
    said = "2 episodes with the drawn picture, candidate 0 on track 5 to candidate 3 on track 9"
    assert str(job) == said


def test_the_batched_agent_acts_as_the_plain_one():
    agent = make_agent(candidates=1)
    lstm = MDNRNN(
        MDNRNNConfig(hidden_size=16, mixtures=2, reward_and_end=False, reward_steps=1), 8
    ).lstm
    lstm.load_state_dict(
        {
            "weight_ih_l0": agent.memory.gates[:11].T,
            "weight_hh_l0": agent.memory.gates[11:].T,
            "bias_ih_l0": agent.memory.bias,
            "bias_hh_l0": torch.zeros(64),
        }
    )
    driver, env = AgentDriver(agent, 3, 1, "cpu"), DrawnCarRacing()
    observation, _ = env.reset(seed=1)
    driver.start(2, 0, 1)
    state, flat = (torch.zeros(1, 1, 16), torch.zeros(1, 1, 16)), agent.parameters[0]
    for _ in range(10):
        x = torch.from_numpy(observation)[None].permute(0, 3, 1, 2) / 255
        mu, _ = agent.encoder(x)
        features = np.concatenate([mu[0].numpy(), state[0][0, 0].detach().numpy()])
        raw = np.tanh(flat[:72].reshape(3, 24) @ features + flat[72:])
        expected = np.array([raw[0], (raw[1] + 1) / 2, np.clip(raw[2], 0, 1)], np.float32)
        action = driver.act(np.array([2]), observation[None])[0]
        driver.remember(np.array([2]), action[None])
        np.testing.assert_allclose(action, expected, atol=1e-5)
        inputs = torch.cat([mu[0], torch.from_numpy(action)])[None, None]
        _, state = lstm(inputs, state)
        observation = env.step(action)[0]


@pytest.mark.slow
def test_an_episode_cut_short_scores_as_if_driven_to_the_horizon():
    agent = make_agent(candidates=1, inputs="z").with_candidates(np.zeros((1, 27)))
    agent.parameters[0, 24:] = [9, -9, 9]  # full lock, brake: no tile after the first ones
    (full,) = scores(agent, [Drive(0, 1)], horizon=200)
    (cut,) = scores(agent, [Drive(0, 1)], horizon=200, patience=20)
    assert cut == pytest.approx(full)
    (result,) = results(agent, [Drive(0, 1)], horizon=200, patience=20)
    assert result.steps < 60


def test_a_loaded_agent_drives_as_the_one_that_was_saved(tmp_path):
    agent = make_agent(candidates=1)
    agent.save(tmp_path / "a.safetensors")
    again = Agent.load(tmp_path / "a.safetensors")
    assert again.config == agent.config
    np.testing.assert_array_equal(again.parameters, agent.parameters)
    assert scores(again, DRIVES[:3]) == scores(agent, DRIVES[:3])
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_models_whose_sizes_do_not_match_are_refused():
    torch.manual_seed(1)
    vae = VAE(VAEConfig(latent_size=8))
    memory = MDNRNN(
        MDNRNNConfig(hidden_size=16, mixtures=2, reward_and_end=False, reward_steps=1), 4
    )
    config = AgentConfig(
        inputs="z+h", latent="mu", precision="float32", latent_size=8, hidden_size=16
    )
    with pytest.raises(UserError, match="M's latents: 4 where the agent has 8"):
        Agent.of(config, vae, memory, np.zeros((1, 75)))
