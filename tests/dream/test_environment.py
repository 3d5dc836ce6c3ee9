"""The dream as a vector environment: spaces, seeds, autoreset, rewards, and what it refuses.

Modelled on Gymnasium's tests of its own vector environments: its checker does not cover them.
"""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tests.dream.toys import (
    LATENTS,
    MEMORY,
    RULES,
    make_dream,
    make_memory,
    make_model,
    make_moments,
)
from worldmodels.dream import environment
from worldmodels.dream.environment import Dream
from worldmodels.dream.model import CHANGE_SCALE
from worldmodels.dream.sampling import draw_next, keys_of
from worldmodels.environment.frames import MOTION_SIZE
from worldmodels.pipeline.errors import UserError


def dream_for(dream, steps, seed=5, rng_seed=0):
    """Observations, rewards and ends of `steps` steps with random actions, after a reset."""
    rng = np.random.default_rng(rng_seed)
    observations, infos = dream.reset(seed=seed)
    found = [(observations, infos["lost"])]
    for _ in range(steps):
        actions = rng.uniform([-1, 0, 0], 1, (1, 3)).astype(np.float32)
        *outputs, infos = dream.step(np.repeat(actions, dream.num_envs, axis=0))
        found.append((*outputs, infos["lost"]))
    return found


def same(one, other, rows):
    """True if two runs of `dream_for` agree in their first `rows` dreams."""
    pairs = zip(one, other)
    return all(np.array_equal(a[:rows], b[:rows]) for x, y in pairs for a, b in zip(x, y))


def test_observations_and_actions_lie_in_their_spaces():
    dream = make_dream(num_envs=4)
    assert dream.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert dream.single_observation_space.shape == (LATENTS + MEMORY,)
    assert dream.observation_space.shape == (4, LATENTS + MEMORY)
    assert dream.action_space.contains(dream.action_space.sample())
    observations, _ = dream.reset(seed=1)
    assert dream.observation_space.contains(observations)
    observations, rewards, terminated, truncated, _ = dream.step(dream.action_space.sample())
    assert dream.observation_space.contains(observations)
    assert rewards.dtype == np.float32 and rewards.shape == (4,)
    assert terminated.dtype == truncated.dtype == bool and terminated.shape == (4,)


def test_gymnasium_makes_it_by_its_id():
    dream = gymnasium.make_vec(
        "WorldModels/Dream-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        model=make_model(),
        memory=make_memory(),
        moments=make_moments(),
        rules=RULES,
    )
    assert isinstance(dream.unwrapped, Dream)
    assert same(dream_for(dream.unwrapped, 8), dream_for(make_dream(num_envs=3), 8), 3)


def test_same_bytes_for_the_same_seed_whatever_the_batch_and_the_threads(monkeypatch):
    monkeypatch.setattr(environment, "CHUNK", 4)
    one = dream_for(make_dream(num_envs=3), 20)
    assert same(one, dream_for(make_dream(num_envs=3), 20), 3)
    assert same(one, dream_for(make_dream(num_envs=11), 20), 3)
    assert same(one, dream_for(make_dream(num_envs=11, threads=2), 20), 3)
    assert not same(one, dream_for(make_dream(num_envs=3), 20, seed=6), 3)


def test_dreams_of_one_call_differ_from_one_another():
    last = dream_for(make_dream(num_envs=3), 4)[-1][0]
    assert len(np.unique(last, axis=0)) == 3


def test_options_choose_the_moments():
    dream = make_dream(num_envs=3)
    moments = make_moments()
    observations, _ = dream.reset(seed=1, options={"moments": np.array([4, 0, 4])})
    expected = torch.cat([moments.mu, moments.memory], dim=1).numpy()[[4, 0, 4]]
    np.testing.assert_array_equal(observations, expected)


def test_options_choose_the_seeds():
    dream = make_dream(num_envs=4)
    observations, _ = dream.reset(options={"seeds": [3, 9, 3, 9], "moments": [0, 1, 0, 1]})
    for _ in range(3):
        observations, *_ = dream.step(np.tile([[0.1, 0.5, 0.0]], (4, 1)))
    assert np.array_equal(observations[0], observations[2])
    assert not np.array_equal(observations[0], observations[1])


def test_c_is_shown_the_errors_that_m_makes_and_m_dreams_on_without_them():
    errors = torch.randn(5, LATENTS)
    clear, blurred = (
        make_dream(2, replace(RULES, sampled=False, sight_noise=noise), errors=errors)
        for noise in (0.0, 0.5)
    )
    seen = [dream_for(dream, 3) for dream in (clear, blurred)]
    np.testing.assert_array_equal(seen[0][0][0], seen[1][0][0])  # the recorded frame itself
    first = seen[1][1][0][:, :LATENTS] - seen[0][1][0][:, :LATENTS]
    for shown in first:
        assert any(np.allclose(shown, 0.5 * error, atol=1e-5) for error in errors.numpy())
    for step in range(1, 4):  # the same dream: rewards, losses
        for one, other in zip(seen[0][step][1:], seen[1][step][1:]):
            np.testing.assert_array_equal(one, other)
    # What C's M remembers is what C was shown
    memory = seen[1][2][0][:, LATENTS:] - seen[0][2][0][:, LATENTS:]
    assert np.abs(memory).max() > 1e-4


def test_a_dream_is_truncated_at_its_horizon_and_begins_again_at_the_next_step():
    model = make_model()
    model.outcome.bias[1] = -50.0  # nothing is ever lost
    dream = make_dream(num_envs=2, model=model)
    found = dream_for(dream, 2 * (RULES.horizon + 1))
    truncated = np.array([step[3] for step in found[1:]])
    terminated = np.array([step[2] for step in found[1:]])
    assert not terminated.any()
    every = [step % (RULES.horizon + 1) == RULES.horizon - 1 for step in range(len(truncated))]
    np.testing.assert_array_equal(truncated, np.repeat(np.array(every)[:, None], 2, axis=1))
    begun = found[RULES.horizon + 1]
    assert (begun[1] == 0).all()  # the reward of a step that only begins
    starts = torch.cat([make_moments().mu, make_moments().memory], dim=1).numpy()
    assert all((row == starts).all(axis=1).any() for row in begun[0])


def test_a_dream_ends_with_a_loss_that_is_certain_enough_and_pays_for_all_of_it():
    model = make_model()
    model.outcome.weight[1], model.outcome.bias[1] = 0.0, 3.0  # P(lost) = 0.95 at every step
    dream = make_dream(num_envs=2, model=model, rules=replace(RULES, lost_at=0.9))
    _, rewards, terminated, truncated, infos = (
        dream.reset(seed=1),
        *dream.step(np.zeros((2, 3), np.float32))[1:],
    )
    assert terminated.all() and not truncated.any()
    free = make_dream(num_envs=2, model=model, rules=replace(RULES, lost_cost=0.0))
    free.reset(seed=1)
    unpriced = free.step(np.zeros((2, 3), np.float32))[1]
    before = torch.sigmoid(torch.tensor(3.0)).item()  # it was as likely at the start
    np.testing.assert_allclose(unpriced - rewards, 50.0 * (1 - before), rtol=1e-4)
    np.testing.assert_allclose(infos["lost"], before, rtol=1e-5)


def test_the_costs_of_a_dream_add_up_to_the_cost_of_the_probability_at_its_end():
    priced, free = (
        dream_for(make_dream(num_envs=3, rules=replace(RULES, lost_cost=cost, lost_at=1.0)), 5)
        for cost in (70.0, 0.0)
    )
    paid = sum(b[1] - a[1] for a, b in zip(priced[1:], free[1:]))
    np.testing.assert_allclose(paid, 70.0 * (priced[-1][-1] - priced[0][-1]), rtol=1e-3, atol=1e-4)


def test_haste_sliding_and_being_off_the_road_cost_a_dream():
    def rewards(**changes):
        rules = replace(RULES, lost_cost=0.0, lost_at=1.0, **changes)
        return np.stack(
            [step[1] for step in dream_for(make_dream(num_envs=3, rules=rules), 5)[1:]]
        )

    free = rewards()
    haste = replace(RULES, lost_cost=0.0, lost_at=1.0, speed_limit=40.0, speed_cost=0.2)
    steady = make_model()
    steady.mixture.weight.zero_()
    steady.mixture.bias.zero_()  # every frame is as the one before it
    moments = make_moments()
    moments.latents[:, -MOTION_SIZE:] = torch.tensor([30.0, 40.0, 0.0])  # ahead, aside: at 50 m/s

    def paid(**changes):
        rules = replace(haste, sampled=False, **changes)
        dream = Dream(steady, make_memory(), moments, rules, 3)
        dream.reset(seed=5)
        return dream.step(np.zeros((3, 3), np.float32))[1]

    unpriced = paid(speed_cost=0.0)
    np.testing.assert_allclose(paid(), unpriced - 0.2 * 10, rtol=1e-4)
    np.testing.assert_allclose(paid(speed_limit=60.0), unpriced, rtol=1e-4)
    slide = {"speed_cost": 0.0, "sliding_cost": 0.5}
    np.testing.assert_allclose(paid(**slide, sliding_limit=38.0), unpriced - 0.5 * 2, rtol=1e-4)
    np.testing.assert_allclose(paid(**slide, sliding_limit=41.0), unpriced, rtol=1e-4)
    paid = free - rewards(off_road_cost=4.0)
    assert (paid > 0).all() and (paid < 4).all()
    model = make_model()
    model.probe.weight[0], model.probe.bias[0] = 0.0, 50.0  # always off the road
    rules = replace(RULES, lost_cost=0.0, lost_at=1.0, off_road_cost=4.0)
    off = dream_for(make_dream(num_envs=3, model=model, rules=rules), 1)[1][1]
    np.testing.assert_allclose(off, free[0] - 4, rtol=1e-5)


def test_a_step_of_the_dream_is_the_models_prediction_along_a_sequence():
    """With the mixtures' means, dreaming is the model fed with its own predictions."""
    model, steps = make_model(), 5
    dream = make_dream(num_envs=1, model=model, rules=replace(RULES, sampled=False, lost_cost=0))
    start = make_moments()
    start = start._replace(
        before=start.latents,
        hidden=torch.zeros_like(start.hidden),
        cell=torch.zeros_like(start.cell),
    )
    dream = Dream(model, make_memory(), start, dream.rules, 1)
    actions = np.random.default_rng(2).uniform(size=(steps, 1, 3)).astype(np.float32)
    dream.reset(seed=1, options={"moments": np.array([2])})
    found = [dream.step(action) for action in actions]
    z = [model.normalise(start.latents[2])]
    for step in range(steps):
        sequence = torch.stack(z)[None]
        prediction = model(sequence, torch.from_numpy(actions[: step + 1, 0])[None])
        weights = prediction.log_weights[0, -1].exp()
        z.append((weights * prediction.means[0, -1]).sum(dim=-1))
        mu = z[-1] * model.scale + model.centre
        np.testing.assert_allclose(found[step][0][0, :LATENTS], mu[:LATENTS].numpy(), atol=1e-4)
        assert found[step][1][0] == pytest.approx(prediction.reward[0, -1].item(), abs=1e-4)
        lost = prediction.lost_logit[0, -1].sigmoid().item()
        assert found[step][4]["lost"][0] == pytest.approx(lost, abs=1e-5)
    assert CHANGE_SCALE != 1  # so that leaving it out of one of the two would show


def test_draws_follow_the_mixture_and_its_temperature():
    n, scale, floor = 20_000, 0.2, float(np.log(0.02))
    raw = np.zeros((n, 6), np.float32)  # one latent, K = 2: logits, offsets, sigmas
    raw[:, 1], raw[:, 2], raw[:, 3], raw[:, 4:] = np.log(3), -5.0, 5.0, np.log(0.1)
    z, out = np.full((n, 1), 0.5, np.float32), np.empty((n, 1), np.float32)
    keys, steps = keys_of(np.arange(n, dtype=np.uint64)), np.zeros(n, dtype=np.int64)
    sigma = np.exp(floor + np.log1p(np.exp(np.log(0.1) - floor)))
    for temperature in (1.0, 0.5):
        draw_next(raw, z, keys, steps, temperature, True, scale, floor, out)
        upper = out[:, 0] > 0.5
        share = 3 ** (1 / temperature)
        assert upper.mean() == pytest.approx(share / (1 + share), abs=0.01)
        assert out[upper, 0].mean() == pytest.approx(1.5, abs=0.005)
        assert out[upper, 0].std() == pytest.approx(sigma * temperature**0.5, rel=0.03)
    draw_next(raw, z, keys, steps, 1.0, False, scale, floor, out)
    np.testing.assert_allclose(out, 0.5 + 0.2 * (5.0 * 0.75 - 5.0 * 0.25), rtol=1e-5)


def test_draws_are_independent_over_latents_steps_and_keys():
    n = 500
    raw = np.zeros((n, 9), np.float32)  # three latents, K = 1
    z = np.zeros((n, 3), np.float32)
    keys = keys_of(np.arange(n, dtype=np.uint64))
    columns = []
    for step in range(4):
        out = np.empty((n, 3), np.float32)
        draw_next(raw, z, keys, np.full(n, step), 1.0, True, 0.2, -4.0, out)
        columns.append(out)
    correlations = np.corrcoef(np.concatenate(columns, axis=1), rowvar=False)
    off = correlations[~np.eye(12, dtype=bool)]
    assert np.abs(off).max() < 4 / np.sqrt(n)
    assert abs(np.corrcoef(columns[0][:-1, 0], columns[0][1:, 0])[0, 1]) < 4 / np.sqrt(n)


def test_refuses_what_cannot_be_dreamt():
    with pytest.raises(UserError, match="temperature is 0: set it above 0, or set `sampled`"):
        make_dream(rules=replace(RULES, temperature=0.0))
    other = make_moments()
    with pytest.raises(UserError, match="have 10 latents and 12 hidden units"):
        narrow = other._replace(latents=other.latents[:, :-1], before=other.before[:, :-1])
        Dream(make_model(), make_memory(), narrow, RULES, 2)
    with pytest.raises(UserError, match="M that C listens to does not fit"):
        Dream(make_model(), make_memory(), other._replace(memory=other.hidden), RULES, 2)
    dream = make_dream()
    dream.reset(seed=1)
    with pytest.raises(ValueError, match="not finite"):
        dream.step(np.full((3, 3), np.nan, np.float32))
