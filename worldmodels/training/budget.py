"""The budget of C's training."""

from collections.abc import Sequence
from typing import NamedTuple


class Budget(NamedTuple):
    """Stop after `iterations` or `env_steps`, whichever comes first; 0 steps means no limit.

    An iteration is a generation of a search, an update of PPO, or a lesson in the dream.
    """

    iterations: int
    env_steps: int

    def is_over(self, iterations: int, env_steps: int) -> bool:
        """True if iterations or steps are used up."""
        return iterations >= self.iterations or 0 < self.env_steps <= env_steps

    def leads_through(self, env_steps: Sequence[int]) -> bool:
        """True if this budget would not have stopped a training before the last of these
        iterations; `env_steps` are the totals after each."""
        return not any(self.is_over(done, so_far) for done, so_far in enumerate(env_steps[:-1], 1))

    def share(self, iterations: int, env_steps: int) -> float:
        """The share that is used when an iteration begins, after `iterations` and `env_steps`: 0
        for the first iteration, 1 for the last that `iterations` allow."""
        shares = [iterations / max(self.iterations - 1, 1)]
        if self.env_steps:
            shares.append(env_steps / self.env_steps)
        return min(max(shares), 1.0)
