"""The budget of C's training."""

from typing import NamedTuple


class Budget(NamedTuple):
    """Stop after `iterations` or `env_steps`, whichever comes first; 0 steps means no limit.

    An iteration is a generation of a search or an update of PPO.
    """

    iterations: int
    env_steps: int

    def is_over(self, iterations: int, env_steps: int) -> bool:
        """True if iterations or steps are used up."""
        return iterations >= self.iterations or 0 < self.env_steps <= env_steps

    def share(self, iterations: int, env_steps: int) -> float:
        """The share that is used when an iteration begins, after `iterations` and `env_steps`: 0
        for the first iteration, 1 for the last."""
        shares = [iterations / max(self.iterations - 1, 1)]
        if self.env_steps:
            shares.append(env_steps / self.env_steps)
        return min(max(shares), 1.0)
