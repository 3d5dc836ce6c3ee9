import math

import pytest
import torch
from torch import nn

from stages import train_mdnrnn
from worldmodels.memory.mdnrnn import (
    MDNRNN,
    Losses,
    MDNRNNConfig,
    Prediction,
    expected_next,
    mdnrnn_losses,
    mixture_nll,
)
from worldmodels.pipeline.params import load


def make(latent_size=4, hidden_size=16, mixtures=5, heads=True) -> MDNRNN:
    torch.manual_seed(1)
    config = MDNRNNConfig(
        hidden_size=hidden_size, mixtures=mixtures, reward_and_end=heads, reward_steps=1
    )
    return MDNRNN(config, latent_size)


def mixture(weights, means, sigmas) -> Prediction:
    """A prediction of one latent at one step."""
    shape = (1, 1, 1, len(weights))
    parts = (torch.tensor(p, dtype=torch.float32).log().view(shape) for p in (weights, sigmas))
    log_weights, log_sigmas = parts
    return Prediction(log_weights, torch.tensor(means).float().view(shape), log_sigmas, None, None)


def nll_of(prediction, target):
    return mixture_nll(*prediction[:3], target)


def test_has_the_papers_number_of_parameters():
    model = make(32, 256, 5, heads=False)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 422_368
    assert not model.lstm.get_parameter("bias_hh_l0").any()


def test_one_component_is_the_gaussian_nll():
    nll = nll_of(mixture([1.0], [0.5], [2.0]), torch.tensor([[[1.7]]])).item()
    expected = 0.5 * (1.2 / 2) ** 2 + math.log(2.0) + 0.5 * math.log(2 * math.pi)
    assert nll == pytest.approx(expected, rel=1e-6)


def test_equal_components_count_as_one_and_weights_enter_the_nll():
    same = nll_of(mixture([0.3, 0.7], [1, 1], [2, 2]), torch.zeros(1, 1, 1))
    alone = nll_of(mixture([1.0], [1], [2]), torch.zeros(1, 1, 1))
    assert same.item() == pytest.approx(alone.item(), rel=1e-6)
    far = nll_of(mixture([0.25, 0.75], [0, 1000], [1, 1]), torch.zeros(1, 1, 1))
    assert far.item() == pytest.approx(math.log(4) + 0.5 * math.log(2 * math.pi), rel=1e-6)


def test_far_targets_give_large_but_finite_losses():
    nll = nll_of(mixture([0.5, 0.5], [0, 1], [0.001, 0.001]), torch.full((1, 1, 1), 50.0))
    assert math.isfinite(nll.item()) and nll.item() > 1e6


def test_mixture_density_integrates_to_one():
    prediction = mixture([0.2, 0.5, 0.3], [-1, 0, 2], [0.3, 1.0, 0.6])
    grid = torch.linspace(-10, 10, 20001)
    density = (-nll_of(prediction, grid.view(1, -1, 1))).exp().sum() * 0.001
    assert density.item() == pytest.approx(1, abs=1e-3)


def test_expected_next_is_the_weighted_mean():
    assert expected_next(mixture([0.25, 0.75], [4, 8], [1, 1])).item() == pytest.approx(7)


def test_step_by_step_equals_the_sequence():
    model = make()
    z, action = torch.randn(3, 12, 4), torch.rand(3, 12, 3)
    whole, last = model(z, action, model.initial_state(3))
    state = model.initial_state(3)
    for step in range(12):
        part, state = model(z[:, step : step + 1], action[:, step : step + 1], state)
        for a, b in zip(part, whole):
            torch.testing.assert_close(a[:, 0], b[:, step], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(state.hidden, last.hidden, atol=1e-6, rtol=1e-5)


def test_padding_does_not_change_the_losses():
    model = make()
    z, action = torch.randn(2, 7, 4), torch.rand(2, 6, 3)
    reward, ended = torch.randn(2, 6), torch.zeros(2, 6)
    ones, few = torch.ones(2, 6), torch.tensor([1.0, 1, 1, 0, 0, 0]).repeat(2, 1)
    prediction, _ = model(z[:, :-1], action, model.initial_state(2))
    padded = mdnrnn_losses(prediction, z[:, 1:], reward, ended, few, few)
    short, _ = model(z[:, :3], action[:, :3], model.initial_state(2))
    alone = mdnrnn_losses(short, z[:, 1:4], reward[:, :3], ended[:, :3], ones[:, :3], ones[:, :3])
    for a, b in zip(padded, alone):
        torch.testing.assert_close(a, b)


def test_reward_and_end_losses_in_closed_form():
    prediction = mixture([1.0], [0], [1])._replace(
        reward=torch.tensor([[3.0]]), end_logit=torch.tensor([[0.0]])
    )
    one = torch.ones(1, 1)
    losses = mdnrnn_losses(prediction, torch.zeros(1, 1, 1), one, one, one, one)
    assert losses.reward.item() == pytest.approx(2.0)  # half of (3 - 1)^2
    assert losses.end.item() == pytest.approx(math.log(2))


def test_reward_loss_is_weighted_by_the_number_of_rewards_averaged():
    config = load(train_mdnrnn.Params, "first").mdnrnn.model_copy(
        update={"reward_weight": 0.5, "reward_steps": 4, "end_weight": 0.25}
    )
    losses = Losses(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(8.0))
    assert train_mdnrnn.weighted(losses, config).item() == 1 + 0.5 * 4 * 3 + 0.25 * 8


def inverse_problem(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bishop (1994): x = t + 0.3 sin(2 pi t) + noise; find t from x, which is three-valued."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(count, generator=generator)
    x = t + 0.3 * (2 * math.pi * t).sin() + 0.1 * (torch.rand(count, generator=generator) - 0.5)
    return x, t


def gaussian_baseline(t: torch.Tensor) -> float:
    return 0.5 * math.log(2 * math.pi * math.e * t.var().item())


def fit(parameters, loss_of, steps: int) -> None:
    optimiser = torch.optim.Adam(parameters, 0.01)
    for step in range(steps):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def test_mixture_solves_bishops_inverse_problem_with_a_plain_network():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 3 * 5))

    def loss(x, t):
        logits, means, log_sigmas = net(x[:, None]).view(1, -1, 1, 5, 3).unbind(4)
        prediction = Prediction(logits.log_softmax(3), means, log_sigmas, None, None)
        return nll_of(prediction, t.view(1, -1, 1)).mean()

    x, t = inverse_problem(2000, 1)
    fit(net.parameters(), lambda step: loss(x, t), 500)
    held_out = loss(*inverse_problem(2000, 2)).item()
    assert held_out < -1.3 < gaussian_baseline(t) - 0.5


def test_mixture_solves_bishops_inverse_problem_with_an_lstm():
    model = make(latent_size=1, hidden_size=32, heads=False)

    def loss(x, t):
        z = x.view(-1, 20, 1)
        prediction, _ = model(z, torch.zeros(len(z), 20, 3), model.initial_state(len(z)))
        return nll_of(prediction, t.view(-1, 20, 1)).mean()

    x, t = inverse_problem(2000, 1)
    trained = [p for p in model.parameters() if p.requires_grad]
    fit(trained, lambda step: loss(x, t), 300)
    assert loss(*inverse_problem(2000, 2)).item() < -1.2
