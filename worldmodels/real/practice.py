"""Practice: drive with noise, a segment at a time, and collect what PPO learns from.

A group of environments continues from segment to segment, so that all parts of a track are
practised. The reward is the environment's, with prices for what the return punishes late: a car
that is lost, and a tile that is left behind, without which no lap is complete. Tracks on which a
car was lost recently are driven more often than others (after Jiang et al. 2021): what C cannot do
yet shows on one lap in hundreds.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from pydantic import model_validator

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.control.controller import outputs
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.limits import Limits
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.make import make_privileged
from worldmodels.environment.privileged import PrivilegedConfig
from worldmodels.pipeline.params import Count, Section, Share
from worldmodels.ppo.rollout import Rollout
from worldmodels.real.segment import Log, PracticeGroup, Rules, by_decision, step_and_log
from worldmodels.training.schedule import (
    Discounts,
    FromTo,
    discount_at,
    geometric,
    refuse_few_tracks,
)


class PracticeConfig(Section):
    """The params of practice; noise, prices and 1 - discount go from their first value to their
    second."""

    envs: Count
    tracks: Count
    steps: Count
    hold: Count
    noise: FromTo
    discount: Discounts
    lost_cost: FromTo
    missed_cost: FromTo
    replay_share: Share
    replay_tracks: Count

    @model_validator(mode="after")
    def refuse_misfits(self) -> "PracticeConfig":
        """The section; raises ValueError for a segment that ends within a decision, and for fewer
        tracks than groups."""
        if self.steps % self.hold:
            raise ValueError(
                f"steps is {self.steps}, not a multiple of hold, {self.hold}: change one of them"
            )
        refuse_few_tracks(self.tracks, self.envs)
        return self

    def rules_at(self, share: float, limits: Limits) -> "Rules":
        """The rules of practice at `share` of the training."""
        return Rules(
            steps=self.steps,
            hold=self.hold,
            noise=geometric(self.noise, share),
            limits=limits,
            discount=discount_at(self.discount, share),
            lost_cost=geometric(self.lost_cost, share),
            missed_cost=geometric(self.missed_cost, share),
            replay_share=self.replay_share,
            replay_tracks=self.replay_tracks,
        )


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
