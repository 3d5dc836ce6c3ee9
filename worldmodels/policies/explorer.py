"""The policy of the first world: drives blindly, with a temperament drawn for each episode.

It is given neither picture nor track. Each episode draws a temperament (the spread of the
steering, the means of gas and brake) and then acts by an Ornstein-Uhlenbeck process, whose values
change smoothly, as a driver's do. With little gas the car stands or rolls along the straights,
with much it takes bends at speed until it leaves the road, and with a wide spread of the steering
it spins. Departs from the paper, whose rollouts are driven by randomly initialised networks.
"""

import numpy as np

from worldmodels.pipeline.params import Count, Positive, Range, Section


class ExplorationConfig(Section):
    """The process of each action, and the ranges that a temperament is drawn from."""

    correlation: Count
    steering_std: Range[float]
    gas_mean: Range[float]
    gas_std: Positive
    brake_mean: Range[float]
    brake_std: Positive


class Exploration:
    """The process that acts in one episode."""

    def __init__(self, config: ExplorationConfig, rng: np.random.Generator):
        self.rng = rng
        self.keep = np.exp(-1.0 / config.correlation)
        gas_mean, brake_mean, steering_std = (
            rng.uniform(low, high)
            for low, high in (config.gas_mean, config.brake_mean, config.steering_std)
        )
        self.mean = np.array([0.0, gas_mean, brake_mean])
        self.std = np.array([steering_std, config.gas_std, config.brake_std])
        self.value = self.mean + self.std * rng.standard_normal(3)

    def step(self) -> np.ndarray:
        """The next value [3] of the process, whose stationary distribution is N(mean, std^2)."""
        fresh = np.sqrt(1 - self.keep**2) * self.std * self.rng.standard_normal(3)
        self.value = self.mean + self.keep * (self.value - self.mean) + fresh
        return self.value
