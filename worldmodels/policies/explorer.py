"""The policy of the first round: drives blindly, but in every temper.

No picture and no track reaches it. Each episode draws a temperament (how restless the steering,
how heavy the gas, how often the brake) and then acts by an Ornstein-Uhlenbeck process, whose
values stay alike for some time as a hand and a foot do. A calm temper stands or rolls along the
straights, a heavy foot takes the curves at speed until it loses the road, a restless hand spins.
Departs from the paper, whose rollouts are driven by randomly initialised networks.
"""

import numpy as np

from worldmodels.pipeline.params import Count, Positive, Range, Section


class ExplorationConfig(Section):
    correlation: Count
    steering_std: Range
    gas_mean: Range
    gas_std: Positive
    brake_mean: Range
    brake_std: Positive


class Exploration:
    """The exploring driver of one episode."""

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

    def wander(self) -> np.ndarray:
        """The next value [3] of the process, whose stationary law is N(mean, std^2)."""
        fresh = np.sqrt(1 - self.keep**2) * self.std * self.rng.standard_normal(3)
        self.value = self.mean + self.keep * (self.value - self.mean) + fresh
        return self.value
