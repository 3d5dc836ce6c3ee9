"""How honest the dream is: what M expects of drives that it has not learnt from, and what came."""

import numpy as np
import torch

from worldmodels.dream.moments import Along
from worldmodels.dream.rules import MEANS
from worldmodels.dream.step import DreamStep

AFTER = (16, 32, 64)  # steps


@torch.inference_mode()
def honesty(
    along: Along,
    new_from: np.ndarray,
    dreams: DreamStep,
    delay: int,
    rng: np.random.Generator,
    count: int,
) -> dict[str, float | str]:
    """M dreams on from `count` moments of drives, each from its step `new_from` [drives] on, with
    the actions that were taken, and the means of its mixtures; empty where no drive lasts.

    For each of AFTER, in the moments that last as long or end with a loss: points per step
    (`dreamt_reward_N`, `taken_reward_N`), the probability of a loss after N steps and the share
    that was lost by then (`dreamt_lost_N`, `taken_lost_N`), and the root of the mean squared error
    of the latents in stds (`latent_error_N`), of those that go on.
    """
    of, lost = along.of, np.array([drive.lost for drive in along.drives])
    lost_from = np.array([drive.lost_from(delay) for drive in along.drives])
    left = along.lengths[of] - along.step
    within = (along.step >= new_from[of]) & (along.step < lost_from[of])
    usable = np.flatnonzero(((left > max(AFTER)) | lost[of]) & within)
    columns: dict[str, float | str] = {}
    if not len(usable):
        return dict.fromkeys(names(), "")
    rows = rng.choice(usable, count)
    rewards = along.joined("rewards")
    start = along.moments.rows(rows)
    latents, before, hidden, cell = start.latents, start.before, start.hidden, start.cell
    unused = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.int64)
    dreamt, taken = np.zeros(count), np.zeros(count)
    for step in range(max(AFTER)):
        # After the end of a drive that was lost, the car stands there with its last action
        goes_on = left[rows] > step
        now = np.minimum(rows + step, rows + left[rows] - 1)
        action = along.actions[torch.from_numpy(now)]
        hidden, cell = dreams.remember(latents, before, action, hidden, cell)
        outcome = dreams.outcome(hidden)
        before, latents = latents, dreams.following(outcome.raw, latents, *unused, MEANS)
        dreamt += outcome.reward
        taken += np.where(goes_on, rewards[now], rewards.min())
        if (after := step + 1) in AFTER:
            follows = left[rows] > after
            there = along.moments.latents[torch.from_numpy(np.where(follows, rows + after, rows))]
            error = ((latents - there) / dreams.scale).square().mean(dim=1).numpy()
            is_lost = lost[of[rows]] & (along.step[rows] + after > lost_from[of[rows]])
            values = (
                dreamt.mean() / after,
                taken.mean() / after,
                outcome.lost.mean(),
                is_lost.mean(),
                np.sqrt(error[follows].mean()) if follows.any() else "",
            )
            found = zip(names((after,)), values)
            columns |= {name: value if value == "" else float(value) for name, value in found}
    return columns


def names(after: tuple[int, ...] = AFTER) -> list[str]:
    """The columns of `honesty`."""
    kinds = ("dreamt_reward", "taken_reward", "dreamt_lost", "taken_lost", "latent_error")
    return [f"{kind}_{steps}" for steps in after for kind in kinds]
