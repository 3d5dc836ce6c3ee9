"""A published agent as a policy: it sees Gymnasium's picture, or ours, and returns actions."""

from pathlib import Path

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.environment.car_racing import preprocess
from worldmodels.environment.interface import SIZE
from worldmodels.runtime.cores import one_thread


class Policy:
    """An agent that acts in one environment, or in many at once.

    It remembers its episodes, so tell it where one begins, by `reset`. What it does in one does
    not depend on the others. It drives as `evaluate` drives, except that an agent which samples z
    is given other noise.
    """

    def __init__(self, agent: Agent, device: str = "cpu", seed: int = 1):
        """`seed` is of the samples of z, for an agent that takes them: see `AgentDriver`."""
        self.agent, self.device, self.seed = agent, device, seed
        self.driver: AgentDriver | None = None
        self.episodes = 0

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Policy":
        """The policy of an agent file. Raises UserError if it is missing or damaged."""
        return cls(Agent.load(Path(path)), device)

    def reset(self, ended: np.ndarray | None = None) -> None:
        """Begin new episodes: in the environments where `ended` [n] is true, or in all."""
        if ended is None:
            self.driver = None
            return
        all_begin = self.driver is None
        driver = self._driver(len(ended))
        for slot in [] if all_begin else np.flatnonzero(ended):
            self._begin(driver, int(slot))

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The action float32 [3], steering in [-1, 1], gas and brake in [0, 1], for an
        observation uint8 [96, 96, 3], Gymnasium's, or [64, 64, 3], ours; or the actions [n, 3] for
        n observations. The action counts as taken.

        Raises ValueError for an observation of another shape, or for another n than since `reset`.
        """
        observations = np.asarray(observation)
        single = observations.ndim == 3
        frames = as_ours(observations[None] if single else observations)
        driver = self._driver(len(frames))
        slots = np.arange(len(frames))
        with one_thread():  # as jobs do: bits depend on it
            actions = driver.act(slots, frames)
            driver.remember(slots, actions)
        return actions[0] if single else actions

    def _driver(self, count: int) -> AgentDriver:
        """The driver of `count` environments; a new one begins new episodes in all of them."""
        if self.driver is None:
            self.driver = AgentDriver(self.agent, count, self.seed, self.device)
            for slot in range(count):
                self._begin(self.driver, slot)
        if len(self.driver.candidates) != count:
            raise ValueError(
                f"{count} observations or ends, after {len(self.driver.candidates)}: reset() "
                "before another number of environments"
            )
        return self.driver

    def _begin(self, driver: AgentDriver, slot: int) -> None:
        driver.start(slot, candidate=0, episode=self.episodes)
        self.episodes += 1


def as_ours(observations: np.ndarray) -> np.ndarray:
    """Observations uint8 [n, 64, 64, 3] from those or from Gymnasium's, [n, 96, 96, 3].

    Raises ValueError for others.
    """
    if observations.dtype == np.uint8 and observations.shape[1:] == (SIZE, SIZE, 3):
        return observations
    if observations.dtype == np.uint8 and observations.shape[1:] == (96, 96, 3):
        return np.stack([preprocess(picture) for picture in observations])
    raise ValueError(
        f"observations of {observations.dtype} {observations.shape}: give uint8 [96, 96, 3], as "
        "CarRacing-v3 has them, or [64, 64, 3], as WorldModels/CarRacing-v3 has; or n of them"
    )
