"""Dreams on an accelerator: all at once, and their step as one CUDA graph.

A step is dozens of small kernels, which take longer to launch than to run. Captured once, they
are launched together. The dreams are those of the CPU, with the same noise, but for rounding:
there a chunk fits a core's cache, here all rows are computed together.
"""

import numpy as np
import torch
from torch import Tensor

from worldmodels.dream.environment import Dream
from worldmodels.dream.model import CHANGE_SCALE, OFFSET_SCALE, DreamModel
from worldmodels.dream.moments import Moments
from worldmodels.dream.rules import Rules
from worldmodels.dream.sampling import FIRST, GOLDEN, INDICES_FROM, SECOND
from worldmodels.dream.step import LOST, OFF_ROAD, REWARD
from worldmodels.environment.frames import MOTION_SIZE
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.memory.step import MemoryStep, lstm_step


def _signed(bits: np.uint64) -> int:
    """The int64 with the bits of a uint64, which torch does not multiply."""
    return int(bits.astype(np.int64))


def _shift(x: Tensor, by: int) -> Tensor:
    """Shift int64 to the right as if it were unsigned."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def mix(x: Tensor) -> Tensor:
    """As `sampling.mix`, on int64 with the same bits."""
    x = (x ^ _shift(x, 30)) * _signed(FIRST)
    x = (x ^ _shift(x, 27)) * _signed(SECOND)
    return x ^ _shift(x, 31)


def uniform(keys: Tensor, counters: Tensor) -> Tensor:
    """As `sampling._uniform`: numbers in (0, 1), float64, of int64 keys and counters."""
    bits = mix(keys + (counters + 1) * _signed(GOLDEN))
    return (_shift(bits, 11).double() + 0.5) / float(1 << 53)


def draw_next(
    raw: Tensor, z: Tensor, keys: Tensor, steps: Tensor, rules: Rules, log_floor: float
) -> Tensor:
    """As `sampling.draw_next`: the latents [n, Z] that follow `z` [n, Z], at unit variance."""
    n, latents = z.shape
    logits, offsets, sigmas = raw.double().view(n, 3, latents, -1).unbind(dim=1)
    logits = logits - logits.amax(dim=2, keepdim=True)
    weights = (logits / rules.temperature if rules.sampled else logits).exp()
    total = weights.sum(dim=2)
    if not rules.sampled:
        return (z + OFFSET_SCALE * (weights * offsets).sum(dim=2) / total).float()
    numbers = torch.arange(latents, device=z.device)
    counters = (steps[:, None] * latents + numbers) * 3
    pick, one, two = (uniform(keys[:, None], counters + draw) for draw in range(3))
    passed = (pick * total)[..., None] > weights.cumsum(dim=2)
    component = passed.sum(dim=2, keepdim=True).clamp(max=weights.shape[2] - 1)
    normal = (-2 * one.log()).sqrt() * (2 * torch.pi * two).cos()
    above = sigmas.gather(2, component)[..., 0] - log_floor
    sigma = rules.temperature**0.5 * (log_floor + torch.nn.functional.softplus(above)).exp()
    offset = offsets.gather(2, component)[..., 0]
    return (z + OFFSET_SCALE * offset + sigma * normal).float()


class DreamOnDevice(Dream):
    """A `Dream` whose state is on `device`; what it gives and takes is NumPy's all the same."""

    def __init__(
        self,
        model: DreamModel,
        memory: MemoryStep,
        moments: Moments,
        rules: Rules,
        num_envs: int,
        errors: Tensor,
        device: str,
    ):
        super().__init__(model, memory, moments, rules, num_envs, errors=errors)
        self.device = torch.device(device)
        self.latents, self.before = self._here(self.latents), self._here(self.before)
        self.seen, self.hidden = self._here(self.seen), self._here(self.hidden)
        self.cell, self.errors = self._here(self.cell), self._here(self.errors)
        self.state.hidden = self._here(self.state.hidden)
        self.state.cell = self._here(self.state.cell)
        self.gates = self._here(self.dreams.gates), self._here(self.dreams.bias)
        self.memory_gates = self._here(self.memory.gates), self._here(self.memory.bias)
        self.heads = self._here(self.dreams.heads), self._here(self.dreams.heads_bias)
        self.centre, self.scale = self._here(self.dreams.centre), self._here(self.dreams.scale)
        rows = len(self.latents)
        self.action = self._here(torch.zeros(rows, ACTION_SIZE))
        self.key, self.at = (self._here(torch.zeros(rows, dtype=torch.int64)) for _ in range(2))
        self.outcome = self._here(torch.zeros(rows, 3 + MOTION_SIZE))
        self.graph: torch.cuda.CUDAGraph | None = None

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor.detach().clone().to(self.device)

    @torch.inference_mode()
    def _advance(self, actions: np.ndarray, rewards: np.ndarray) -> None:
        self.action.copy_(torch.from_numpy(actions))
        self.key.copy_(torch.from_numpy(self.keys.view(np.int64)))
        self.at.copy_(torch.from_numpy(self.steps))
        if self.device.type != "cuda":
            self._compute()
        else:
            if self.graph is None:
                self.graph = self._capture()
            self.graph.replay()
        outcome = self.outcome.cpu().numpy()
        reward, lost, off_road, moved = *outcome[:, :3].T, outcome[:, 3:]
        rewards[:] = self._pay(reward, lost, off_road, moved)
        self.lost = lost.copy()

    def _capture(self) -> "torch.cuda.CUDAGraph":
        """The graph of a step, which leaves the dreams where they are."""
        changed = [self.latents, self.before, self.seen, self.hidden, self.cell]
        changed += [self.state.hidden, self.state.cell, self.outcome]
        kept = [tensor.clone() for tensor in changed]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute()  # cuBLAS takes its workspace before the capture
        torch.cuda.current_stream().wait_stream(stream)
        for tensor, before in zip(changed, kept):
            tensor.copy_(before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._compute()
        return graph

    def _compute(self) -> None:
        """A step of all dreams, in place; see `Dream._step`."""
        # The M that C listens to
        inputs = torch.cat([self.seen, self.action, self.state.hidden], dim=1)
        after = lstm_step(inputs, self.state.cell, *self.memory_gates)
        self.state.hidden.copy_(after[0])
        self.state.cell.copy_(after[1])

        # The M that dreams
        z, change = (
            (self.latents - self.centre) / self.scale,
            (self.latents - self.before) / self.scale,
        )
        inputs = torch.cat([z, CHANGE_SCALE * change, self.action, self.hidden], dim=1)
        after = lstm_step(inputs, self.cell, *self.gates)
        self.hidden.copy_(after[0])
        self.cell.copy_(after[1])
        told = torch.addmm(self.heads[1], self.hidden, self.heads[0])

        # What follows, and what of it C sees
        floor = self.dreams.log_floor
        drawn = draw_next(told[:, :REWARD], z, self.key, self.at, self.rules, floor)
        following = drawn * self.scale + self.centre
        counters = self.at + int(INDICES_FROM)
        row = (uniform(self.key, counters) * len(self.errors)).long()
        noise = self.rules.sight_noise * self.errors[row]
        self.seen.copy_(following[:, :-MOTION_SIZE] + noise)
        self.before.copy_(self.latents)
        self.latents.copy_(following)
        chances = told[:, [LOST, OFF_ROAD]].sigmoid()
        moved = following[:, -MOTION_SIZE:]
        self.outcome.copy_(torch.cat([told[:, [REWARD]], chances, moved], dim=1))
