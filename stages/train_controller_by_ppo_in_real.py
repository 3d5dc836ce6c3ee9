"""Train the controller C by proximal policy optimisation, on the real track.

models/WORLD/{vae,mdnrnn}.safetensors, data/WORLD/latents.parquet
-> models/ROUND/agent.safetensors, data/ROUND/practice, results/ROUND/train_controller
Two minutes per million environment steps on two cores.
Source: Schulman et al. 2017; the paper trains C by CMA-ES alone.
"""

import numpy as np

from worldmodels.driving.limits import Limits
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part
from worldmodels.real.by_ppo import PPOConfig, PracticeSetup, train_by_ppo
from worldmodels.real.limits import PracticeLimits
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.outcome import Outcome, write_outcome
from worldmodels.training.setup import ZERO, TrainingParams, TrainingSetup

# Excluded from the checkpoint's fingerprint: `train_by_ppo` decides in `resume` whether a saved
# state fits the budget.
PLAN = ("rounds.${key}.iterations", "rounds.${key}.env_steps")


class Real(Part):
    practice: PracticeLimits
    ppo: PPOConfig


class Params(TrainingParams):
    real: Real

    def limits(self) -> Limits:
        return self.real.practice.limits()


def train(name: str, params: Params, setup: TrainingSetup, checkpoint: Checkpoint) -> Outcome:
    """Train C; the actor is given some principal components of h, the critic all."""
    config = params.controller
    space = setup.make_space(setup.memory.config.hidden_size, "mdnrnn.hidden_size")
    key = "real.ppo.hidden_components"
    inputs = setup.actor_inputs(params.real.ppo.hidden_components, key)
    actor = space.leading(inputs)
    start = None if params.round.start == ZERO else setup.start(actor, key)
    candidates = setup.candidates(actor)

    def validate(point: np.ndarray) -> float:
        return float(candidates.validate(point, config.validation_tracks).mean())

    run = params.training_seed(), name, params.machine.device
    practice = PracticeSetup(
        params.real.ppo, params.limits(), setup.agent, space, inputs, start, *run
    )
    state = train_by_ppo(practice, params.budget(), validate, config.validate_every, checkpoint)
    return Outcome(actor, state.point(), state.env_steps, state.rows, state.seconds)


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    setup = TrainingSetup.load(params)
    write_outcome(name, setup, train(name, params, setup, checkpoint))


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
