"""The M that dreams: its losses, what it learns of a toy world, and its file."""

import numpy as np
import pytest
import torch

from tests.agents import make_agent
from tests.devices import each_device
from tests.dream.toys import DREAM_LATENTS, LATENTS, make_drive, make_model
from worldmodels.dream.learning import DreamTrainingConfig, ModelTrainer, new_model
from worldmodels.dream.model import (
    DreamModel,
    DreamPrediction,
    dream_losses,
    load_dream_model,
    save_dream_model,
)
from worldmodels.dream.record import Drive, Record
from worldmodels.pipeline.errors import UserError

CONFIG = DreamTrainingConfig(
    hidden_size=32,
    mixtures=2,
    min_sigma=0.02,
    first_steps=100,
    steps=100,
    batch_size=16,
    sequence=20,
    learning_rate=[0.01, 0.002],
    gradient_norm=1.0,
    reward_weight=0.3,
    lost_weight=0.1,
    ahead_weight=0.1,
    ahead_steps=4,
    lost_delay=4,
    newest_frames=100,
    newest_share=0.5,
)


def test_losses_are_those_of_a_gaussian_a_square_and_a_coin():
    torch.manual_seed(1)
    shape = (2, 3, 4)
    means, log_sigmas = torch.randn(*shape, 1), torch.randn(*shape, 1)
    prediction = DreamPrediction(torch.zeros(*shape, 1), means, log_sigmas, *torch.randn(4, 2, 3))
    next_z, reward, lost = torch.randn(*shape), torch.randn(2, 3), torch.tensor([[0.0, 1, 1]] * 2)
    is_step = torch.tensor([[1.0, 1, 1], [1, 1, 0]])
    has_next = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
    ahead = torch.randn(2, 3)
    off = torch.tensor([[0.0, 0.5, 1]] * 2)
    targets = next_z, reward, lost, off, ahead
    found = dream_losses(prediction, *targets, has_next, is_step)
    normal = torch.distributions.Normal(means[..., 0], log_sigmas[..., 0].exp())
    nll = -normal.log_prob(next_z).mean(dim=2)
    assert found.nll == pytest.approx((nll[has_next > 0]).mean().item(), rel=1e-5)
    squares = 0.5 * (prediction.reward - reward).square()
    assert found.reward == pytest.approx(squares[is_step > 0].mean().item(), rel=1e-5)
    squares = 0.5 * (prediction.ahead - ahead).square()
    assert found.ahead == pytest.approx(squares[is_step > 0].mean().item(), rel=1e-5)
    coin = torch.distributions.Bernoulli(logits=prediction.lost_logit)
    assert found.lost == pytest.approx(-coin.log_prob(lost)[is_step > 0].mean().item(), rel=1e-5)
    coin = torch.distributions.Bernoulli(logits=prediction.off_road_logit)
    entropy = -off * coin.log_prob(torch.ones(2, 3)) - (1 - off) * coin.log_prob(torch.zeros(2, 3))
    assert found.off_road == pytest.approx(entropy[is_step > 0].mean().item(), rel=1e-5)


def test_the_probe_does_not_teach_the_state():
    model = make_model().requires_grad_(True)
    prediction = model(torch.randn(2, 3, DREAM_LATENTS), torch.randn(2, 3, 3))
    prediction.off_road_logit.sum().backward()
    assert model.lstm.weight_hh_l0.grad is None and model.probe.weight.grad is not None
    prediction = model(torch.randn(2, 3, DREAM_LATENTS), torch.randn(2, 3, 3))
    prediction.reward.sum().backward()
    assert model.lstm.weight_hh_l0.grad is not None


def test_sigma_never_falls_below_its_floor():
    model = make_model()
    model.mixture.bias -= 100.0
    assert (
        model.predict(torch.randn(5, 12), torch.randn(5, DREAM_LATENTS)).log_sigmas.exp().min()
        > 0.0199
    )


def test_another_unit_of_the_latents_changes_nothing():
    """Frames come in their own units; the model sees and predicts them at unit variance."""
    model = make_model()
    latents = torch.randn(4, DREAM_LATENTS)
    z = model.normalise(latents)
    np.testing.assert_allclose(z * model.scale + model.centre, latents, atol=1e-5)
    with torch.no_grad():
        wide = DreamModel(model.config, 3 * model.centre, 3 * model.scale)
    np.testing.assert_allclose(wide.normalise(3 * latents), z, atol=1e-5)


def rotating_world(drives: int, by_c: bool, steps: int = 60) -> list[Drive]:
    """Latents that turn at a rate which the first action sets; the second pays, makes the car
    faster, and is told to the probe."""
    rng, found = np.random.default_rng(2), []
    for number in range(drives):
        drive = make_drive(steps, by_c=by_c, seed=number)
        rate = np.where(drive.actions[:, :1] > 0.5, 0.3, -0.1)
        angle = np.cumsum(rate, axis=0) + rng.uniform(0, 6, (1, 1)) + np.arange(LATENTS)
        drive.mu[:] = np.sin(angle - rate)
        drive.rewards[:] = 4 * drive.actions[:, 1]
        drive.off_road[:] = drive.actions[:, 1] > 0.5
        drive.motion[1:] = drive.actions[:-1, 1:2] * [40, 4, 1]
        drive.motion[0] = 0
        drive.until = steps * (number + 1) if by_c else 0
        found.append(drive)
    return found


@each_device
def test_learns_a_toy_world_to_a_stated_error(device):
    record = Record([*rotating_world(12, False), make_drive(30, lost=True)], explored=13)
    torch.manual_seed(1)
    model = new_model(record, CONFIG, std_floor=0.1)
    trainer = ModelTrainer(model, CONFIG, np.random.default_rng(1), device)
    first = trainer.learn(record, 320)
    last = [trainer.learn(record, 16 * 20 * 200) for _ in range(3)][-1]
    assert last["nll"] < -1.0 < 0.5 < first["nll"]
    assert last["reward_loss"] < 0.15 * first["reward_loss"]
    assert last["lost_loss"] < 0.5 * first["lost_loss"]
    assert last["off_road_loss"] < 0.6 * first["off_road_loss"]
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}  # where it dreams


def test_training_repeats_to_the_byte_and_half_of_it_is_new():
    record = Record([*rotating_world(4, False), *rotating_world(3, True)], 4, steps={0: 180})
    ends = []
    for _ in range(2):
        torch.manual_seed(1)
        trainer = ModelTrainer(
            new_model(record, CONFIG, 0.1), CONFIG, np.random.default_rng(1), "cpu"
        )
        trainer.learn(record, 3200)
        ends.append(torch.cat([weight.flatten() for weight in trainer.weights]))
    assert torch.equal(*ends)


def test_a_file_holds_all_of_it(tmp_path):
    model, path = make_model(), tmp_path / "dream.safetensors"
    save_dream_model(path, model)
    again = load_dream_model(path)
    z, action = torch.randn(1, 5, DREAM_LATENTS), torch.rand(1, 5, 3)
    for one, other in zip(model(z, action), again(z, action)):
        assert torch.equal(one, other)
    assert torch.equal(again.centre, model.centre) and torch.equal(again.scale, model.scale)


def test_a_file_of_an_m_that_cannot_dream_is_refused(tmp_path):
    make_agent(1).save(tmp_path / "agent.safetensors")
    with pytest.raises(UserError, match="holds a model of kind 'agent', not 'dream'"):
        load_dream_model(tmp_path / "agent.safetensors")
