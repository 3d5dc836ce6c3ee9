"""The jobs that workers run to drive: values that share no state, so that any executor can."""

from dataclasses import dataclass

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.driving.episodes import Drive, EpisodeResult, drive_all
from worldmodels.driving.limits import Limits
from worldmodels.environment.make import Picture, make_vector_env

ENVS_PER_WORKER = 128  # driven at once; no result depends on it


@dataclass(frozen=True)
class DriveJob:
    """Drive episodes with an agent, `slots` at once, in environments with the given picture."""

    agent: Agent
    drives: tuple[Drive, ...]
    picture: Picture
    limits: Limits
    seed: int
    device: str
    slots: int = ENVS_PER_WORKER

    def run(self) -> list[EpisodeResult]:
        """The results in the order of the drives."""
        env = make_vector_env(self.picture, min(self.slots, len(self.drives)))
        driver = AgentDriver(self.agent, self.slots, self.seed, self.device)
        return drive_all(driver, env, self.drives, self.limits)

    def __str__(self) -> str:
        first, last = self.drives[0], self.drives[-1]
        return f"{len(self.drives)} episodes with the {self.picture} picture, {first} to {last}"
