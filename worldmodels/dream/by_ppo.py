"""C by PPO in the dream: the same algorithm as on the real track, fed by dreams.

C's update sees dreamt rewards alone. The critic, which is discarded, learns from recorded rewards:
what a bend costs that is taken too fast shows later than a dream is long, and M dreams of no bend
that it has not seen. While C drives badly, it learns from dreams too; later it would only hear
there that speed costs nothing.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.environment import Dream
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.values import values_along
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import Count, Natural, Share
from worldmodels.ppo.algorithm import (
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    AlgorithmConfig,
    Learner,
    Recorded,
    Rollout,
)
from worldmodels.training.schedule import FromTo, geometric

REFRESHED_EVERY = 5  # updates, after which the values of recorded moments are computed again


class DreamPPOConfig(AlgorithmConfig):
    """The section `dream.ppo` of params.yaml; noise and rates go from their first value to their
    second in every lesson. `recorded_weight` is that of the critic's error on recorded moments,
    the rest that of its error on dreams; from the lesson `recorded_alone_from` on, counted from 0,
    it learns from recorded moments alone."""

    hidden_components: Count
    dreams: Count
    first_updates: Count
    updates: Count
    hold: Count
    noise: FromTo
    averaged_actors: Count
    averaged_lessons: Count
    recorded_weight: Share
    recorded_alone_from: Natural


def roll_out(
    dream: Dream,
    learner: Learner,
    space: SearchSpace,
    noise: float,
    hold: int,
    discount: float,
    rng: np.random.Generator,
) -> Rollout:
    """Dream for the horizon of `dream`, with noise that is held for `hold` steps: one decision.

    `discount` is per step. The actor is given the first of the features scaled by `space`, the
    critic all, and the state of the M that dreams.
    """
    n, decisions = dream.num_envs, dream.rules.horizon // hold
    inputs = next(learner.actor.parameters()).shape[1]
    scale = Scaling.of(space)
    features = np.zeros((decisions, n, inputs), np.float32)
    raws = np.zeros((decisions, n, ACTION_SIZE), np.float32)
    width = len(space.basis) + dream.model.config.hidden_size
    critic_inputs = np.zeros((decisions, n, width), np.float32)
    reward, end = np.zeros((decisions, n)), np.full((decisions, n), GOES_ON, np.int8)
    counts = np.ones((decisions, n), dtype=bool)
    observations, infos = dream.reset(
        seed=int(rng.integers(1 << 62)), options={"moments": np.arange(n) % len(dream.moments.mu)}
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
    return Rollout(
        features=features,
        raw=raws,
        critic_inputs=critic_inputs,
        reward=reward,
        end=end,
        counts=counts,
        returns=np.zeros(0),
        after=np.concatenate([scale(observations), infos["hidden"]], axis=1),
    )


@dataclass
class DreamPPO:
    """Trains C by PPO in dreams.

    Every lesson begins with C as it is kept: the mean of the results of the last lessons, each the
    mean of the actors after its last updates. What an actor learns that is true of its M alone,
    the means forget.
    """

    config: DreamPPOConfig
    space: SearchSpace
    learner: Learner
    results: deque[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.results = deque(maxlen=self.config.averaged_lessons)

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Some updates in the dreams of a `lesson`; returns what the curve shows of them."""
        config = self.config
        updates = config.first_updates if lesson.first else config.updates
        self.learner.actor.set_point(self.point())
        actors: deque[np.ndarray] = deque(maxlen=config.averaged_actors)
        explained, rewards = [], []
        for update in range(updates):
            share = update / max(updates - 1, 1)
            noise, discount = geometric(config.noise, share), lesson.discount(share)
            self.learner.set_learning_rates(share)
            if update % REFRESHED_EVERY == 0:
                recorded = self.judge_record(lesson, share)
            dream = lesson.dream(config.dreams, share)
            rollout = roll_out(
                dream, self.learner, self.space, noise, config.hold, discount, lesson.rng
            )
            rewards.append(float(rollout.reward.mean()) / config.hold)
            batch, part = self.learner.judge([rollout], noise, discount**config.hold)
            explained.append(part)
            for _ in range(config.epochs):
                for minibatch in self.learner.minibatches(batch):
                    self.learner.improve(minibatch, noise, self._some(recorded, lesson.rng))
            self.learner.refuse_nonfinite(self.learner.weights())
            actors.append(self.learner.actor.point())
        self.results.append(np.mean(actors, axis=0))
        return {
            "dreamt_reward": float(np.mean(rewards[-updates // 2 :])),
            "explained": float(np.mean(explained)),
            "exploration_std": noise,
        }

    def point(self) -> np.ndarray:
        """C as a point of the leading space."""
        return np.mean(self.results or [self.learner.actor.point()], axis=0)

    def judge_record(self, lesson: Lesson, share: float) -> Recorded:
        """All moments of a lesson, and what they were worth, at `share` of it."""
        moments, config = lesson.along.moments, self.config
        features = torch.cat([moments.mu, moments.memory], dim=1).numpy()
        scaled = Scaling.of(self.space)(features)
        inputs = np.concatenate([scaled, moments.hidden.numpy()], axis=1)
        targets = values_along(
            lesson.along,
            lesson.rewards,
            self.learner.values(inputs),
            lesson.discount(share),
            config.gae_lambda ** (1 / config.hold),
            lesson.rules(share).lost_cost,
            lesson.lost_delay,
        )
        in_units = torch.from_numpy((targets / config.value_scale).astype(np.float32))
        alone = lesson.number >= config.recorded_alone_from
        weight = 1.0 if alone else config.recorded_weight
        return Recorded(torch.from_numpy(inputs), in_units, weight)

    def _some(self, recorded: Recorded, rng: np.random.Generator) -> Recorded:
        rows = torch.from_numpy(rng.integers(len(recorded.target), size=self.config.batch_size))
        return Recorded(recorded.critic_inputs[rows], recorded.target[rows], recorded.weight)
