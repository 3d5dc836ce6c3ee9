"""Carry a search over to the V and M of the next round.

C is linear in what V and M give it, and V and M are new in every round. Where the earlier agent
has driven, old and new features are made of the same pictures and actions; so a linear map from
the new to the old, fitted by least squares on the record, turns every controller of the earlier
round into one of this: the mean of its search, and the spread that the search had learnt to be
safe. A departure from the paper, whose searches start at zero.
"""

import numpy as np
import torch
from torch import nn

from worldmodels.agent import Agent
from worldmodels.controller import ACTIONS
from worldmodels.params import NonNegative, Positive, Section
from worldmodels.scenes import Scenes
from worldmodels.search_space import SearchSpace
from worldmodels.vae import GROUP, BatchEncoder


class CarryOverConfig(Section):
    sigma: Positive
    ridge: Positive
    floor: NonNegative


@torch.inference_mode()
def features_of(agent: Agent, scenes: Scenes, chosen: np.ndarray, threads: int) -> np.ndarray:
    """What C of `agent` is given, [n, Z] or [n, Z + H], at every step of episodes `chosen`
    [episodes] under the actions of the record. h is the state before z is consumed."""
    frames = np.flatnonzero(chosen[scenes.episode_of])
    padded = np.resize(frames, -(-len(frames) // GROUP) * GROUP)
    encoder = BatchEncoder(agent.encoder, agent.config.precision, "cpu")
    parts = [encoder(pictures)[0] for pictures in scenes.batches(padded, 8 * GROUP, threads)]
    mu = torch.cat(parts)[: len(frames)]
    if agent.config.inputs != "z+h":
        return mu.double().numpy()
    actions = torch.from_numpy(scenes.actions[frames].astype(np.float32))
    lstm = nn.LSTM(mu.shape[1] + ACTIONS, agent.config.hidden_size, batch_first=True)
    weights = agent.gates.T.split([mu.shape[1] + ACTIONS, agent.config.hidden_size], dim=1)
    biases = agent.gate_bias, torch.zeros_like(agent.gate_bias)
    for parameter, value in zip(lstm.parameters(), (*weights, *biases)):
        parameter.copy_(value)
    features, start = [], 0
    for length in scenes.lengths[chosen].tolist():
        z, action = mu[start : start + length], actions[start : start + length]
        after, _ = lstm(torch.cat([z, action], dim=1)[None])
        before = torch.cat([torch.zeros(1, after.shape[2]), after[0, :-1]])
        features.append(torch.cat([z, before], dim=1))
        start += length
    return torch.cat(features).double().numpy()


def carry_over(
    config: CarryOverConfig,
    space: SearchSpace,
    new: np.ndarray,
    old: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
) -> SearchSpace:
    """`space` moved and stretched so that a standard normal point is what the search carried over.

    `new` [n, F] and `old` [n, G]: features of this round's V and M and of the earlier one's on the
    same steps; `mean` [P] and `spread` [D, P]: the earlier search's distribution of controllers on
    `old`: its samples are the mean and a standard normal combination of the rows of the spread.
    """
    scaled = (new - space.centre) @ space.basis.T
    inputs = np.concatenate([scaled, np.ones((len(new), 1))], axis=1)
    outputs = np.concatenate([old, np.ones((len(old), 1))], axis=1)
    penalty = config.ridge * len(inputs) * np.eye(inputs.shape[1])
    penalty[-1, -1] = 0
    to_old = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ outputs)  # [K + 1, G + 1]

    def translated(controllers: np.ndarray) -> np.ndarray:
        """Points [C, D] of `space` for controllers [C, P] on the old features."""
        cut = ACTIONS * old.shape[1]
        weights = controllers[:, :cut].reshape(-1, ACTIONS, old.shape[1])
        rows = np.concatenate([weights, controllers[:, cut:, None]], axis=2) @ to_old.T
        return np.concatenate([rows[:, :, :-1].reshape(len(rows), -1), rows[:, :, -1]], axis=1)

    moved = translated(spread)
    covariance = moved.T @ moved
    covariance += config.floor * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return space.moved(translated(mean[None])[0], vectors * np.sqrt(values))
