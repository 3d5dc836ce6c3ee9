"""Evolution strategies behind one ask-and-tell interface. Fitness is maximised."""

import sys
import warnings
from types import ModuleType
from typing import Literal, Protocol

import numpy as np

from worldmodels.pipeline.params import Positive, Section, Share


def _import_cma() -> ModuleType:
    """Import pycma without its plots.

    They need matplotlib, whose import takes half a second and fails under some settings of the
    user, such as the MPLBACKEND of a notebook.
    """
    there = {name: sys.modules[name] for name in sys.modules if name == "matplotlib"}
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # makes its import fail
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pycma's, that it cannot plot
            import cma
    finally:
        del sys.modules["matplotlib"]
        sys.modules.update(there)
    return cma


cma = _import_cma()
Strategy = Literal["cma-es", "simple-es"]
NEVER_STOP = {
    "tolfun": 0,
    "tolfunhist": 0,
    "tolfunrel": 0,
    "tolx": 0,
    "tolstagnation": np.inf,
    "tolflatfitness": np.inf,
    "tolconditioncov": np.inf,
    "tolfacupx": np.inf,
    "tolupsigma": np.inf,
}


class SimpleESConfig(Section):
    """The section `simple_es` of an evolution in params.yaml."""

    elite_share: Share
    sigma_decay: Positive


class EvolutionStrategy(Protocol):
    """A search distribution with a `mean` [D] and a step size `sigma`."""

    @property
    def mean(self) -> np.ndarray: ...

    @property
    def sigma(self) -> float: ...

    def ask(self) -> np.ndarray:
        """A population [N, D] drawn from the distribution."""

    def tell(self, population: np.ndarray, fitness: np.ndarray) -> None:
        """Update the distribution by the fitness [N] of the population that was asked for."""


class _Draws:
    """numpy's old `randn` on a generator; a class, so that a checkpoint can hold it."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)


class CMAES:
    """Covariance matrix adaptation (Hansen 2016) by pycma, which minimises.

    Its stopping criteria are off: on noisy fitness they fire at random. It draws from `rng`, not
    from numpy's global generator. `start` [D] is the first mean, `sigma` the first step size.
    """

    def __init__(self, start: np.ndarray, sigma: float, population: int, rng: np.random.Generator):
        options = {
            "popsize": population,
            "randn": _Draws(rng),
            "seed": np.nan,
            "verbose": -9,
            **NEVER_STOP,
        }
        self.strategy = cma.CMAEvolutionStrategy(start, sigma, options)

    @property
    def mean(self) -> np.ndarray:
        return np.array(self.strategy.mean)

    @property
    def sigma(self) -> float:
        return float(self.strategy.sigma)

    def ask(self) -> np.ndarray:
        return np.array(self.strategy.ask())

    def tell(self, population: np.ndarray, fitness: np.ndarray) -> None:
        _refuse_nonfinite(fitness)
        self.strategy.tell(list(population), list(-fitness))


class SimpleES:
    """A (mu, lambda)-ES: the next mean is that of the elite, and sigma decays; else as CMAES."""

    def __init__(
        self,
        start: np.ndarray,
        sigma: float,
        population: int,
        rng: np.random.Generator,
        config: SimpleESConfig,
    ):
        self.mean, self.sigma = start.copy(), sigma
        self.population, self.rng, self.config = population, rng, config

    def ask(self) -> np.ndarray:
        noise = self.rng.standard_normal((self.population, len(self.mean)))
        return self.mean + self.sigma * noise

    def tell(self, population: np.ndarray, fitness: np.ndarray) -> None:
        _refuse_nonfinite(fitness)
        elite = max(round(self.config.elite_share * self.population), 1)
        self.mean = population[np.argsort(-fitness, kind="stable")[:elite]].mean(axis=0)
        self.sigma *= self.config.sigma_decay


def make_strategy(
    name: Strategy,
    start: np.ndarray,
    sigma: float,
    population: int,
    rng: np.random.Generator,
    simple_es: SimpleESConfig,
) -> EvolutionStrategy:
    """The evolution strategy `name`, with its mean at `start` [D]."""
    if name == "cma-es":
        return CMAES(start, sigma, population, rng)
    return SimpleES(start, sigma, population, rng, simple_es)


def _refuse_nonfinite(fitness: np.ndarray) -> None:
    if not np.isfinite(fitness).all():
        raise ValueError(f"fitness {fitness} is not finite: an episode gave no proper return")
