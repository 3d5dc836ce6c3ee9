"""`Dream`: M as a vector environment, in which C drives without a car, a track or a picture."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor

from worldmodels.dream.model import CHANGE_SCALE, OFFSET_SCALE, DreamModel
from worldmodels.dream.sampling import draw_indices, draw_next, keys_of
from worldmodels.environment.actions import HIGHEST, LOWEST
from worldmodels.environment.frames import MOTION_SIZE, sliding_of, speed_of
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError

# Dreams are computed this many at a time, padded with zeros, so that no dream's bits depend on how
# many others there are; and a chunk's arrays stay in a core's cache.
CHUNK = 256

# The columns of DreamModel.outcome and probe, after the mixtures'
REWARD, LOST, OFF_ROAD = -3, -2, -1


class Moments(NamedTuple):
    """n moments of recorded episodes, from which dreams begin, all float32.

    `told` [n, Z + MOTION_SIZE]: what the M that dreams is told of the frame, mu and the motion;
    `before`: of the frame before it (the first frame of an episode: itself). `memory` and
    `memory_cell` [n, H]: the state of the M that C listens to; `hidden` and `cell` [n, H']: that
    of the M that dreams; both before the frame.
    """

    told: Tensor
    before: Tensor
    memory: Tensor
    memory_cell: Tensor
    hidden: Tensor
    cell: Tensor

    @property
    def mu(self) -> Tensor:
        """What C is given of the frames, [n, Z]."""
        return self.told[:, :-MOTION_SIZE]

    def rows(self, rows: np.ndarray) -> "Moments":
        """Some of the moments."""
        return Moments(*(column[torch.from_numpy(rows)] for column in self))


@dataclass(frozen=True)
class Rules:
    """The rules of a dream.

    `temperature` of the draws (paper: tau), above 0; `sampled`: latents are drawn, else the means
    of their mixtures; `sight_noise`: how much of the errors that M makes C is shown; `horizon`:
    steps after which a dream is truncated; `lost_cost`: points that a loss costs; `lost_at`: the
    probability of a loss at which the dream ends with it; `off_road_cost`: points that a step
    costs after which the car is off the road; `speed_cost`: points for each m/s beyond
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
        """What is paid for steps [n]: their reward less what being off the road (0 to 1), and the
        speed and the sliding of the motion `moved` [n, MOTION_SIZE] in them, cost."""
        haste = np.maximum(speed_of(moved) - self.speed_limit, 0)
        slide = np.maximum(sliding_of(moved) - self.sliding_limit, 0)
        cost = self.off_road_cost * off_road + self.speed_cost * haste + self.sliding_cost * slide
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


class DreamOutcome(NamedTuple):
    """What M expects of n steps: the mixtures' raw outputs [n, 3 Z K], the reward [n], the
    probability of a loss [n], and how far the car is off the road [n], 0 to 1."""

    raw: np.ndarray
    reward: np.ndarray
    lost: np.ndarray
    off_road: np.ndarray


class DreamStep:
    """One step of many dreams under M, from its weights as they are when this is made."""

    def __init__(self, model: DreamModel):
        lstm = dict(model.lstm.named_parameters())
        with torch.no_grad():
            weights = lstm["weight_ih_l0"], lstm["weight_hh_l0"]
            self.gates = torch.cat(weights, dim=1).T.contiguous()
            self.bias = lstm["bias_ih_l0"] + lstm["bias_hh_l0"]
            heads = model.mixture, model.outcome, model.probe
            self.heads = torch.cat([head.weight for head in heads]).T.contiguous()
            self.heads_bias = torch.cat([head.bias for head in heads])
        self.centre, self.scale = model.centre, model.scale
        self.log_floor = float(np.log(model.config.min_sigma))

    def remember(
        self, told: Tensor, before: Tensor, action: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The state (hidden, cell) [CHUNK, H] after a frame `told` [CHUNK, Z] and an action."""
        z, change = (told - self.centre) / self.scale, (told - before) / self.scale
        inputs = torch.cat([z, CHANGE_SCALE * change, action, hidden], dim=1)
        write, forget, candidate, output = torch.addmm(self.bias, inputs, self.gates).chunk(4, 1)
        cell = forget.sigmoid_() * cell + write.sigmoid_() * candidate.tanh_()
        return output.sigmoid_() * cell.tanh(), cell

    def outcome(self, hidden: Tensor) -> DreamOutcome:
        """What M expects, from hidden [CHUNK, H]."""
        outputs = torch.addmm(self.heads_bias, hidden, self.heads)
        return DreamOutcome(
            raw=outputs[:, :REWARD].contiguous().numpy(),
            reward=outputs[:, REWARD].numpy(),
            lost=outputs[:, LOST].sigmoid().numpy(),
            off_road=outputs[:, OFF_ROAD].sigmoid().numpy(),
        )

    def means(self, hidden: Tensor, told: Tensor) -> Tensor:
        """The means [n, Z] of the mixtures of the next frame, from hidden [n, H] after `told`."""
        raw = torch.addmm(self.heads_bias, hidden, self.heads)[:, :REWARD].contiguous().numpy()
        unused = np.zeros(len(raw), dtype=np.uint64), np.zeros(len(raw), dtype=np.int64)
        return self.following(raw, told, *unused, MEANS)

    def lost(self, hidden: Tensor) -> np.ndarray:
        """The probability [n] of a loss, from hidden [n, H]; its bits do not depend on n."""
        padded = torch.nn.functional.pad(hidden, (0, 0, 0, -len(hidden) % CHUNK))
        found = [self.outcome(part).lost for part in padded.split(CHUNK)]
        return np.concatenate(found)[: len(hidden)]

    def following(
        self, raw: np.ndarray, told: Tensor, keys: np.ndarray, steps: np.ndarray, rules: Rules
    ) -> Tensor:
        """The latents [n, Z] of the next frame; see `draw_next`."""
        z = ((told - self.centre) / self.scale).numpy()
        drawn = np.empty_like(z)
        draw_next(
            raw,
            z,
            keys,
            steps,
            rules.temperature,
            rules.sampled,
            OFFSET_SCALE,
            self.log_floor,
            drawn,
        )
        return torch.from_numpy(drawn) * self.scale + self.centre


class Dream(gymnasium.vector.VectorEnv):
    """`num_envs` dreams, each from a recorded moment.

    Observation float32 [n, Z + H]: [z, h] as C is given them, z the latents of the dreamt frame,
    h the state of the M that C listens to, before the frame is added to it. C sees a frame less
    clearly than M dreams it: an error that M made on the record, drawn from `errors` [E, Z], times
    `sight_noise`, is added to its z, and to what its M remembers. Action float32 [n, A],
    as the track takes it. The reward is what M expects of the step, in points, less what being off
    the road, the speed and the sliding cost (see `Rules`), and less `lost_cost` times the rise in
    the probability of a loss: over a dream that comes to its cost times the last probability.
    `terminated` where that probability reaches `lost_at`, `truncated` after `horizon` steps.
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
        Z, H = moments.mu.shape[1], model.config.hidden_size
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
        self.told, self.before = (torch.zeros(rows, model.latent_size) for _ in range(2))
        self.seen = torch.zeros(rows, Z)
        self.hidden, self.cell = torch.zeros(rows, H), torch.zeros(rows, H)
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
        chunks = [slice(at, at + CHUNK) for at in range(0, len(self.keys), CHUNK)]
        run = map if self.pool is None else self.pool.map
        list(run(lambda chunk: self._step(chunk, applied, rewards), chunks))
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

    @torch.inference_mode()
    def _step(self, chunk: slice, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Step the dreams of a chunk, and note their rewards."""
        rules, action = self.rules, torch.from_numpy(actions[chunk])
        told, before = self.told[chunk], self.before[chunk]
        slots, keys, steps = (
            np.arange(chunk.start, chunk.stop),
            self.keys[chunk],
            self.steps[chunk],
        )
        self.memory.step(self.state, slots, self.seen[chunk], action)
        hidden, cell = self.dreams.remember(
            told, before, action, self.hidden[chunk], self.cell[chunk]
        )
        outcome = self.dreams.outcome(hidden)
        following = self.dreams.following(outcome.raw, told, keys, steps, rules)
        drawn = np.empty(len(keys), dtype=np.int64)
        draw_indices(keys, steps, len(self.errors), drawn)
        mu, moved = following[:, :-MOTION_SIZE], following[:, -MOTION_SIZE:].numpy()
        self.seen[chunk] = mu + rules.sight_noise * self.errors[torch.from_numpy(drawn)]
        # A dream that ends with a loss pays for all of it
        lost = outcome.lost
        counted = np.where(lost >= rules.lost_at, 1.0, lost)
        paid = rules.paid(outcome.reward, outcome.off_road, moved)
        rewards[chunk] = paid - rules.lost_cost * (counted - self.lost[chunk])
        self.before[chunk], self.told[chunk] = told.clone(), following
        self.hidden[chunk], self.cell[chunk], self.lost[chunk] = hidden, cell, lost

    @torch.inference_mode()
    def _begin(self, dreams: np.ndarray, rows: np.ndarray | None) -> None:
        """Begin dreams at the moments `rows`, or at those that their keys draw."""
        if rows is None:
            rows = (self.keys[dreams] % np.uint64(len(self.moments.told))).astype(np.int64)
        start = self.moments.rows(np.asarray(rows))
        self.told[dreams], self.before[dreams] = start.told, start.before
        self.seen[dreams] = start.mu
        self.state.hidden[dreams], self.state.cell[dreams] = start.memory, start.memory_cell
        self.hidden[dreams], self.cell[dreams] = start.hidden, start.cell
        self.lost[dreams] = self.dreams.lost(start.hidden)
        self.steps[dreams], self.over[dreams] = 0, False

    def _infos(self) -> dict[str, np.ndarray]:
        n = self.num_envs
        return {"lost": self.lost[:n].copy(), "hidden": self.hidden[:n].numpy().copy()}

    def _observations(self) -> np.ndarray:
        n = self.num_envs
        features = self.memory.features(self.state, np.arange(n))
        return torch.cat([self.seen[:n], features], dim=1).numpy()


def refuse_misfits(model: DreamModel, memory: MemoryStep, moments: Moments, rules: Rules) -> None:
    """Raise UserError for moments of other sizes than the models', and for impossible rules."""
    latents, units = moments.told.shape[1], moments.hidden.shape[1]
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
