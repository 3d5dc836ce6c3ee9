"""How honest a dream is found to be."""

import numpy as np

from tests.dream.test_model import CONFIG, rotating_world
from tests.dream.toys import (
    make_drive,
    make_memory,
)
from worldmodels.dream.honesty import honesty, names
from worldmodels.dream.learning import new_model
from worldmodels.dream.moments import follow
from worldmodels.dream.step import DreamStep


def test_a_learnt_world_is_dreamt_honestly_and_an_untrained_m_is_not(toy):
    record, model = toy
    found = []
    for candidate in (model, new_model(record, CONFIG, 0.1)):
        dreams = DreamStep(candidate)
        # Long drives: 64 steps are compared
        drives = rotating_world(4, False, steps=90)
        along = follow(drives, make_memory(), dreams)
        found.append(honesty(along, np.zeros(4, int), dreams, 4, np.random.default_rng(1), 200))
    honest, untrained = found
    error = abs(honest["dreamt_reward_16"] - honest["taken_reward_16"])
    assert error < 0.2 and honest["latent_error_16"] < untrained["latent_error_16"]
    assert honest["taken_lost_64"] == 0
    short = follow([make_drive(20)], make_memory(), DreamStep(model))
    empty = honesty(short, np.zeros(1, int), DreamStep(model), 4, np.random.default_rng(1), 10)
    assert set(empty) == set(names()) and set(empty.values()) == {""}


def test_the_dream_is_judged_where_m_has_not_learnt_alone(toy):
    _, model = toy
    drives = rotating_world(1, False, steps=140)
    drives[0].rewards[:70] = 1000.0  # learnt from; what followed is new
    along = follow(drives, make_memory(), DreamStep(model))
    taken = []
    for new_from in (0, 70):
        arguments = along, np.array([new_from]), DreamStep(model), 4, np.random.default_rng(1)
        taken.append(honesty(*arguments, 50)["taken_reward_16"])
    assert taken[1] < 10 < taken[0]
