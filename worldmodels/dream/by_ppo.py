"""C by PPO in the dream: the same algorithm as on the real track, fed by dreams.

C's update sees dreamt rewards, and what the last moment of a dream is worth, as a weighted mean of
two critics: that of the record, and PPO's own, which learns from the dreams and is their baseline.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator

from worldmodels.dream.environment import Dream
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.record_critic import RecordCritic, RecordCriticConfig
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.schedule import Averages, Schedule, ScheduleEntry, mean_of_last, scheduled
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import Count, Positive
from worldmodels.ppo.algorithm import AlgorithmConfig, Learner
from worldmodels.ppo.rollout import GOES_ON, TERMINATED, TRUNCATED, Rollout
from worldmodels.runtime.cores import one_thread
from worldmodels.training.schedule import geometric


class Noise(ScheduleEntry):
    """The std of the noise on C's outputs: it goes from `first` to `last` in every lesson."""

    first: Positive
    last: Positive


class RecordWeight(ScheduleEntry):
    """The weight of the record's critic in a last moment's value; the rest goes to PPO's own."""

    weight: Annotated[float, Field(gt=0, le=1)]


class DreamPPOConfig(AlgorithmConfig):
    """The section `dream.ppo` of params.yaml; rates go from their first value to their second in
    every lesson. `noise` and `record_weight` are schedules, see `scheduled`."""

    hidden_components: Count
    dreams: Count
    horizon: Count
    first_updates: Count
    updates: Count
    hold: Count
    noise: Schedule[Noise]
    record_weight: Schedule[RecordWeight]
    averaged_actors: Count
    averaged: Averages
    record_critic: RecordCriticConfig

    @model_validator(mode="after")
    def refuse_cut_decisions(self) -> "DreamPPOConfig":
        """The section; raises ValueError if a dream ends within a decision."""
        if self.horizon % self.hold:
            raise ValueError(
                f"horizon is {self.horizon}, not a multiple of hold, {self.hold}: change one"
            )
        return self


@one_thread()  # torch's threads would compete with the dream's own for the cores
def roll_out(
    dream: Dream,
    learner: Learner,
    critic: RecordCritic,
    noise: float,
    hold: int,
    discount: float,
    record_weight: float,
    rng: np.random.Generator,
) -> Rollout:
    """Dream for the horizon of `dream`, with noise that is held for `hold` steps: one decision.

    `discount` is per step. The value of the last moments is a weighted mean of `critic`, that of
    the record, with weight `record_weight`, 0 to 1, and of PPO's own. Both critics are given the
    same inputs; the actor is given the first of the scaled features in them.
    """
    n, decisions = dream.num_envs, dream.rules.horizon // hold
    inputs = next(learner.actor.parameters()).shape[1]
    scale = Scaling.of(critic.space)
    features = np.zeros((decisions, n, inputs), np.float32)
    raws = np.zeros((decisions, n, ACTION_SIZE), np.float32)
    critic_inputs = np.zeros((decisions, n, critic.input_size), np.float32)
    reward, end = np.zeros((decisions, n)), np.full((decisions, n), GOES_ON, np.int8)
    counts = np.ones((decisions, n), dtype=bool)
    observations, infos = dream.reset(
        seed=int(rng.integers(1 << 62)),
        options={"moments": np.arange(n) % len(dream.moments.latents)},
    )
    begins = np.zeros(n, dtype=bool)  # a dream that begins with this step, whose action is ignored
    for decision in range(decisions):
        held = (noise * rng.standard_normal((n, ACTION_SIZE))).astype(np.float32)
        under_way, steps = ~begins, np.zeros((n, 1), np.float32)
        counts[decision] = under_way
        scaled = scale(observations)
        critic_inputs[decision] = np.concatenate([scaled, infos["hidden"]], axis=1)
        for step in range(hold):
            scaled = scale(observations) if step else scaled
            with torch.no_grad():
                raw = learner.actor(torch.from_numpy(scaled[:, :inputs])).numpy() + held
            features[decision] += scaled[:, :inputs] * under_way[:, None]
            raws[decision] += raw * under_way[:, None]
            steps += under_way[:, None]
            observations, rewards, terminated, truncated, infos = dream.step(squash(raw))
            reward[decision] += discount**step * rewards * under_way
            end[decision][under_way & terminated] = TERMINATED
            end[decision][under_way & truncated] = TRUNCATED
            begins = terminated | truncated
            under_way = under_way & ~begins  # what follows belongs to the next dream
        features[decision] /= np.maximum(steps, 1)
        raws[decision] /= np.maximum(steps, 1)
    end[-1] = np.where(end[-1] == GOES_ON, TRUNCATED, end[-1])
    last = critic.inputs(observations, infos["hidden"])
    own = learner.values(last)
    return Rollout(
        features=features,
        raw=raws,
        critic_inputs=critic_inputs,
        reward=reward,
        end=end,
        counts=counts,
        returns=np.zeros(0),
        value_after=own + record_weight * (critic.values(last) - own),
    )


@dataclass
class DreamPPO:
    """Trains C by PPO in dreams.

    Every lesson begins with C as it is kept: the mean of the results of the last lessons, each the
    mean of the actors after its last updates. The means average out what an actor has learnt that
    holds for its M alone.
    """

    config: DreamPPOConfig
    learner: Learner
    critic: RecordCritic
    results: list[np.ndarray] = field(default_factory=list)

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Some updates in the dreams of a `lesson`; returns what the curve shows of them."""
        config = self.config
        updates = config.first_updates if lesson.first else config.updates
        self.learner.actor.set_point(self.point())
        actors: deque[np.ndarray] = deque(maxlen=config.averaged_actors)
        explained, rewards = [], []
        recorded = self.critic.recorded_inputs(lesson)
        noises = [scheduled(config.noise, name, lesson.number) for name in ("first", "last")]
        for update in range(updates):
            share = update / max(updates - 1, 1)
            noise, discount = geometric(noises, share), lesson.config.discount
            self.learner.set_learning_rates(share)
            self.critic.learn(lesson, recorded, share)
            dream = lesson.dream(config.dreams, config.horizon, share)
            rollout = roll_out(
                dream,
                self.learner,
                self.critic,
                noise,
                config.hold,
                discount,
                scheduled(config.record_weight, "weight", lesson.number),
                lesson.rng,
            )
            rewards.append(float(rollout.reward.mean()) / config.hold)
            batch, part = self.learner.judge([rollout], noise, discount**config.hold)
            explained.append(part)
            self.learner.update(batch, noise, lesson.device)
            actors.append(self.learner.actor.point())
        self.results.append(np.mean(actors, axis=0))
        return {
            "dreamt_reward": float(np.mean(rewards[-updates // 2 :])),
            "explained": float(np.mean(explained)),
            "exploration_std": noise,
        }

    def point(self) -> np.ndarray:
        """C as a point of the leading space."""
        return mean_of_last(self.results, self.config.averaged, self.learner.actor.point())
