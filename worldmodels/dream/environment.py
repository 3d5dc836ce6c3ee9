"""`Dream`: M as a vector environment, in which C drives without a car, a track or a picture."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor

from worldmodels.dream.model import DreamModel
from worldmodels.dream.moments import Moments
from worldmodels.dream.rules import Rules
from worldmodels.dream.sampling import draw_indices, keys_of
from worldmodels.dream.step import CHUNK, DreamStep
from worldmodels.environment.actions import HIGHEST, LOWEST
from worldmodels.environment.frames import MOTION_SIZE
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError


class Dream(gymnasium.vector.VectorEnv):
    """`num_envs` dreams, each from a recorded moment.

    Observation float32 [n, Z + H]: [z, h] as C is given them, z the latents of the dreamt frame,
    h the state of the M that C listens to, before the frame is added to it. C sees a frame less
    clearly than M dreams it: an error that M made on the record, drawn from `errors` [E, Z], times
    `sight_noise`, is added to its z, and to what its M remembers; the first frame, which was
    recorded, is seen as it is. Action float32 [n, A], as the track takes it. The reward is what M
    expects of the step, in points, less the costs of being off the road, of speed and of sliding
    (see `Rules`), and less `lost_cost` times the rise in the probability of a loss, which over a
    dream sums to its rise from start to end. `terminated` where that probability reaches
    `lost_at`, and then counts as 1; `truncated` after `horizon` steps.
    `infos` tells what C is not given: `lost` [n], the probability, and `hidden` [n, H'], the state
    of the M that dreams.

    `reset(seed=s)` gives dream i the seed s + i, from which its noise and its moment follow,
    whatever `num_envs`; `options` may choose both, as `moments`, rows [n], and `seeds` [n]. A
    dream that is over begins another one at its next step, whose action is ignored
    (`AutoresetMode.NEXT_STEP`).
    Raises UserError for moments of other sizes than the models', and for impossible rules.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's name and type)
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        model: DreamModel,
        memory: MemoryStep,
        moments: Moments,
        rules: Rules,
        num_envs: int,
        threads: int = 1,
        errors: Tensor | None = None,
    ):
        refuse_misfits(model, memory, moments, rules)
        Z, units = moments.mu.shape[1], model.config.hidden_size
        self.errors = torch.zeros(1, Z) if errors is None else errors
        self.model, self.rules, self.moments, self.num_envs = model, rules, moments, num_envs
        self.memory = MemoryStep(memory.gates, memory.bias, batch=CHUNK)
        self.dreams = DreamStep(model)
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        low = np.full(Z + memory.feature_size, -np.inf, dtype=np.float32)
        self.single_observation_space = gymnasium.spaces.Box(low, -low)
        self.single_action_space = gymnasium.spaces.Box(
            LOWEST.astype(np.float32), HIGHEST.astype(np.float32)
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        rows = -(-num_envs // CHUNK) * CHUNK
        self.state = self.memory.start(rows)
        self.latents, self.before = (torch.zeros(rows, model.latent_size) for _ in range(2))
        self.seen = torch.zeros(rows, Z)
        self.hidden, self.cell = torch.zeros(rows, units), torch.zeros(rows, units)
        self.keys = np.zeros(rows, dtype=np.uint64)
        self.steps = np.zeros(rows, dtype=np.int64)
        self.lost = np.zeros(rows, dtype=np.float32)
        self.over = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all dreams; see the class."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(1 << 62))
        n = self.num_envs
        chosen = options or {}
        seeds = np.asarray(chosen.get("seeds", np.arange(n) + seed))
        self.keys[:n] = keys_of(seeds.astype(np.uint64))
        self._begin(np.arange(n), chosen.get("moments"))
        return self._observations(), self._infos()

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take a step in every dream; see the class. Raises ValueError for an action that is not
        finite."""
        if not np.isfinite(actions).all():
            raise ValueError(f"an action is not finite: {actions}")
        n, begun = self.num_envs, self.over.copy()
        rewards = np.zeros(len(self.keys), dtype=np.float32)
        applied = np.zeros((len(self.keys), ACTION_SIZE), dtype=np.float32)
        applied[:n] = actions
        self._advance(applied, rewards)
        self.steps += 1
        if begun.any():
            ended = np.flatnonzero(begun)
            self.keys[ended] = keys_of(self.keys[ended])
            self._begin(ended, None)
            rewards[ended] = 0
        terminated = (self.lost[:n] >= self.rules.lost_at) & ~begun
        truncated = (self.steps[:n] >= self.rules.horizon) & ~terminated & ~begun
        self.over = terminated | truncated
        return self._observations(), rewards[:n], terminated, truncated, self._infos()

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()

    def _advance(self, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Step all dreams, and note their rewards."""
        chunks = [slice(at, at + CHUNK) for at in range(0, len(self.keys), CHUNK)]
        run = map if self.pool is None else self.pool.map
        list(run(lambda chunk: self._step(chunk, actions, rewards), chunks))

    @torch.inference_mode()
    def _step(self, chunk: slice, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Step the dreams of a chunk, and note their rewards."""
        rules, action = self.rules, torch.from_numpy(actions[chunk])
        latents, before = self.latents[chunk], self.before[chunk]
        keys, steps = self.keys[chunk], self.steps[chunk]
        self.state.hidden[chunk], self.state.cell[chunk] = self.memory.advance(
            self.seen[chunk], action, self.state.hidden[chunk], self.state.cell[chunk]
        )
        hidden, cell = self.dreams.remember(
            latents, before, action, self.hidden[chunk], self.cell[chunk]
        )
        outcome = self.dreams.outcome(hidden)
        following = self.dreams.following(outcome.raw, latents, keys, steps, rules)
        drawn = np.empty(len(keys), dtype=np.int64)
        draw_indices(keys, steps, len(self.errors), drawn)
        mu, moved = following[:, :-MOTION_SIZE], following[:, -MOTION_SIZE:].numpy()
        self.seen[chunk] = mu + rules.sight_noise * self.errors[torch.from_numpy(drawn)]
        rewards[chunk] = self._pay(outcome.reward, outcome.lost, outcome.off_road, moved, chunk)
        self.before[chunk], self.latents[chunk] = latents.clone(), following
        self.hidden[chunk], self.cell[chunk], self.lost[chunk] = hidden, cell, outcome.lost

    def _pay(
        self,
        reward: np.ndarray,
        lost: np.ndarray,
        off_road: np.ndarray,
        moved: np.ndarray,
        chunk: slice = slice(None),
    ) -> np.ndarray:
        """What the steps of the dreams in a chunk pay, [n], with `lost` the probability after
        them. A dream that ends with a loss pays for all of it."""
        rules = self.rules
        counted = np.where(lost >= rules.lost_at, 1.0, lost)
        paid = rules.paid(reward, off_road, moved)
        return paid - rules.lost_cost * (counted - self.lost[chunk])

    @torch.inference_mode()
    def _begin(self, dreams: np.ndarray, rows: np.ndarray | None) -> None:
        """Begin dreams at the moments `rows`, or at those that their keys draw."""
        if rows is None:
            rows = (self.keys[dreams] % np.uint64(len(self.moments.latents))).astype(np.int64)
        start = self.moments.rows(np.asarray(rows))
        for state, begun in (
            (self.latents, start.latents),
            (self.before, start.before),
            (self.seen, start.mu),
            (self.state.hidden, start.memory),
            (self.state.cell, start.memory_cell),
            (self.hidden, start.hidden),
            (self.cell, start.cell),
        ):
            state[dreams] = begun.to(state.device)
        self.lost[dreams] = self.dreams.lost(start.hidden)
        self.steps[dreams], self.over[dreams] = 0, False

    def _infos(self) -> dict[str, np.ndarray]:
        n = self.num_envs
        return {"lost": self.lost[:n].copy(), "hidden": self.hidden[:n].cpu().numpy().copy()}

    def _observations(self) -> np.ndarray:
        n = self.num_envs
        features = self.memory.features(self.state, np.arange(n))
        return torch.cat([self.seen[:n], features], dim=1).cpu().numpy()


def refuse_misfits(model: DreamModel, memory: MemoryStep, moments: Moments, rules: Rules) -> None:
    """Raise UserError for moments of other sizes than the models', and for impossible rules."""
    latents, units = moments.latents.shape[1], moments.hidden.shape[1]
    if latents != model.latent_size or units != model.config.hidden_size:
        raise UserError(
            f"the moments to dream from have {latents} latents and {units} hidden units, the M "
            f"that dreams {model.latent_size} and {model.config.hidden_size}: they are of "
            "different runs"
        )
    if not memory.fits(latents - MOTION_SIZE, moments.memory.shape[1]):
        raise UserError("the M that C listens to does not fit the moments: different runs")
    if rules.temperature <= 0:
        raise UserError(
            f"a dream's temperature is {rules.temperature:g}: set it above 0, or set `sampled` to "
            "false for the means of the mixtures"
        )
