"""The models of a round, as `dvc pull` brings them."""

from pathlib import Path
from typing import NamedTuple

from worldmodels.agent.agent import Agent
from worldmodels.dream.model import DreamModel, load_dream_model
from worldmodels.memory.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params
from worldmodels.reports.dreaming import Lap, drive_lap
from worldmodels.vision.vae import VAE, load_vae


class TrainedRound(NamedTuple):
    """A round's agent, V and M of its world, and the M that dreams, where C learnt in a dream."""

    agent: Agent
    vae: VAE
    memory: MDNRNN
    dream_model: DreamModel | None

    @classmethod
    def load(cls, name: str) -> "TrainedRound":
        """The models of the round `name`. Raises UserError if it is unknown or not trained."""
        rounds = read_params()["rounds"]
        if name not in rounds:
            raise UserError(f"{name!r}: no such round; there are {list(rounds)}")
        world = Path("models") / rounds[name]["world"]
        dreams = rounds[name]["learned_in"] == "dream"
        dream = Path("data") / name / "practice/dream.safetensors"
        return cls(
            Agent.load(Path("models") / name / "agent.safetensors"),
            load_vae(world / "vae.safetensors"),
            load_mdnrnn(world / "mdnrnn.safetensors"),
            load_dream_model(dream) if dreams else None,
        )

    @property
    def dream(self) -> DreamModel:
        """The M that dreams. Raises UserError where C did not learn in a dream."""
        if self.dream_model is None:
            raise UserError(
                "the C of this round did not learn in the dream, so there is no M that dreams"
            )
        return self.dream_model

    def lap(self, track: int) -> Lap:
        """The lap that the agent drives on `track`, for as many steps as `evaluate` allows."""
        params = read_params()
        return drive_lap(
            self.agent, self.vae, track, params["seed"], params["evaluate"]["horizon"]
        )


def round_that_dreams(name: str | None) -> str:
    """The round whose C learnt in the dream: `name`, or the first there is.

    Raises UserError if that round does not exist, or its C did not learn in the dream.
    """
    rounds = read_params()["rounds"]
    dreamers = [name for name, entry in rounds.items() if entry["learned_in"] == "dream"]
    if not dreamers:
        raise UserError(
            "no round of params.yaml learns in the dream: add one with `learned_in: dream`, and "
            "run `dvc repro`"
        )
    if name is not None and name not in dreamers:
        raise UserError(f"no round {name!r} learns in the dream; there are {dreamers}")
    return name or dreamers[0]
