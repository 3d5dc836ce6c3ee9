"""Where to start a search: at what the agent of the record did, fitted by least squares.

A departure from the paper, whose searches start at zero. V and M are new in every round, so that
the controller before cannot be carried over; what it did can, since C is linear.
"""

import numpy as np
import torch

from worldmodels.controller import ACTIONS
from worldmodels.latents import Latents
from worldmodels.mdnrnn import MDNRNN
from worldmodels.search_space import SearchSpace
from worldmodels.sequences import Sequences

LARGEST = 0.95  # of an action that is turned back: tanh reaches 1 nowhere
NO_BRAKE = -0.5  # what is asked of the brake's sum where it was not used
RIDGE = 0.01  # on weights of features of unit variance


def imitate(space: SearchSpace, features: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The point [D] of a linear `space` whose controller does `actions` [n, 3] most nearly.

    `features` [n, F] are what C was given at each of them.
    """
    steering, gas, brake = np.clip(actions.astype(np.float64), -LARGEST, LARGEST).T
    gas = np.clip(2 * actions[:, 1].astype(np.float64) - 1, -LARGEST, LARGEST)
    wanted = np.stack([np.arctanh(steering), np.arctanh(gas), np.arctanh(brake)], axis=1)
    wanted[actions[:, 2] == 0, 2] = NO_BRAKE
    scaled = (features - space.centre) @ space.basis.T
    inputs = np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)
    penalty = RIDGE * len(inputs) * np.eye(inputs.shape[1])
    penalty[-1, -1] = 0
    weights = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ wanted)
    return np.concatenate([weights[:-1].T.reshape(-1), weights[-1]])


@torch.inference_mode()
def features_seen(
    memory: MDNRNN | None, latents: Latents, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What C is given, [n, Z] or [n, Z + H] with `memory`, and actions [n, 3] of whole episodes.

    `chosen` [episodes]. h is the state before z is consumed.
    """
    features, actions = [], []
    for windows in Sequences(latents, chosen).episodes(64):
        mu, action = windows["mu"][:, :-1], windows["action"]
        parts = [mu]
        if memory is not None:
            state = memory.initial_state(len(mu))
            after, _ = memory.lstm(torch.cat([mu, action], dim=2), tuple(state))
            parts.append(torch.cat([state.hidden[0][:, None], after[:, :-1]], dim=1))
        there = windows["is_step"] > 0
        features.append(torch.cat(parts, dim=2)[there].double().numpy())
        actions.append(action[there].double().numpy())
    return np.concatenate(features), np.concatenate(actions)


def starting_point(
    space: SearchSpace, memory: MDNRNN | None, latents: Latents, by_agent: np.ndarray
) -> np.ndarray:
    """Zero, or the imitation of the agent in the episodes `by_agent` [episodes] if there are any.

    A controller with a hidden layer starts at zero too: it is not linear.
    """
    if space.dimensions != ACTIONS * (len(space.basis) + 1) or not by_agent.any():
        return np.zeros(space.dimensions)
    return imitate(space, *features_seen(memory, latents, by_agent))
