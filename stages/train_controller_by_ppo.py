"""Train the controller C by proximal policy optimisation, in the environment itself.

models/ROUND/{vae,mdnrnn}.safetensors, data/ROUND/latents.parquet
-> models/ROUND/agent.safetensors, results/ROUND/train_controller
Two minutes per million environment steps on two cores.
Source: Schulman et al. 2017; the paper trains C by CMA-ES alone.
"""

import numpy as np

from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.ppo.train import PPOConfig, PracticeSetup, train_by_ppo
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.outcome import Outcome, write_outcome
from worldmodels.training.setup import TrainingParams, TrainingSetup

# Excluded from the checkpoint's fingerprint: `train_by_ppo` decides in `resume` whether a saved
# state fits the budget.
PLAN = ("rounds.${key}.iterations", "rounds.${key}.env_steps")


class Params(TrainingParams):
    ppo: PPOConfig


def train(name: str, params: Params, setup: TrainingSetup, checkpoint: Checkpoint) -> Outcome:
    """Train C from zero; the actor is given some principal components of h, the critic all."""
    config = params.controller
    space = setup.make_space(setup.memory.config.hidden_size, "mdnrnn.hidden_size")
    inputs = actor_inputs(setup, params)
    actor = space.leading(inputs)
    candidates = setup.candidates(actor)

    def validate(point: np.ndarray) -> float:
        return float(candidates.validate(point, config.validation_tracks).mean())

    run = params.training_seed(), name, params.machine.device
    practice = PracticeSetup(params.ppo, params.limits(), setup.agent, space, inputs, *run)
    state = train_by_ppo(practice, params.budget(), validate, config.validate_every, checkpoint)
    return Outcome(actor, state.point(), state.env_steps, state.rows, state.seconds)


def actor_inputs(setup: TrainingSetup, params: Params) -> int:
    """The number of scaled features that the actor is given: of h, the components in params."""
    config, components = params.controller, params.ppo.hidden_components
    features, latent_size = setup.agent.config.features, setup.agent.config.latent_size
    if config.inputs != "z+h" or config.space == "raw":
        return features
    if latent_size + components > features:
        raise UserError(
            f"params.yaml: ppo.hidden_components is {components}, but M has a hidden state of "
            f"{features - latent_size}: lower it"
        )
    return latent_size + components


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    setup = TrainingSetup.load(name, params)
    write_outcome(name, setup, train(name, params, setup, checkpoint))


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
