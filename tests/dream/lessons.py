"""Both trainers, small, and lessons for them in a toy world."""

import numpy as np
import pytest

from tests.dream.test_model import CONFIG
from tests.dream.toys import (
    LATENTS,
    MEMORY,
    make_memory,
)
from worldmodels.control.search_space import raw_space
from worldmodels.dream.by_evolution import Cut, DreamEvolution, DreamEvolutionConfig
from worldmodels.dream.by_ppo import DreamPPO, DreamPPOConfig, Noise, RecordWeight
from worldmodels.dream.lesson import Lesson, RulesConfig, Strictness
from worldmodels.dream.moments import errors_of, follow
from worldmodels.dream.record_critic import RecordCritic, RecordCriticConfig
from worldmodels.dream.schedule import Average
from worldmodels.dream.starts import HardShare, Starts, StartsConfig
from worldmodels.dream.step import DreamStep
from worldmodels.evolution.strategies import CMAES, SimpleESConfig
from worldmodels.ppo.algorithm import Learner

FEATURES = LATENTS + MEMORY


CRITIC = RecordCriticConfig(
    return_lambda=0.9,
    steps=20,
    batch_size=32,
    learning_rate=[0.01, 0.01],
    units=8,
    value_scale=10.0,
)


PPO = DreamPPOConfig(
    gae_lambda=0.9,
    clip=0.2,
    epochs=4,
    batch_size=64,
    learning_rate=[0.02, 0.02],
    critic_learning_rate=[0.01, 0.01],
    critic_units=8,
    value_scale=10.0,
    output_cost=[0.0, 0.0, 0.0],
    hidden_components=4,
    dreams=24,
    horizon=6,
    first_updates=4,
    updates=4,
    hold=2,
    noise=[Noise(lesson=1, first=0.5, last=0.3), Noise(lesson=3, first=0.2, last=0.1)],
    record_weight=[RecordWeight(lesson=0, weight=1.0)],
    averaged_actors=2,
    averaged=[Average(lesson=0, lessons=2)],
    record_critic=CRITIC,
)


EVOLUTION = DreamEvolutionConfig(
    strategy="cma-es",
    hidden_components=4,
    population=8,
    sigma=0.3,
    simple_es=SimpleESConfig(elite_share=0.25, sigma_decay=0.99),
    dreams=8,
    horizon=12,
    first_generations=3,
    generations=3,
    averaged=[Average(lesson=0, lessons=2)],
    cut=[Cut(lesson=0, points=20.0)],
    output_cost=[0.0, 0.0, 0.0],
)


RULES_CONFIG = RulesConfig(
    temperature=1.0,
    sampled=True,
    sight_noise=0.5,
    lost_at=0.9,
    strictness=[
        Strictness(
            lesson=0.0, lost_cost=5.0, off_road_cost=0.1, speed_limit=80.0, sliding_cost=0.02
        ),
        Strictness(
            lesson=0.5, lost_cost=50.0, off_road_cost=0.1, speed_limit=80.0, sliding_cost=0.02
        ),
        Strictness(
            lesson=2.5, lost_cost=200.0, off_road_cost=0.4, speed_limit=50.0, sliding_cost=0.08
        ),
    ],
    speed_cost=0.01,
    sliding_limit=6.0,
    discount=0.99,
)


STARTS = StartsConfig(
    explored=0.5,
    hard=[HardShare(lesson=0, share=0.0), HardShare(lesson=2, share=0.25)],
    hard_steps=6,
    newest_frames=60,
    explored_drives=3,
)
DELAY = 4  # steps after the last tile, from which a car counts as lost


def new_critic():
    return RecordCritic.new(raw_space(0, FEATURES), CONFIG.hidden_size, CRITIC, 1)


def by_ppo(config=PPO):
    critic = new_critic()
    return DreamPPO(config, Learner.new((FEATURES, 0, 3), critic.input_size, config, 1), critic)


def by_evolution(config=EVOLUTION):
    space = raw_space(0, FEATURES)
    rng = np.random.default_rng(1)
    strategy = CMAES(np.zeros(space.dimensions), config.sigma, config.population, rng)
    return DreamEvolution(config, space, strategy)


TRAINERS = pytest.mark.parametrize("new_trainer", [by_ppo, by_evolution])


def lesson_of(record, model, seed=1, number=1, config=RULES_CONFIG, device="cpu"):
    memory, dreams, rng = make_memory(), DreamStep(model), np.random.default_rng(seed)
    along = follow(record.drives, memory, dreams)
    return Lesson(
        model=model,
        memory=memory,
        along=along,
        errors=errors_of(along, dreams, rng, 50),
        config=config,
        starts=Starts.of(along, STARTS, number, DELAY),
        number=number,
        lost_delay=DELAY,
        rng=rng,
        threads=1,
        device=device,
    )
