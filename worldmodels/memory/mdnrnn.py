"""M: an LSTM with a mixture density output (Ha & Schmidhuber 2018, appendix A.2)."""

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.pipeline.params import Count, Section, from_file
from worldmodels.pipeline.storage import load_model, restore, save_model

KIND = "mdnrnn"


class MDNRNNConfig(Section):
    """`reward_steps`: the reward head predicts the mean reward of this many next steps."""

    hidden_size: Count
    mixtures: Count
    reward_and_end: bool
    reward_steps: Count


class SavedConfig(MDNRNNConfig):
    """The config in a model file: as trained, and the size of V's latents."""

    latent_size: Count


class State(NamedTuple):
    """State of the LSTM: hidden and cell, both [1, B, H]."""

    hidden: Tensor
    cell: Tensor


class Prediction(NamedTuple):
    """M's prediction of the next step.

    `log_weights`, `means`, `log_sigmas` [B, T, Z, K]: a mixture of K Gaussians for each latent
    dimension. `reward` and `end_logit` [B, T], or None where the model has no heads for them.
    """

    log_weights: Tensor
    means: Tensor
    log_sigmas: Tensor
    reward: Tensor | None
    end_logit: Tensor | None


class MDNRNN(nn.Module):
    """Predicts the next z from z [B, T, Z], action [B, T, A] and its state.

    422,368 parameters, as in the paper, at Z = 32, H = 256, K = 5 without the heads for reward and
    end. torch's LSTM has a second bias, fixed at zero here, since the paper's has one.
    """

    def __init__(self, config: MDNRNNConfig, latent_size: int):
        super().__init__()
        self.config, self.latent_size = config, latent_size
        self.lstm = nn.LSTM(latent_size + ACTION_SIZE, config.hidden_size, batch_first=True)
        second_bias = self.lstm.get_parameter("bias_hh_l0")
        nn.init.zeros_(second_bias).requires_grad_(False)
        self.mixture = nn.Linear(config.hidden_size, latent_size * config.mixtures * 3)
        self.reward_and_end = nn.Linear(config.hidden_size, 2) if config.reward_and_end else None

    def initial_state(self, batch: int) -> State:
        """Return the state at the start of an episode: zeros."""
        zeros = torch.zeros(1, batch, self.config.hidden_size)
        return State(zeros, zeros.clone())

    def forward(self, z: Tensor, action: Tensor, state: State) -> tuple[Prediction, State]:
        """Predict along a sequence (or a step, T = 1); return predictions and the last state."""
        outputs, (hidden, cell) = self.lstm(torch.cat([z, action], dim=2), tuple(state))
        return self.predict(outputs), State(hidden, cell)

    def predict(self, hidden: Tensor) -> Prediction:
        """Predict the next step from the hidden states [B, T, H] *after* z and action went in."""
        B, T, _ = hidden.shape
        raw = self.mixture(hidden).view(B, T, self.latent_size, self.config.mixtures, 3)
        logits, means, log_sigmas = raw.unbind(dim=4)
        reward = end_logit = None
        if self.reward_and_end is not None:
            reward, end_logit = self.reward_and_end(hidden).unbind(dim=2)
        return Prediction(logits.log_softmax(dim=3), means, log_sigmas, reward, end_logit)


def mixture_nll(log_weights: Tensor, means: Tensor, log_sigmas: Tensor, target: Tensor) -> Tensor:
    """Return the negative log-likelihood in nats [..., Z] of `target` [..., Z] under mixtures of K
    Gaussians, whose log weights, means and log sigmas are [..., Z, K].

    logsumexp over the components keeps it finite far from all of them.
    """
    standard = (target[..., None] - means) * (-log_sigmas).exp()
    log_density = -0.5 * standard.square() - log_sigmas - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_weights + log_density, dim=-1)


class Losses(NamedTuple):
    """Scalars, each a mean over the steps that count: `nll` in nats per latent dimension, `reward`
    half a squared error, `end` in nats."""

    nll: Tensor
    reward: Tensor
    end: Tensor


def mdnrnn_losses(
    prediction: Prediction,
    next_z: Tensor,
    reward: Tensor,
    terminated: Tensor,
    has_next: Tensor,
    is_step: Tensor,
) -> Losses:
    """Return the losses over a padded batch; all but `next_z` [B, T, Z] are [B, T].

    `is_step` is 1 at recorded steps and 0 in the padding, `has_next` 1 where the next step was
    recorded too. Half the squared error is the NLL of a Gaussian of variance 1, up to a constant.
    """
    nll = (mixture_nll(*prediction[:3], next_z).mean(dim=2) * has_next).sum() / has_next.sum()
    if prediction.reward is None or prediction.end_logit is None:
        return Losses(nll, torch.zeros(()), torch.zeros(()))
    steps = is_step.sum()
    squared = 0.5 * (prediction.reward - reward).square()
    entropy = F.binary_cross_entropy_with_logits(
        prediction.end_logit, terminated, reduction="none"
    )
    return Losses(nll, (squared * is_step).sum() / steps, (entropy * is_step).sum() / steps)


def expected_next(prediction: Prediction) -> Tensor:
    """Return the mean of the mixture, [B, T, Z]."""
    return (prediction.log_weights.exp() * prediction.means).sum(dim=3)


def save_mdnrnn(path: Path, model: MDNRNN) -> None:
    """Save M in float32."""
    config = model.config.model_dump() | {"latent_size": model.latent_size}
    save_model(path, KIND, config, model.state_dict())


def load_mdnrnn(path: Path) -> MDNRNN:
    """Load M. Raises UserError if the file is missing, damaged or holds no M."""
    config, tensors = load_model(path, KIND)
    checked = from_file(SavedConfig, config, path)
    return restore(MDNRNN(checked, checked.latent_size), tensors, path)
