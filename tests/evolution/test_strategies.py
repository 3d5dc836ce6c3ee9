import os
import subprocess
import sys

import numpy as np
import pytest

from worldmodels.evolution.strategies import CMAES, SimpleES, SimpleESConfig


def sphere(x):
    return -((x - 1) ** 2).sum(1)


def rosenbrock(x):
    return -(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def rastrigin(x):
    x = x - 1.5
    return -(10 * x.shape[1] + (x**2 - 10 * np.cos(2 * np.pi * x)).sum(1))


def cma_es(dimensions, sigma=0.5, population=20, seed=1):
    return CMAES(np.zeros(dimensions), sigma, population, np.random.default_rng(seed))


def simple_es(dimensions, sigma=0.5, population=60, seed=1, decay=0.98):
    config = SimpleESConfig(elite_share=0.25, sigma_decay=decay)
    return SimpleES(np.zeros(dimensions), sigma, population, np.random.default_rng(seed), config)


def run(strategy, objective, generations):
    for _ in range(generations):
        population = strategy.ask()
        strategy.tell(population, objective(population))
    return objective(strategy.mean[None])[0]


@pytest.mark.parametrize(
    ("make", "objective", "dimensions", "generations", "reached"),
    [
        (cma_es, sphere, 10, 150, -1e-8),
        (cma_es, rosenbrock, 5, 400, -1e-8),
        (lambda n: cma_es(n, 3.0, 100), rastrigin, 4, 150, -1e-6),
        (simple_es, sphere, 10, 250, -0.01),
        (lambda n: simple_es(n, 0.5, 100, decay=0.995), rosenbrock, 2, 600, -0.02),
        (lambda n: simple_es(n, 2.0, 300), rastrigin, 4, 250, -1.1),
    ],
)
def test_strategy_finds_the_maximum(make, objective, dimensions, generations, reached):
    strategy = make(dimensions)
    assert objective(strategy.mean[None])[0] < reached
    assert run(strategy, objective, generations) > reached


@pytest.mark.parametrize("make", [cma_es, simple_es])
def test_same_seed_gives_the_same_search_and_another_seed_another(make):
    a, b, c = make(4), make(4), make(4, seed=2)
    np.random.seed(5)
    run(a, sphere, 5)
    np.random.seed(6)
    run(b, sphere, 5)
    run(c, sphere, 5)
    np.testing.assert_array_equal(a.mean, b.mean)
    assert (a.mean != c.mean).any()


def test_cma_es_never_stops_on_a_flat_fitness():
    strategy = cma_es(3)
    for _ in range(300):
        strategy.tell(strategy.ask(), np.zeros(20))
    assert strategy.strategy.stop() == {}


@pytest.mark.parametrize("make", [cma_es, simple_es])
def test_a_fitness_that_is_not_finite_is_refused(make):
    strategy = make(3)
    population = strategy.ask()
    with pytest.raises(ValueError, match="not finite"):
        strategy.tell(population, np.full(len(population), np.nan))


def test_imports_no_matplotlib_and_ignores_its_settings():
    script = """
import sys
from worldmodels.evolution.strategies import cma
assert "matplotlib" not in sys.modules and cma.CMAEvolutionStrategy
"""
    env = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
