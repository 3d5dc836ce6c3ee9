"""The rules of a dream: how long it lasts, and what it pays."""

from dataclasses import dataclass

import numpy as np

from worldmodels.environment.frames import sliding_of, speed_of


@dataclass(frozen=True)
class Rules:
    """The rules of a dream.

    `temperature` of the draws (paper: tau), above 0; `sampled`: latents are drawn, else the means
    of their mixtures; `sight_noise`: scale of M's errors, which are added to what C sees;
    `horizon`: steps after which a dream is truncated; `lost_cost`: points that a loss costs;
    `lost_at`: the probability of a loss at which the dream ends with it; `off_road_cost`: points
    for being fully off the road after a step; `speed_cost`: points for each m/s beyond
    `speed_limit`, in every step; `sliding_cost`: for each m/s sideways beyond `sliding_limit`.
    """

    temperature: float
    sampled: bool
    sight_noise: float
    horizon: int
    lost_cost: float
    lost_at: float
    off_road_cost: float
    speed_limit: float
    speed_cost: float
    sliding_limit: float
    sliding_cost: float

    def paid(self, reward: np.ndarray, off_road: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """What is paid for steps [n]: their reward, less the costs of being off the road (0 to 1),
        and of the speed and the sliding in their motion `moved` [n, MOTION_SIZE]."""
        excess = np.maximum(speed_of(moved) - self.speed_limit, 0)
        slide = np.maximum(sliding_of(moved) - self.sliding_limit, 0)
        cost = self.off_road_cost * off_road + self.speed_cost * excess + self.sliding_cost * slide
        return reward - cost


MEANS = Rules(
    temperature=1.0,
    sampled=False,
    sight_noise=0.0,
    horizon=1,
    lost_cost=0.0,
    lost_at=1.0,
    off_road_cost=0.0,
    speed_limit=np.inf,
    speed_cost=0.0,
    sliding_limit=np.inf,
    sliding_cost=0.0,
)
