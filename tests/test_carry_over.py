"""A search that goes on where the earlier round's ended, under another V and M."""

import numpy as np
import torch

from tests.test_driving import make_agent
from worldmodels.agent import AgentDriver
from worldmodels.carry_over import CarryOverConfig, carry_over, features_of
from worldmodels.driving import drive
from worldmodels.environment.fleet import Fleet
from worldmodels.evolution import CMAES, SimpleES, SimpleESConfig
from worldmodels.scenes import Scenes
from worldmodels.search_space import scaled_space

CONFIG = CarryOverConfig(sigma=0.3, ridge=0.001, floor=0.05)


class Watched(AgentDriver):
    """Keeps the features that C was given; acts in numbers that the record holds exactly."""

    def act(self, slots, observations):
        actions = super().act(slots, observations).astype(np.float16).astype(np.float32)
        hidden = self.hidden[slots].clone()
        self.given.append(torch.cat([self.seen[: len(slots)], hidden], dim=1).numpy())
        return actions


def test_features_are_those_that_the_controller_was_given():
    agent = make_agent(candidates=1)
    driver = Watched(agent, 1, 1, "cpu")
    driver.given = []
    jobs = [(0, 3), (0, 4), (0, 5)]
    outcomes = drive(driver, Fleet(1), jobs, 30, 0, record_as="agent")
    scenes = Scenes([outcome.episode for outcome in outcomes])
    chosen = np.array([True, False, True])
    found = features_of(agent, scenes, chosen, 1)
    given = np.concatenate(driver.given)
    np.testing.assert_allclose(found, np.concatenate([given[:30], given[60:]]), atol=1e-5)


def two_views(rng):
    """The same 4000 steps in features of an earlier and of a later round."""
    old = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6)) + 3
    return old, old @ rng.normal(size=(6, 6)) - 1


def test_the_mean_acts_as_before_and_samples_spread_as_before():
    rng = np.random.default_rng(1)
    old, new = two_views(rng)
    mean, spread = rng.normal(size=21), 0.1 * rng.normal(size=(21, 21))
    space = scaled_space("z", new, None, 1, 0.01)
    carried = carry_over(CONFIG, space, new, old, mean, spread)

    def sums(controllers, features):
        weights = controllers[:, :18].reshape(-1, 3, 6)
        return np.einsum("cad,nd->cna", weights, features) + controllers[:, None, 18:]

    before, after = sums(mean[None], old), sums(carried.unfold(np.zeros((1, 21))), new)
    assert np.abs(after - before).mean() < 0.1 * before.std()
    samples = mean + rng.normal(size=(400, 21)) @ spread
    before = sums(samples, old).std(axis=0)
    after = sums(carried.unfold(rng.normal(size=(400, 21))), new).std(axis=0)
    assert abs(after.mean() / before.mean() - 1) < CONFIG.floor + 0.1
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_the_spread_of_a_strategy_is_that_of_its_samples():
    rng = np.random.default_rng(1)
    for strategy in (
        CMAES(np.zeros(3), 0.5, 400, rng),
        SimpleES(np.zeros(3), 0.5, 400, rng, SimpleESConfig(elite_share=0.2, sigma_decay=0.9)),
    ):
        for _ in range(6):
            samples = strategy.ask()
            strategy.tell(samples, -((samples @ [[1, 0, 0], [0, 5, 0], [0, 2, 9]] - 1).T[0] ** 2))
        expected = strategy.spread.T @ strategy.spread
        found = np.cov(np.concatenate([strategy.ask() for _ in range(20)]), rowvar=False)
        np.testing.assert_allclose(found, expected, atol=0.15 * expected.max())
