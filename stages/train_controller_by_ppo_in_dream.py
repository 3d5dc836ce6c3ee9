"""Train the controller C by proximal policy optimisation, in M's dream.

models/WORLD/{vae,mdnrnn}.safetensors, data/WORLD/{latents.parquet,scenes}
-> models/ROUND/agent.safetensors, data/ROUND/practice, results/ROUND/train_controller
Fifteen lessons: 34 minutes on two cores.
Paper: section 4, where C learns in the dream of VizDoom; that of CarRacing learns on the track.
"""

from worldmodels.dream.by_ppo import DreamPPO, DreamPPOConfig
from worldmodels.dream.record_critic import RecordCritic
from worldmodels.dream.setup import DreamParams, DreamSection, learn_in_dream
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline import stage
from worldmodels.ppo.algorithm import Learner
from worldmodels.runtime import resumable
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.seeds import generator, torch_generator
from worldmodels.training.outcome import write_outcome
from worldmodels.training.setup import ZERO, TrainingSetup

# Excluded from the checkpoint's fingerprint: `train_in_dream` decides in `resume` whether a saved
# state fits the budget.
PLAN = ("rounds.${key}.iterations", "rounds.${key}.env_steps")


class Dream(DreamSection):
    ppo: DreamPPOConfig


class Params(DreamParams):
    dream: Dream


def main(name: str, params: Params, checkpoint: Checkpoint) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    setup, config = TrainingSetup.load(params), params.dream.ppo
    space = setup.make_space(setup.memory.config.hidden_size, "mdnrnn.hidden_size")
    key = "dream.ppo.hidden_components"
    inputs = setup.actor_inputs(config.hidden_components, key)
    actor = space.leading(inputs)
    start = None if params.round.start == ZERO else setup.start(actor, key)

    def new_trainer() -> DreamPPO:
        critic_seed = torch_generator(params.training_seed(), "critic", name).initial_seed()
        units = params.dream.practice.model.hidden_size
        critic = RecordCritic.new(space, units, config.record_critic, critic_seed)
        seed = int(generator(params.training_seed(), "learner", name).integers(1 << 31))
        sizes = inputs, space.hidden_units, ACTION_SIZE
        learner = Learner.new(sizes, critic.input_size, config, seed)
        if start is not None:
            learner.actor.set_point(start)
        return DreamPPO(config, learner, critic)

    write_outcome(name, setup, learn_in_dream(name, setup, actor, new_trainer, checkpoint))


if __name__ == "__main__":
    resumable.run("train_controller", Params, main, apart_from=PLAN)
