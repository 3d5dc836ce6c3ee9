"""A drive and the dream next to it, from one moment: with the same actions, and with C driving."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from worldmodels.agent.agent import Agent
from worldmodels.control.controller import act
from worldmodels.dream.environment import Dream
from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Moments, follow
from worldmodels.dream.record import Drive
from worldmodels.dream.rules import MEANS, Rules
from worldmodels.dream.step import DreamStep
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.frames import motion
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError
from worldmodels.reports.images import to_pictures
from worldmodels.reports.play import play
from worldmodels.vision.vae import VAE, to_input

TO_THE_END = replace(MEANS, lost_at=2.0)  # above any probability: these dreams go on after a loss


class Lap(NamedTuple):
    """A drive of T steps on the real track: `pictures` uint8 [T, 64, 64, 3] as V is given them,
    `mu` [T, Z], `motion` [T, MOTION_SIZE], `actions` [T, A] and `rewards` [T], float32."""

    pictures: np.ndarray
    mu: np.ndarray
    motion: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


class Sight(NamedTuple):
    """What is seen `step` steps after the moment: `track`, `reconstruction` of it by V, the dream
    with the `same` actions and the `own` dream of C, uint8 [64, 64, 3]; the points so far (real,
    dreamt with the same actions, dreamt by C) and both dreams' probabilities of a loss."""

    step: int
    track: np.ndarray
    reconstruction: np.ndarray
    same: np.ndarray
    own: np.ndarray
    points: tuple[float, float, float]
    lost: tuple[float, float]


@torch.inference_mode()
def drive_lap(agent: Agent, vae: VAE, track: int, seed: int, horizon: int) -> Lap:
    """Let the agent drive a track of ours for `horizon` steps at most."""
    env, seen, poses, taken, totals = DrawnCarRacing(), [], [], [], []

    def look(observation: np.ndarray, action: np.ndarray, score: float, _: int) -> None:
        seen.append(observation.copy())
        poses.append(env.pose.copy())
        taken.append(action.copy())
        totals.append(score)

    score, _ = play(agent, env, track, seed, "cpu", horizon, look)
    env.close()
    pictures = np.stack(seen)
    mu, _ = vae.encode(to_input(torch.from_numpy(pictures)))
    rewards = np.diff([*totals, score]).astype(np.float32)
    actions = np.stack(taken).astype(np.float32)
    return Lap(pictures, mu.numpy(), motion(np.stack(poses)), actions, rewards)


def moments_of(lap: Lap, memory: MemoryStep, model: DreamModel) -> Moments:
    """What both Ms know at every step [T] of a lap."""
    steps = len(lap.rewards)
    drive = Drive(
        mu=lap.mu,
        motion=lap.motion,
        actions=lap.actions,
        rewards=lap.rewards,
        off_road=np.zeros(steps, np.float32),
        by_c=np.ones(steps, bool),
        over=True,
        lost=False,
        scene=None,
    )
    return follow([drive], memory, DreamStep(model)).moments


def dream_along(
    lap: Lap, agent: Agent, model: DreamModel, vae: VAE, start: int, rules: Rules, seed: int
) -> Iterator[Sight]:
    """Dream on from step `start` of a lap, to its end or the horizon of `rules`.

    Raises UserError, at once, if the lap ends before, and for rules that are impossible.
    """
    steps = min(rules.horizon, len(lap.rewards) - 1 - start)
    if steps < 1:
        raise UserError(
            f"the drive ended after {len(lap.rewards)} steps: dream from an earlier one"
        )
    dream = Dream(model, agent.memory, moments_of(lap, agent.memory, model), rules, num_envs=2)
    first = dream.reset(options={"moments": [start, start], "seeds": [seed, seed]})
    return _sights(lap, agent, vae, dream, first, start, steps)


@torch.no_grad()
def _sights(
    lap: Lap,
    agent: Agent,
    vae: VAE,
    dream: Dream,
    first: tuple[np.ndarray, dict[str, Any]],
    start: int,
    steps: int,
) -> Iterator[Sight]:
    (observations, infos), real, points = first, 0.0, np.zeros(2)
    candidates = np.zeros(1, dtype=np.int64)
    for step in range(steps + 1):
        here = lap.pictures[start + step]
        mu = torch.cat(
            [torch.from_numpy(lap.mu[start + step][None]), dream.latents[:2, : lap.mu.shape[1]]]
        )
        reconstruction, same, own = to_pictures(vae.decode(mu))
        lost = infos["lost"]
        yield Sight(
            step,
            here,
            reconstruction,
            same,
            own,
            (real, *points),
            (float(lost[0]), float(lost[1])),
        )
        if step == steps:
            return
        features = observations[1:, : agent.config.features].astype(np.float64)
        chosen = act(agent.parameters, candidates, features, agent.hidden_units)
        actions = np.concatenate([lap.actions[start + step][None], chosen])
        observations, rewards, _, _, infos = dream.step(actions.astype(np.float32))
        real, points = real + float(lap.rewards[start + step]), points + rewards
