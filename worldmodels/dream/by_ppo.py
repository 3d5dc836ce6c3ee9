"""C by PPO in the dream: the same algorithm as on the real track, fed by dreams.

C's update sees dreamt rewards alone. The critic, which is discarded, learns from recorded rewards
too: what a bend costs that is taken too fast shows later than a dream is long.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch

from worldmodels.control.search_space import SearchSpace
from worldmodels.dream.environment import Dream
from worldmodels.dream.lesson import Lesson
from worldmodels.dream.values import values_along
from worldmodels.environment.actions import squash
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import Count, Share
from worldmodels.ppo.algorithm import (
    GOES_ON,
    TERMINATED,
    TRUNCATED,
    AlgorithmConfig,
    FromTo,
    Learner,
    Recorded,
    Rollout,
    along,
)


class DreamPPOConfig(AlgorithmConfig):
    """The section `dream.ppo` of params.yaml."""

    dreams: Count
    updates: Count
    hold: Count
    noise: FromTo
    averaged_actors: Count
    recorded_share: Share


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


@dataclass(frozen=True)
class Scaling:
    """Scales features in float32: the affine map of a search space."""

    basis: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def of(cls, space: SearchSpace) -> "Scaling":
        """The map of `space`."""
        basis = torch.from_numpy(space.basis.T.astype(np.float32))
        return cls(basis, torch.from_numpy((space.basis @ space.centre).astype(np.float32)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scaled features float32 [n, K] of features float32 [n, F]."""
        return (torch.from_numpy(features) @ self.basis - self.shift).numpy()


@dataclass
class DreamPPO:
    """Trains C by PPO in dreams; the result is the mean of the actors after the last updates."""

    config: DreamPPOConfig
    space: SearchSpace
    learner: Learner
    actors: deque = field(default_factory=deque)

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Some updates in the dreams of a `lesson`; returns what the curve shows of them."""
        config, noise = self.config, self.noise(lesson.share)
        self.learner.set_learning_rates(lesson.share)
        recorded = self._recorded(lesson)
        explained, rewards = [], []
        for _ in range(config.updates):
            dream = lesson.dream(config.dreams)
            rollout = roll_out(
                dream, self.learner, self.space, noise, config.hold, lesson.discount, lesson.rng
            )
            rewards.append(float(rollout.reward.mean()) / config.hold)
            discount = lesson.discount**config.hold
            batch, share = self.learner.judge([rollout], noise, discount)
            explained.append(share)
            for _ in range(config.epochs):
                for minibatch in self.learner.minibatches(batch):
                    self.learner.improve(minibatch, noise, self._some(recorded, lesson.rng))
            self.learner.refuse_nonfinite(self.learner.weights())
            self.actors.append(self.learner.actor.point())
            while len(self.actors) > config.averaged_actors:
                self.actors.popleft()
        return {"dreamt_reward": float(np.mean(rewards)), "explained": float(np.mean(explained))}

    def point(self) -> np.ndarray:
        """C as a point of the leading space."""
        return np.mean(self.actors or [self.learner.actor.point()], axis=0)

    def noise(self, share: float) -> float:
        """The std of the noise at `share` of the training."""
        return along(self.config.noise, share)

    def _recorded(self, lesson: Lesson) -> Recorded:
        moments, config = lesson.along.moments, self.config
        features = torch.cat([moments.mu, moments.memory], dim=1).numpy()
        scaled = Scaling.of(self.space)(features)
        inputs = np.concatenate([scaled, moments.hidden.numpy()], axis=1)
        targets = values_along(
            lesson.along,
            self.learner.values(inputs),
            lesson.discount,
            config.gae_lambda ** (1 / config.hold),
            lesson.rules.lost_cost,
            lesson.lost_delay,
        )
        in_units = torch.from_numpy((targets / config.value_scale).astype(np.float32))
        return Recorded(torch.from_numpy(inputs), in_units)

    def _some(self, recorded: Recorded, rng: np.random.Generator) -> Recorded | None:
        count = round(self.config.batch_size * self.config.recorded_share)
        if not count:
            return None
        rows = torch.from_numpy(rng.integers(len(recorded.target), size=count))
        return Recorded(recorded.critic_inputs[rows], recorded.target[rows])
