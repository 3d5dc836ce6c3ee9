"""How long C is trained."""

from typing import NamedTuple


class Budget(NamedTuple):
    """So many generations of a search or updates of PPO, or environment steps; of these 0: any
    number."""

    generations: int
    env_steps: int

    def is_over(self, generations: int, env_steps: int) -> bool:
        """Whether one of the two is used up."""
        return generations >= self.generations or 0 < self.env_steps <= env_steps

    def share(self, generations: int, env_steps: int) -> float:
        """How much of the way is gone when a generation begins: from 0 for the first to 1 for the
        last."""
        shares = [generations / max(self.generations - 1, 1)]
        if self.env_steps:
            shares.append(env_steps / self.env_steps)
        return min(max(shares), 1.0)
