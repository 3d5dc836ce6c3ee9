"""Score ways to drive in M's dream: 64 dreams, begun along a lap of the trained agent.

In a clone, after `dvc pull`: python -m examples.dream
"""

from collections.abc import Callable
from dataclasses import replace

import gymnasium
import numpy as np

from worldmodels.control.controller import act
from worldmodels.interop.trained import TrainedRound
from worldmodels.reports.dreaming import TO_THE_END, moments_of

DREAMS, STEPS = 64, 100

trained = TrainedRound.load("dream")
agent, lap = trained.agent, trained.lap(track=7)
dream = gymnasium.make_vec(
    "worldmodels.dream:WorldModels/Dream-v0",
    num_envs=DREAMS,
    vectorization_mode="vector_entry_point",
    model=trained.dream,
    memory=agent.memory,
    moments=moments_of(lap, agent.memory, trained.dream),
    rules=replace(TO_THE_END, horizon=STEPS, lost_cost=100.0),
)


def by_c(observations: np.ndarray) -> np.ndarray:
    """The actions [n, A] of the trained C."""
    candidates = np.zeros(len(observations), dtype=np.int64)
    features = observations[:, : agent.config.features].astype(np.float64)
    return act(agent.parameters, candidates, features, agent.hidden_units)


def straight_on(observations: np.ndarray) -> np.ndarray:
    """Half gas, and no steering."""
    return np.tile([0.0, 0.5, 0.0], (len(observations), 1))


def score(choose: Callable[[np.ndarray], np.ndarray]) -> str:
    """What the dreams pay for the actions [n, A] that are chosen on observations [n, Z + H]."""
    observations, infos = dream.reset(seed=1)  # the same moments and noise each time
    points = np.zeros(DREAMS)
    for _ in range(STEPS):
        actions = choose(observations).astype(np.float32)
        observations, rewards, _, _, infos = dream.step(actions)
        points += rewards
    lost = infos["lost"].mean()
    return f"{points.mean():.1f} points in {STEPS} steps, lost with a probability of {lost:.2f}"


print(f"the trained C: {score(by_c)}")
print(f"straight on: {score(straight_on)}")
dream.close()
