"""Other projects' training loops take the vector environment."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from worldmodels.interop.vector_env import CarRacingVectorEnv

ID = "worldmodels.environment:WorldModels/CarRacing-v3"


def make(**options) -> CarRacingVectorEnv:
    mode = "vector_entry_point"
    return gymnasium.make_vec(ID, num_envs=4, vectorization_mode=mode, **options)


def test_stable_baselines_learns_on_it():
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecMonitor

    from worldmodels.interop.stable_baselines import StableBaselinesVecEnv

    envs = make(autoreset_mode="SameStep", max_episode_steps=20, tracks=range(8))
    model = PPO("CnnPolicy", VecMonitor(StableBaselinesVecEnv(envs)), n_steps=32, seed=1)
    before = [weight.detach().clone() for weight in model.policy.parameters()]
    model.learn(256)
    assert model.num_timesteps == 256 and len(model.ep_info_buffer) >= 8
    assert all(episode["l"] == 20 for episode in model.ep_info_buffer)
    after = model.policy.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after))


def test_stable_baselines_is_told_how_an_episode_ended():
    from worldmodels.interop.stable_baselines import StableBaselinesVecEnv

    envs = StableBaselinesVecEnv(make(autoreset_mode="SameStep", max_episode_steps=3))
    envs.seed(5)
    first = envs.reset()
    expected, _ = make().reset(seed=5)
    assert np.array_equal(first, expected)
    for _ in range(3):
        observations, _, over, infos = envs.step(np.zeros((4, 3), np.float32))
    assert over.all() and all(info["TimeLimit.truncated"] for info in infos)
    assert not np.array_equal(infos[0]["terminal_observation"], observations[0])
    with pytest.raises(ValueError, match="SameStep"):
        StableBaselinesVecEnv(make())


class Actor(nn.Module):
    """As in CleanRL's ppo_continuous_action.py, on pictures."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 8, 4), nn.ReLU(), nn.Flatten())
        self.mean, self.value = nn.Linear(8 * 15 * 15, 3), nn.Linear(8 * 15 * 15, 1)

    def forward(self, observations: np.ndarray):
        x = torch.from_numpy(observations).permute(0, 3, 1, 2).float() / 255
        features = self.body(x)
        return torch.distributions.Normal(self.mean(features), 0.5), self.value(features)[:, 0]


def test_a_loop_in_the_style_of_cleanrl_learns_on_it():
    torch.manual_seed(1)
    envs, actor = make(max_episode_steps=20, tracks=range(8)), Actor()
    adam = torch.optim.Adam(actor.parameters(), 1e-3)
    observations, _ = envs.reset(seed=1)
    losses, ends = [], 0
    for _ in range(3):
        kept = []
        for _ in range(16):
            with torch.no_grad():
                action = actor(observations)[0].sample()
            following, rewards, terminated, truncated, _ = envs.step(action.numpy())
            kept.append((observations, action, torch.from_numpy(rewards).float()))
            observations, ends = following, ends + int((terminated | truncated).sum())
        for seen, action, reward in kept:
            distribution, value = actor(seen)
            advantage = (reward - value).detach()
            policy_loss = -(distribution.log_prob(action).sum(1) * advantage).mean()
            loss = policy_loss + (reward - value).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
    assert ends == 8 and np.isfinite(losses).all()
