"""Dreams that are computed together, on any device, are those of the CPU but for rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.devices import each_device
from tests.dream.toys import LATENTS, RULES, make_dream, make_memory, make_model, make_moments
from worldmodels.dream import on_device, sampling
from worldmodels.dream.on_device import DreamOnDevice

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
PAID = replace(
    RULES,
    off_road_cost=0.3,
    speed_limit=1.0,
    speed_cost=0.1,
    sliding_limit=0.5,
    sliding_cost=0.1,
    sight_noise=0.5,
    horizon=9,
)


def errors():
    return torch.randn(5, LATENTS, generator=torch.Generator().manual_seed(2))


def made_on(device, rules, num_envs=7):
    given = make_model(), make_memory(), make_moments(), rules, num_envs, errors(), device
    return DreamOnDevice(*given)


def steps_of(dream, count):
    """What `count` steps of a dream give, from its reset on."""
    rng = np.random.default_rng(4)
    observations, infos = dream.reset(seed=5)
    yield observations, infos["lost"], infos["hidden"]
    for _ in range(count):
        actions = rng.uniform(-1, 1, (dream.num_envs, 3)).astype(np.float32)
        observations, rewards, terminated, truncated, infos = dream.step(actions)
        yield observations, infos["lost"], infos["hidden"], rewards, terminated, truncated


@each_device
@pytest.mark.parametrize("sampled", [False, True])
def test_the_dreams_of_the_cpu_also_where_they_end_and_begin_again(device, sampled):
    rules = replace(PAID, sampled=sampled, temperature=0.7)
    ours = steps_of(made_on(device, rules), 25)
    theirs = steps_of(make_dream(7, rules, errors=errors()), 25)
    ends = 0
    for one, other in zip(ours, theirs, strict=True):
        for found, expected in zip(one, other, strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, **CLOSE)
        ends += int(one[-1].sum()) if len(one) > 3 else 0
    assert ends >= 7


@each_device
def test_the_same_bytes_again(device):
    ends = [list(steps_of(made_on(device, PAID), 12))[-1] for _ in range(2)]
    assert all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))


@each_device
def test_the_noise_is_that_of_the_compiled_draws(device):
    seeds = np.array([0, 1, 2**63 + 11, 2**64 - 1], np.uint64)
    keys = sampling.keys_of(seeds)
    for counter in (0, 7, 12345, (1 << 40) + 3):
        expected = [sampling._uniform(key, counter) for key in keys]
        here = torch.from_numpy(keys.view(np.int64)).to(device)
        found = on_device.uniform(here, torch.full_like(here, counter))
        assert found.tolist() == expected


@each_device
def test_the_state_stays_where_it_is_computed(device):
    dream = made_on(device, PAID)
    dream.reset(seed=1)
    dream.step(np.zeros((7, 3), np.float32))
    states = dream.latents, dream.seen, dream.hidden, dream.state.cell, dream.errors
    assert {state.device.type for state in states} == {device}
    assert (dream.graph is not None) == (device == "cuda")
