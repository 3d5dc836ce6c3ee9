"""What PPO learns from: decisions, how they ended, and how much better they were than expected."""

from typing import NamedTuple

import numpy as np

# How a decision ends. TRUNCATED: more would follow, but it is not in the rollout.
GOES_ON, TERMINATED, TRUNCATED = range(3)


class Rollout(NamedTuple):
    """The experience of D decisions in each of N environments, made with Gaussian noise.

    `features` [D, N, K] of the actor, `raw` [D, N, A], its outputs with the noise, and
    `critic_inputs` [D, N, L]; `reward` [D, N] in points; `end` [D, N]: GOES_ON, TERMINATED or
    TRUNCATED; `counts` bool [D, N]: False where a decision teaches nothing. `returns` [E] are
    those of the E episodes that ended, driven with noise. `value_after` [N]: what follows the last
    decision, in points, where that is known.
    """

    features: np.ndarray
    raw: np.ndarray
    critic_inputs: np.ndarray
    reward: np.ndarray
    end: np.ndarray
    counts: np.ndarray
    returns: np.ndarray
    value_after: np.ndarray | None = None


def advantages(
    reward: np.ndarray,
    value: np.ndarray,
    end: np.ndarray,
    discount: float,
    gae_lambda: float,
    value_after: np.ndarray | None = None,
) -> np.ndarray:
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16) of decisions, all [D, N].

    `value` is the critic's, in points. Nothing follows a decision that is TERMINATED; what would
    follow one that is TRUNCATED is taken to be worth the value before it, since the state after it
    is unknown (bootstrapping at time limits: Pardo et al. 2018). For the last decisions alone, it
    may be known: `value_after` [N].
    """
    next_value = np.where(end == TRUNCATED, value, np.concatenate([value[1:], value[-1:]]))
    if value_after is not None:
        next_value[-1] = value_after
    delta = reward + discount * next_value * (end != TERMINATED) - value  # eq. 9
    out, running = np.zeros_like(value), np.zeros(value.shape[1])
    for step in reversed(range(len(value))):
        running = delta[step] + discount * gae_lambda * running * (end[step] == GOES_ON)
        out[step] = running
    return out
