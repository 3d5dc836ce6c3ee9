"""Practice: drive with noise, a segment at a time, and collect what PPO learns from.

A group of environments continues from segment to segment, so that all parts of a track are
practised. The reward is the environment's, with prices for what the return punishes late: a car
that is lost, and a tile that is left behind, without which no lap is complete. Tracks on which a
car was lost recently are driven more often than others (after Jiang et al. 2021): what C cannot do
yet shows on one lap in hundreds.
"""

from collections import deque
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.control.controller import outputs
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.limits import Limits, idle_steps
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.make import make_privileged
from worldmodels.environment.privileged import Privileged, PrivilegedConfig
from worldmodels.memory.step import MemoryState
from worldmodels.pipeline.params import Count, Section, Share
from worldmodels.ppo.algorithm import (
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    FromTo,
    Rollout,
    along,
)

Shares = Annotated[list[Share], Field(min_length=2, max_length=2)]


class PracticeConfig(Section):
    """The params of practice; noise, prices and 1 - discount go from their first value to their
    second."""

    envs: Count
    tracks: Count
    steps: Count
    hold: Count
    noise: FromTo
    discount: Shares
    lost_cost: FromTo
    missed_cost: FromTo
    replay_share: Share
    replay_tracks: Count

    def rules_at(self, share: float, limits: Limits) -> "Rules":
        """The rules of practice at `share` of the training."""
        return Rules(
            steps=self.steps,
            hold=self.hold,
            noise=along(self.noise, share),
            limits=limits,
            discount=1 - along([1 - discount for discount in self.discount], share),
            lost_cost=along(self.lost_cost, share),
            missed_cost=along(self.missed_cost, share),
            replay_share=self.replay_share,
            replay_tracks=self.replay_tracks,
        )


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
    lost_on: deque[int]  # the tracks of the latest losses, one as often as it was lost on


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


@dataclass(frozen=True)
class PracticeJob:
    """Drive one segment of a group of `envs` environments.

    `agent` holds the one controller that practises. The critic is given its features, scaled by
    `space`, and what is `privileged`; the actor the first `actor_inputs` of the features. Episodes
    begin on one of `tracks`, drawn by `rng`. `group` is None for the first segment. `title` names
    the job in messages.
    """

    agent: Agent
    space: SearchSpace
    actor_inputs: int
    rules: Rules
    privileged: PrivilegedConfig
    tracks: list[int]
    rng: np.random.Generator
    envs: int
    group: PracticeGroup | None
    device: str
    title: str

    def __str__(self) -> str:
        return self.title

    def run(self) -> tuple[Rollout, PracticeGroup]:
        """The experience of the segment, and the group as it leaves it."""
        rules, rng, envs = self.rules, self.rng, self.envs
        driver = AgentDriver(self.agent, envs, int(rng.integers(1 << 31)), self.device)
        for slot in range(envs):  # seeds the samples of z; the memories come from the group
            driver.start(slot, 0, slot)
        group = self.group or self._new_group(driver)
        driver.memory = group.memory
        env, privileged = group.privileged.env, group.privileged
        log = Log(rules.steps, envs, len(self.space.basis) + self.privileged.size)
        slots, candidates = np.arange(envs), np.zeros(envs, dtype=np.int64)
        for step in range(rules.steps):
            # Each decision holds its noise for some steps: noise that changes at every step
            # averages out before the car has moved, and explores nothing.
            if step % rules.hold == 0:
                held = rules.noise * rng.standard_normal((envs, ACTION_SIZE))
            features = driver.features(slots, env.observations)
            told = privileged.situation()
            log.critic_inputs[step] = np.concatenate([self.space.scale(features), told], axis=1)
            raw = outputs(self.agent.parameters, candidates, features, driver.hidden_units) + held
            log.raw[step] = raw
            actions = squash(raw)
            driver.remember(slots, actions)
            for slot in step_and_log(group, log, step, actions, rules):
                self._start(group, slot)
                driver.start(slot, 0, (step + 1) * envs + slot)
        group.memory = driver.memory
        return by_decision(log, rules, self.actor_inputs), group

    def _new_group(self, driver: AgentDriver) -> PracticeGroup:
        """Environments at the start of their first episodes."""
        group = PracticeGroup(
            privileged=make_privileged(self.envs, self.privileged),
            memory=driver.memory,
            steps=np.zeros(self.envs, dtype=np.int64),
            idle=np.zeros(self.envs, dtype=np.int64),
            returns=np.zeros(self.envs),
            tracks=np.zeros(self.envs, dtype=np.int64),
            lost_on=deque(maxlen=self.rules.replay_tracks),
        )
        for slot in range(self.envs):
            self._start(group, slot)
        return group

    def _start(self, group: PracticeGroup, slot: int) -> None:
        """Begin an episode on one of the tracks, or on one where a car was lost."""
        if group.lost_on and self.rng.random() < self.rules.replay_share:
            track = group.lost_on[self.rng.integers(len(group.lost_on))]
        else:
            track = self.tracks[self.rng.integers(len(self.tracks))]
        group.tracks[slot] = track
        group.privileged.env.reset(slot, track)
        group.privileged.start(slot)
        group.steps[slot] = group.idle[slot] = group.returns[slot] = 0


def step_and_log(
    group: PracticeGroup, log: Log, step: int, actions: np.ndarray, rules: Rules
) -> list[int]:
    """Step all environments, log rewards, prices and ends; returns the slots whose episodes are
    over.

    An episode is over when its environment ends it, at the horizon, when it is hopeless, or when
    the car has come round with tiles missed: else it would drive a second lap, on which hardly
    anything pays.
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
