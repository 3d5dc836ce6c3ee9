"""Train the controller C by an evolution strategy, in M's dream, as the paper does for VizDoom.

models/WORLD/{vae,mdnrnn}.safetensors, data/WORLD/{latents.parquet,scenes}
-> models/ROUND/agent.safetensors, data/ROUND/practice, results/ROUND/train_controller
Paper: section 4, where C learns in the dream of VizDoom; that of CarRacing learns on the track.
"""

from worldmodels.dream.by_evolution import DreamEvolution, DreamEvolutionConfig, refuse_deep
from worldmodels.dream.setup import DreamParams, DreamSection, learn_in_dream
from worldmodels.evolution.strategies import make_strategy
from worldmodels.pipeline import stage
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import generator
from worldmodels.training.outcome import write_outcome
from worldmodels.training.setup import TrainingSetup

# Excluded from the checkpoint's fingerprint: `train_in_dream` decides in `resume` whether a saved
# state fits the budget.
PLAN = ("rounds.${key}.iterations", "rounds.${key}.env_steps")


class Dream(DreamSection):
    evolution: DreamEvolutionConfig


class Params(DreamParams):
    dream: Dream


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    setup, config = TrainingSetup.load(params), params.dream.evolution
    key = "dream.evolution.hidden_components"
    space = setup.make_space(config.hidden_components, key)
    refuse_deep(space)
    start = setup.start(space, key)

    def new_trainer() -> DreamEvolution:
        rng = generator(params.training_seed(), "controller", "population", name)
        population = config.population
        strategy = make_strategy(
            config.strategy, start, config.sigma, population, rng, config.simple_es
        )
        return DreamEvolution(config, space, strategy)

    write_outcome(name, setup, learn_in_dream(name, setup, space, new_trainer, checkpoint))


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
