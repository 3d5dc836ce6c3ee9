"""How honest a dream is found to be."""

import numpy as np

from tests.dream.test_model import CONFIG, rotating_world
from tests.dream.toys import (
    make_drive,
    make_memory,
)
from worldmodels.dream.honesty import honesty, honesty_columns
from worldmodels.dream.learning import new_model
from worldmodels.dream.moments import follow
from worldmodels.dream.step import DreamStep


def constant(gas):
    """A C that always steers, accelerates and brakes by `gas`."""
    return lambda features: np.full((len(features), 3), gas, np.float32)


def judge(drives, model, new_from=0, count=200, act=None):
    """The honesty of `model` on drives, by default with a C that does nothing."""
    memory = make_memory()
    along = follow(drives, memory, DreamStep(model))
    return honesty(
        along=along,
        new_from=np.full(len(drives), new_from),
        model=model,
        memory=memory,
        act=act or constant(0.0),
        delay=4,
        rng=np.random.default_rng(1),
        count=count,
    )


def test_a_learnt_world_is_dreamt_honestly_and_an_untrained_m_is_not(toy):
    record, model = toy
    drives = rotating_world(4, False, steps=90)  # long: 64 steps are compared
    honest = judge(drives, model)
    untrained = judge(drives, new_model(record, CONFIG, 0.1))
    error = abs(honest["dreamt_reward_16"] - honest["taken_reward_16"])
    assert error < 0.2 and honest["latent_error_16"] < untrained["latent_error_16"]
    assert honest["taken_lost_64"] == 0
    empty = judge([make_drive(20)], model)
    assert list(empty) == honesty_columns() == list(honest) and set(empty.values()) == {""}


def test_the_dream_of_c_has_what_c_does(toy):
    """In the toy's world gas pays, and the drives have little of it."""
    _, model = toy
    drives = rotating_world(4, False, steps=90)
    idle, full = (judge(drives, model, act=constant(gas)) for gas in (0.0, 1.0))
    assert full["own_reward_16"] > idle["own_reward_16"] + 0.2
    assert full["dreamt_reward_16"] == idle["dreamt_reward_16"]


def test_the_dream_is_judged_where_m_has_not_learnt_alone(toy):
    _, model = toy
    drives = rotating_world(1, False, steps=140)
    drives[0].rewards[:70] = 1000.0  # learnt from; what followed is new
    taken = [judge(drives, model, new_from)["taken_reward_16"] for new_from in (0, 70)]
    assert taken[1] < 10 < taken[0]


def test_the_dream_is_judged_where_c_decided_alone(toy):
    _, model = toy
    drives = rotating_world(1, False, steps=140)
    drives[0].by_c = np.arange(140) >= 70
    drives[0].rewards[:70] = 1000.0
    assert judge(drives, model)["taken_reward_16"] < 10
    drives[0].by_c = np.arange(140) % 60 > 0  # someone else's step in every 64
    assert set(judge(drives, model).values()) == {""}
