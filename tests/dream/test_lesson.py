"""The rules of a lesson, and the moments that it follows."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.dream.lessons import RULES_CONFIG, lesson_of
from tests.dream.toys import (
    LATENTS,
    make_memory,
    make_model,
    make_record,
)
from worldmodels.dream.lesson import RulesConfig
from worldmodels.dream.moments import errors_of, follow
from worldmodels.dream.step import DreamStep


def test_rules_change_within_a_lesson_and_over_the_lessons(toy):
    first = lesson_of(*toy, number=0)
    costs = [first.rules(share).lost_cost for share in (0.0, 0.25, 0.5)]
    assert costs == pytest.approx([5.0, 250**0.5, 50.0])
    halves = [lesson_of(*toy, number=n).rules(0.5) for n in (0, 1, 2, 3, 9)]
    assert [rules.lost_cost for rules in halves] == pytest.approx([50.0, 100.0, 200.0, 200, 200])
    assert [rules.off_road_cost for rules in halves] == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])
    slides = [rules.sliding_cost for rules in halves]
    assert slides == pytest.approx([0.02, 0.04, 0.08, 0.08, 0.08])
    limits = [rules.speed_limit for rules in halves]
    assert limits == pytest.approx([80, 4000**0.5, 50, 50, 50])


def test_rules_whose_lessons_do_not_rise_are_refused():
    entries = [entry.model_dump() for entry in RULES_CONFIG.strictness]
    with pytest.raises(ValidationError, match="its lessons must rise"):
        RulesConfig(**RULES_CONFIG.model_dump() | {"strictness": entries[::-1]})


def test_moments_are_the_states_of_both_models_before_each_frame():
    record, model, memory = make_record(), make_model(), make_memory()
    found = follow(record.drives, memory, DreamStep(model))
    for drive, start in zip(record.drives, found.starts):
        z = model.normalise(torch.from_numpy(drive.latents))
        before = torch.cat([z[:1], z[:-1]])
        inputs = model.inputs(z, before, torch.from_numpy(drive.actions))
        hidden, _ = model.lstm(inputs[None])
        rows = slice(start + 1, start + len(drive))
        np.testing.assert_allclose(found.moments.hidden[rows], hidden[0, :-1], atol=1e-5)
        assert (found.moments.hidden[start] == 0).all() and (found.moments.cell[start] == 0).all()
        state = memory.start(1)
        for step in range(len(drive)):
            np.testing.assert_allclose(
                found.moments.memory[start + step], state.hidden[0], atol=1e-5
            )
            mu, action = drive.mu[step : step + 1], drive.actions[step : step + 1]
            memory.step(state, np.zeros(1, int), torch.from_numpy(mu), torch.from_numpy(action))


def test_errors_are_what_the_means_miss(toy):
    record, model = toy
    memory, dreams, rng = make_memory(), DreamStep(model), np.random.default_rng(1)
    along = follow(record.drives[:12], memory, dreams)
    errors = errors_of(along, dreams, rng, 500)
    assert errors.shape == (500, LATENTS)
    # A world that M has learnt: its errors are small compared with the latents
    assert errors.square().mean() < 0.1 * along.moments.mu.var()
