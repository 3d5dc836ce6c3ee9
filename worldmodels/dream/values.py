"""The worth of recorded drives: targets for the critic from real rewards, less dreams' costs."""

import numpy as np

from worldmodels.dream.moments import Along
from worldmodels.dream.rules import Rules


def paid_along(along: Along, rules: Rules) -> np.ndarray:
    """The recorded rewards [n], float64, of all moments, as a dream with `rules` pays them."""
    columns = (along.joined(name).astype(np.float64) for name in ("rewards", "off_road", "moved"))
    return rules.paid(*columns)


def values_along(
    along: Along,
    rewards: np.ndarray,
    value: np.ndarray,
    discount: float,
    gae_lambda: float,
    lost_cost: float,
    delay: int,
) -> np.ndarray:
    """The lambda-returns [n] in points of all moments (Sutton & Barto 2018, eq. 12.2).

    `rewards` [n] and `value` [n], the critic's, are in points; `discount` and `gae_lambda` are per
    step. A loss costs `lost_cost` at the step from which the car counts as lost, and nothing
    follows the end of its drive; after the last moment of any other drive, the return is taken to
    be the value of that moment. A step that C did not decide is likewise worth its value.
    """
    lengths = along.lengths
    rewards, by_c = rewards.astype(np.float64), along.by_c
    for start, drive in zip(along.starts, along.drives):
        if drive.lost:
            rewards[start + min(drive.lost_from(delay), len(drive) - 1)] -= lost_cost
    order = np.argsort(-lengths, kind="stable")
    last = along.starts[order] + lengths[order] - 1
    lost = np.array([along.drives[index].lost for index in order])
    ahead = np.where(lost, 0.0, value[last])  # the return that follows, and its value
    following = ahead.copy()
    targets = np.empty(len(value))
    for back in range(int(lengths.max())):
        n = int((lengths > back).sum())
        rows = last[:n] - back
        mixed = (1 - gae_lambda) * following[:n] + gae_lambda * ahead[:n]
        ahead[:n] = rewards[rows] + discount * mixed
        following[:n] = value[rows]
        ahead[:n] = np.where(by_c[rows], ahead[:n], value[rows])
        targets[rows] = ahead[:n]
    return targets
