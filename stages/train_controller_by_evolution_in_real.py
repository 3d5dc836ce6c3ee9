"""Train the controller C by an evolution strategy: CMA-ES, the paper's way, or the simple ES.

models/WORLD/{vae,mdnrnn}.safetensors, data/WORLD/latents.parquet
-> models/ROUND/agent.safetensors, data/ROUND/practice, results/ROUND/train_controller
Two minutes per million environment steps on two cores.
Paper: section 2.3 and appendices A.3 and A.4; the scaled search space is ours.
"""

from worldmodels.driving.limits import Limits
from worldmodels.evolution.strategies import make_strategy
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Part
from worldmodels.real.by_evolution import EvolutionConfig, FineTuningConfig, Plan, search_by_es
from worldmodels.real.limits import PracticeLimits
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import generator, tracks_for_validation
from worldmodels.training.outcome import Outcome, write_outcome
from worldmodels.training.setup import ZERO, TrainingParams, TrainingSetup

# Excluded from the checkpoint's fingerprint: `search_by_es` decides in `resume` whether a saved
# state still fits the budget and the schedule.
PLAN = (
    "rounds.${key}.iterations",
    "rounds.${key}.env_steps",
    "real.evolution.schedule",
    "real.evolution.fine_tuning.schedule",
)


class Real(Part):
    practice: PracticeLimits
    evolution: EvolutionConfig


class Params(TrainingParams):
    real: Real

    def limits(self) -> Limits:
        return self.real.practice.limits()


def train(name: str, params: Params, setup: TrainingSetup, checkpoint: Checkpoint) -> Outcome:
    """Search C in the space that `controller.space` names."""
    config, key = params.real.evolution, "real.evolution"
    chosen: EvolutionConfig | FineTuningConfig = config
    if params.round.start != ZERO:
        chosen, key = config.fine_tuning, f"{key}.fine_tuning"
    key += ".hidden_components"
    space = setup.make_space(chosen.hidden_components, key)
    rng = generator(params.training_seed(), "controller", "population", name)
    start = setup.start(space, key)
    strategy = make_strategy(
        config.strategy, start, chosen.sigma, chosen.population, rng, config.simple_es
    )
    state = search_by_es(
        strategy,
        setup.candidates(space),
        name,
        Plan(params.budget(), chosen.schedule),
        tracks_for_validation(params.controller.validation_tracks),
        params.controller.validate_every,
        checkpoint,
    )
    return Outcome(space, state.strategy.mean, state.env_steps, state.rows, state.seconds)


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    setup = TrainingSetup.load(params)
    write_outcome(name, setup, train(name, params, setup, checkpoint))


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
