"""Drive one track with an agent, for somebody to see."""

from collections.abc import Callable

import gymnasium
import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.driving.episodes import Drive, refuse_nonfinite


def play(
    agent: Agent,
    env: gymnasium.Env,
    track: int,
    seed: int,
    device: str,
    horizon: int,
    look: Callable[[np.ndarray, np.ndarray, float, int], None],
) -> tuple[float, int]:
    """Drive `track` to its end, or for `horizon` steps; returns the return and the steps driven.

    `env` gives observations uint8 [64, 64, 3]. Before every step `look` is called with the
    observation, the action [3], the return so far and the number of the step. Raises UserError
    for an action that is not finite.
    """
    driver = AgentDriver(agent, 1, seed, device)
    observation, _ = env.reset(seed=track)
    slot = np.array([0])
    driver.start(0, 0, track)
    score, step, over = 0.0, 0, False
    while step < horizon and not over:
        action = driver.act(slot, observation[None])[0]
        driver.remember(slot, action[None])
        refuse_nonfinite(action, Drive(0, track), step)
        look(observation, action, score, step)
        observation, reward, terminated, truncated, _ = env.step(action)
        score, step, over = score + float(reward), step + 1, terminated or truncated
    return score, step
