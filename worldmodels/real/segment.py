"""A segment of practice: its rules, the environments between two segments, and its log.

The log notes each step, with the prices of what the return punishes late, and is summed up by
decision.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from worldmodels.driving.limits import Limits, idle_steps
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.privileged import Privileged
from worldmodels.memory.step import MemoryState
from worldmodels.ppo.rollout import GOES_ON, TERMINATED, TRUNCATED, Rollout


class Rules(NamedTuple):
    """The rules of a segment of `steps` steps; prices in points of return.

    Each `hold` steps, of which `steps` is a multiple, share their noise, whose standard deviation
    before the action map is `noise`; `discount` is per step. The share `replay_share` of episodes
    is driven where a car was lost, in one of the latest `replay_tracks` losses of its group.
    """

    steps: int
    hold: int
    noise: float
    limits: Limits
    discount: float
    lost_cost: float
    missed_cost: float
    replay_share: float
    replay_tracks: int


@dataclass
class PracticeGroup:
    """N environments between two segments, their memories, and the state of each episode [N]."""

    privileged: Privileged
    memory: MemoryState
    steps: np.ndarray
    idle: np.ndarray  # steps without a new tile
    returns: np.ndarray
    tracks: np.ndarray
    lost_on: deque[int]  # the tracks of the latest losses, each as often as a car was lost on it


class Log:
    """The arrays of a `Rollout`, but per step: [T, N] or [T, N, …] over the T steps of a segment;
    `returns` of the episodes that ended in it."""

    def __init__(self, steps: int, envs: int, critic_inputs: int):
        self.critic_inputs = np.zeros((steps, envs, critic_inputs), dtype=np.float32)
        self.raw = np.zeros((steps, envs, ACTION_SIZE), dtype=np.float32)
        self.reward = np.zeros((steps, envs))
        self.end = np.full((steps, envs), GOES_ON, dtype=np.int8)
        self.counts = np.ones((steps, envs), dtype=bool)
        self.returns: list[float] = []


def step_and_log(
    group: PracticeGroup, log: Log, step: int, actions: np.ndarray, rules: Rules
) -> list[int]:
    """Step all environments, log rewards, prices and ends; returns the slots whose episodes are
    over.

    An episode is over when its environment ends it, at the horizon, when it is hopeless, or when
    the car has finished its lap with tiles missed: otherwise it would drive a second lap, on which
    hardly anything pays.
    """
    privileged, limits = group.privileged, rules.limits
    rewards, ended = privileged.env.step(np.arange(len(actions)), actions)
    group.steps += 1
    group.returns += rewards
    group.idle = idle_steps(group.idle, rewards)
    log.reward[step] = rewards

    # A tile left behind is charged when the next one is touched, near the decision that missed it
    for slot in np.flatnonzero(rewards > 0).tolist():
        log.reward[step, slot] -= rules.missed_cost * privileged.newly_missed(slot)

    hopeless = limits.hopeless(group.idle)
    came_round = np.array(
        [privileged.has_come_round(slot, idle) for slot, idle in enumerate(group.idle.tolist())]
    )
    over = ended | (group.steps >= limits.horizon) | hopeless | came_round
    for slot in np.flatnonzero(over).tolist():
        if came_round[slot]:
            _log_lap(log, group, step, slot, rules)
        elif hopeless[slot] or (ended[slot] and not privileged.lap_is_complete(slot)):
            _log_loss(log, group, step, slot, bool(ended[slot]), rules)
        else:  # a complete lap, or the horizon: the end is no fault of the last decision
            log.end[step, slot] = TRUNCATED
        total, steps = group.returns[slot], int(group.steps[slot])
        log.returns.append(float(limits.score(total, steps, bool(ended[slot]))))
    return np.flatnonzero(over).tolist()


def _log_lap(log: Log, group: PracticeGroup, step: int, slot: int, rules: Rules) -> None:
    """Log a car that came round with tiles missed: they are charged where it touched its last
    tile, and its steps since then do not count."""
    last = step - int(group.idle[slot])
    if last >= 0:
        missed = group.privileged.missed_at_the_end(slot)
        log.reward[last, slot] -= rules.missed_cost * missed
        log.end[last, slot] = TRUNCATED
    log.end[step, slot] = TRUNCATED
    log.counts[max(last + 1, 0) : step + 1, slot] = False


def _log_loss(
    log: Log, group: PracticeGroup, step: int, slot: int, off_playfield: bool, rules: Rules
) -> None:
    """Log a car that is lost; our price replaces the environment's for leaving the playfield."""
    if off_playfield:
        log.reward[step, slot] = 0
    log.reward[step, slot] -= rules.lost_cost
    log.end[step, slot] = TERMINATED
    group.lost_on.append(int(group.tracks[slot]))


def by_decision(log: Log, rules: Rules, actor_inputs: int) -> Rollout:
    """Turn the steps of a segment into decisions of `rules.hold` steps each.

    The steps of a decision share their noise, so they are one choice: only their sum of rewards
    says whether it was good. Steps after an end belong to the next episode and are left out.

    Features and outputs are means over a decision's steps: exact for a linear actor, and nearly so
    for one with a hidden layer, since features hardly change within a decision. Critic inputs are
    those at its start; rewards are summed with the discount.
    """
    steps, envs = log.reward.shape
    shape = steps // rules.hold, rules.hold, envs
    ends = log.end.reshape(shape)
    up_to_end = np.cumsum(ends != GOES_ON, axis=1) - (ends != GOES_ON) == 0
    counted = up_to_end & log.counts.reshape(shape)
    count = np.maximum(counted.sum(axis=1), 1)[..., None]
    discounts = rules.discount ** np.arange(rules.hold)

    def mean(array: np.ndarray) -> np.ndarray:
        split = array.reshape(*shape, -1)
        return ((split * counted[..., None]).sum(axis=1) / count).astype(np.float32)

    end = (ends * up_to_end).max(axis=1)
    end[-1] = np.where(end[-1] == GOES_ON, TRUNCATED, end[-1])  # the segment ends, not the episode
    return Rollout(
        features=mean(log.critic_inputs[:, :, :actor_inputs]),
        raw=mean(log.raw),
        critic_inputs=log.critic_inputs[:: rules.hold],
        reward=np.einsum("dhn,h->dn", log.reward.reshape(shape) * counted, discounts),
        end=end,
        counts=counted.any(axis=1),
        returns=np.array(log.returns),
    )
