"""How honest the dream is: what M predicts on drives it was not trained on, and what happened."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from worldmodels.dream.environment import Dream
from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Along
from worldmodels.dream.rules import MEANS
from worldmodels.memory.step import MemoryStep

AFTER = (16, 32, 64)  # steps
RULES = replace(MEANS, horizon=max(AFTER) + 1)

Act = Callable[[np.ndarray], np.ndarray]


def honesty(
    along: Along,
    new_from: np.ndarray,
    model: DreamModel,
    memory: MemoryStep,
    act: Act,
    delay: int,
    rng: np.random.Generator,
    count: int,
) -> dict[str, float | str]:
    """M dreams on from `count` moments of drives, each from its step `new_from` [drives] on, once
    with the actions that were taken, and once with C's: `act` gives those [n, A] for features
    [n, Z + H]. M dreams the means of its mixtures, and no noise is added to what C sees.

    Only moments count from which C alone decided for as long as is compared. For each N of AFTER
    the result has the points per step on the track (`taken_reward_N`), in the dream of the same
    actions (`dreamt_reward_N`) and in that of C's own (`own_reward_N`); the share of the cars that
    was lost after N steps and both dreams' probabilities (`taken_lost_N`, `dreamt_lost_N`,
    `own_lost_N`); and the RMS error of the latents in stds (`latent_error_N`), over the drives
    that still go on. Empty where there is no such moment.
    """
    rows = comparable(along, new_from, delay)
    if not len(rows):
        return dict.fromkeys(honesty_columns(), "")
    rows = rng.choice(rows, count)
    lost = np.array([drive.lost for drive in along.drives])[along.of[rows]]
    lost_from = np.array([drive.lost_from(delay) for drive in along.drives])[along.of[rows]]
    remaining, rewards = along.lengths[along.of[rows]] - along.step[rows], along.joined("rewards")
    dream = Dream(model, memory, along.moments.rows(rows), RULES, num_envs=2 * count)
    observations, infos = dream.reset(seed=1, options={"moments": np.tile(np.arange(count), 2)})
    taken, dreamt = np.zeros(count), np.zeros(2 * count)
    columns: dict[str, float | str] = {}
    for after in range(1, max(AFTER) + 1):
        # After the end of a drive that was lost, the car stands there with its last action
        now = np.minimum(rows + after - 1, rows + remaining - 1)
        taken += np.where(remaining >= after, rewards[now], rewards.min())
        same = along.actions[torch.from_numpy(now)].numpy()
        actions = np.concatenate([same, act(observations[count:])])
        observations, reward, _, _, infos = dream.step(actions)
        dreamt += reward
        if after in AFTER:
            goes_on = remaining > after
            there = along.moments.latents[torch.from_numpy(np.where(goes_on, rows + after, rows))]
            error = ((dream.latents[:count] - there) / model.scale).square().mean(dim=1)[goes_on]
            found = {
                "taken_reward": taken.mean() / after,
                "dreamt_reward": dreamt[:count].mean() / after,
                "own_reward": dreamt[count:].mean() / after,
                "taken_lost": (lost & (along.step[rows] + after > lost_from)).mean(),
                "dreamt_lost": infos["lost"][:count].mean(),
                "own_lost": infos["lost"][count:].mean(),
            }
            columns |= {f"{kind}_{after}": float(value) for kind, value in found.items()}
            columns[f"latent_error_{after}"] = error.mean().sqrt().item() if len(error) else ""
    return columns


def comparable(along: Along, new_from: np.ndarray, delay: int) -> np.ndarray:
    """The rows of `along` that are new (see `honesty`), when the car was not lost, and after which
    the drive lasts as long as is compared, or ends with a loss, with C deciding alone."""
    of, lost = along.of, np.array([drive.lost for drive in along.drives])
    lost_from = np.array([drive.lost_from(delay) for drive in along.drives])
    remaining = along.lengths[of] - along.step
    within = (along.step >= new_from[of]) & (along.step < lost_from[of])
    others = np.concatenate([[0], np.cumsum(~along.by_c)])
    row = np.arange(len(of))
    alone = others[row + np.minimum(remaining, max(AFTER))] == others[row]
    return np.flatnonzero(((remaining > max(AFTER)) | lost[of]) & within & alone)


def honesty_columns() -> list[str]:
    """The columns of `honesty`."""
    sources, kinds = ("taken", "dreamt", "own"), ("reward", "lost")
    compared = [f"{source}_{kind}" for kind in kinds for source in sources] + ["latent_error"]
    return [f"{name}_{after}" for after in AFTER for name in compared]
