import numpy as np
import pytest

from worldmodels.control.controller import act, hidden_units_of, parameter_count
from worldmodels.control.search_space import raw_space, scaled_space


def test_parameter_counts_equal_the_papers():
    assert parameter_count(32 + 256, 0) == 867
    assert parameter_count(32, 0) == 99
    assert parameter_count(32, 40) == 40 * 33 + 3 * 41


def test_hidden_units_follow_from_the_number_of_parameters():
    assert hidden_units_of("z+hidden", 32, parameter_count(32, 40)) == 40
    assert hidden_units_of("z+hidden", 32, parameter_count(32, 1)) == 1
    assert hidden_units_of("z+h", 288, 867) == 0
    for inputs, count in (("z+h", 868), ("z+hidden", parameter_count(32, 40) + 1), ("z", 0)):
        with pytest.raises(ValueError, match=f"no controller on .* has {count}"):
            hidden_units_of(inputs, 32, count)


@pytest.mark.parametrize(
    ("bias", "expected"),
    [
        ((0, 0, 0), (0, 0.5, 0)),
        ((100, 100, 100), (1, 1, 1)),
        ((-100, -100, -100), (-1, 0, 0)),
        ((0.5, 0.5, 0.5), (np.tanh(0.5), (np.tanh(0.5) + 1) / 2, np.tanh(0.5))),
    ],
)
def test_the_action_map_equals_the_papers(bias, expected):
    parameters = np.array([[0.0] * 6 + list(bias)])
    action = act(parameters, np.array([0]), np.ones((1, 2)), 0)[0]
    np.testing.assert_allclose(action, expected, atol=1e-7)


def test_each_candidate_acts_by_its_own_linear_map():
    rng = np.random.default_rng(1)
    parameters, features = rng.normal(size=(4, 3 * 6)) * 0.3, rng.normal(size=(7, 5))
    which = rng.integers(0, 4, 7)
    actions = act(parameters, which, features, 0)
    for car in range(7):
        flat = parameters[which[car]]
        raw = np.tanh(flat[:15].reshape(3, 5) @ features[car] + flat[15:])
        expected = [raw[0], (raw[1] + 1) / 2, np.clip(raw[2], 0, 1)]
        np.testing.assert_allclose(actions[car], expected, atol=1e-6)


def test_hidden_layer_is_forty_tanh_units():
    rng = np.random.default_rng(1)
    flat, features = rng.normal(size=40 * 5 + 123) * 0.3, rng.normal(size=4)
    hidden = np.tanh(flat[:160].reshape(40, 4) @ features + flat[160:200])
    raw = np.tanh(flat[200:320].reshape(3, 40) @ hidden + flat[320:])
    action = act(flat[None], np.array([0]), features[None], 40)[0]
    np.testing.assert_allclose(
        action, [raw[0], (raw[1] + 1) / 2, np.clip(raw[2], 0, 1)], atol=1e-6
    )


def test_a_point_of_the_scaled_space_unfolds_into_the_same_controller():
    rng = np.random.default_rng(1)
    mu, hidden = rng.normal(2, 3, (500, 6)), rng.normal(size=(500, 10)) @ rng.normal(size=(10, 10))
    space = scaled_space(0, mu, hidden, components=4, std_floor=0.1)
    assert space.dimensions == 3 * (6 + 4 + 1)
    point = rng.normal(size=(1, space.dimensions))
    flat = space.unfold(point)[0]
    assert flat.shape == (parameter_count(16, 0),)
    features = np.concatenate([mu, hidden], axis=1)
    scaled = (features - space.centre) @ space.basis.T
    expected = scaled @ point[0, :30].reshape(3, 10).T + point[0, 30:]
    found = features @ flat[:48].reshape(3, 16).T + flat[48:]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("units", [0, 5])
def test_a_controller_folds_into_the_point_that_unfolds_into_it(units):
    rng = np.random.default_rng(1)
    mu, hidden = rng.normal(2, 3, (500, 6)), rng.normal(size=(500, 10)) @ rng.normal(size=(10, 10))
    space = scaled_space(units, mu, hidden, components=4, std_floor=0.1)
    point = rng.normal(size=space.dimensions)
    found = space.fold(space.unfold(point[None])[0])
    np.testing.assert_allclose(found, point, atol=1e-8)
    wider = scaled_space(units, mu, hidden, components=5, std_floor=0.1)
    with pytest.raises(ValueError, match="10 features"):
        space.fold(wider.unfold(rng.normal(size=(1, wider.dimensions)))[0])


def test_scaled_features_have_unit_variance_except_unused_latents():
    rng = np.random.default_rng(1)
    mu = rng.normal(0, [5, 0.001], (4000, 2))
    hidden = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6))
    space = scaled_space(0, mu, hidden, components=3, std_floor=0.1)
    scaled = (np.concatenate([mu, hidden], axis=1) - space.centre) @ space.basis.T
    np.testing.assert_allclose(scaled.std(0)[[0, 2, 3, 4]], 1, rtol=1e-3)
    assert scaled.std(0)[1] < 0.011
    np.testing.assert_allclose(np.corrcoef(scaled[:, 2:].T), np.eye(3), atol=1e-8)


@pytest.mark.parametrize("inputs", ["z", "z+hidden", "z+h"])
def test_a_point_of_the_raw_space_is_the_parameters(inputs):
    features, units = 12 if inputs == "z+h" else 5, 40 if inputs == "z+hidden" else 0
    space = raw_space(units, features)
    count = parameter_count(features, units)
    assert space.dimensions == count
    points = np.random.default_rng(1).normal(size=(3, count))
    np.testing.assert_allclose(space.unfold(points), points, atol=1e-12)
