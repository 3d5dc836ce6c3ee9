"""A search that starts at what the agent of the record did."""

import numpy as np
import torch

from worldmodels.controller import act
from worldmodels.imitation import features_seen, imitate, starting_point
from worldmodels.latents import Latents
from worldmodels.mdnrnn import MDNRNN, MDNRNNConfig
from worldmodels.search_space import scaled_space


def test_a_linear_controller_is_found_again_from_what_it_did():
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(6, 6))
    features = rng.normal(size=(4000, 6)) @ mixing + 3
    space = scaled_space("z", features, None, 1, 0.01)
    truth = np.concatenate([rng.normal(0, 0.15, 3 * 6), [0.2, -0.1, 0.6]])
    which = np.zeros(len(features), dtype=np.int64)
    actions = act(space.unfold(truth[None]), which, features, 0)
    found = act(space.unfold(imitate(space, features, actions)[None]), which, features, 0)
    assert np.abs(found[:, :2] - actions[:, :2]).mean() < 0.03
    assert np.abs(found[:, 2] - actions[:, 2]).mean() < 0.06
    assert np.abs(actions - actions.mean(axis=0)).mean() > 0.1


def small_latents(rng):
    return Latents(
        mu=rng.normal(size=(60, 4)).astype(np.float16),
        logvar=np.zeros((60, 4), np.float16),
        actions=rng.uniform(size=(60, 3)).astype(np.float16),
        rewards=np.zeros(60, np.float32),
        terminated=np.zeros(60, bool),
        episode=np.repeat(np.arange(3), 20).astype(np.int32),
    )


def test_features_are_z_and_the_state_before_z_is_consumed():
    torch.manual_seed(1)
    memory = MDNRNN(MDNRNNConfig(hidden_size=8, mixtures=2, reward_and_end=False), 4)
    latents = small_latents(np.random.default_rng(1))
    features, actions = features_seen(memory, latents, np.array([True, False, True]))
    assert features.shape == (40, 12) and actions.shape == (40, 3)
    np.testing.assert_array_equal(features[[0, 20], 4:], 0)
    state = memory.initial_state(1)
    for step in range(20):  # the third episode, a step at a time
        row = features[20 + step]
        np.testing.assert_allclose(row[:4], latents.mu[40 + step])
        np.testing.assert_allclose(row[4:], state.hidden[0, 0].detach(), atol=1e-6)
        z, action = (torch.from_numpy(a[40 + step]).float() for a in (latents.mu, latents.actions))
        _, state = memory(z[None, None], action[None, None], state)


def test_without_an_agent_in_the_record_and_with_a_hidden_layer_it_starts_at_zero():
    latents = small_latents(np.random.default_rng(1))
    mu = latents.mu.astype(np.float64)
    linear = scaled_space("z", mu, None, 1, 0.1)
    assert not starting_point(linear, None, latents, np.zeros(3, bool)).any()
    assert starting_point(linear, None, latents, np.ones(3, bool)).any()
    layered = scaled_space("z+hidden", mu, None, 1, 0.1)
    start = starting_point(layered, None, latents, np.ones(3, bool))
    assert len(start) == layered.dimensions and not start.any()
