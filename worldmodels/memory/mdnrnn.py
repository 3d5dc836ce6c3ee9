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
    """`reward_steps`: the next so many, whose mean reward the head for it predicts."""

    hidden_size: Count
    mixtures: Count
    reward_and_end: bool
    reward_steps: Count


class SavedConfig(MDNRNNConfig):
    latent_size: Count


class State(NamedTuple):
    """LSTM state: hidden and cell, both [1, B, H]."""

    hidden: Tensor
    cell: Tensor


class Prediction(NamedTuple):
    """What M says of the next step, [B, T, ...].

    `log_weights`, `means`, `log_sigmas` [B, T, Z, K]: a mixture per latent dimension; `reward`
    [B, T] and `end_logit` [B, T], or None where the model has no such heads.
    """

    log_weights: Tensor
    means: Tensor
    log_sigmas: Tensor
    reward: Tensor | None
    end_logit: Tensor | None


class MDNRNN(nn.Module):
    """Predicts z' from z [B, T, Z], action [B, T, 3] and its state.

    422,368 parameters at Z = 32, H = 256, K = 5 without the heads for reward and end. torch's
    LSTM adds a second bias, which is held at zero here: the paper's has one.
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
        """Zeros, as at the start of an episode."""
        zeros = torch.zeros(1, batch, self.config.hidden_size)
        return State(zeros, zeros.clone())

    def forward(self, z: Tensor, action: Tensor, state: State) -> tuple[Prediction, State]:
        """One path for a step (T = 1) and for a sequence."""
        outputs, (hidden, cell) = self.lstm(torch.cat([z, action], dim=2), tuple(state))
        return self.predict(outputs), State(hidden, cell)

    def predict(self, hidden: Tensor) -> Prediction:
        """What the hidden states [B, T, H], *after* z was consumed, say of the next step."""
        B, T, _ = hidden.shape
        raw = self.mixture(hidden).view(B, T, self.latent_size, self.config.mixtures, 3)
        logits, means, log_sigmas = raw.unbind(dim=4)
        reward = end_logit = None
        if self.reward_and_end is not None:
            reward, end_logit = self.reward_and_end(hidden).unbind(dim=2)
        return Prediction(logits.log_softmax(dim=3), means, log_sigmas, reward, end_logit)


def mixture_nll(prediction: Prediction, target: Tensor) -> Tensor:
    """Negative log-likelihood in nats of `target` [B, T, Z] in each dimension, [B, T, Z]."""
    standard = (target[..., None] - prediction.means) * (-prediction.log_sigmas).exp()
    log_density = -0.5 * standard.square() - prediction.log_sigmas - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(prediction.log_weights + log_density, dim=-1)


class Losses(NamedTuple):
    """Means over the steps that count, in nats: `nll` per latent dimension, reward, end."""

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
    """The losses over a padded batch; all but `next_z` [B, T, Z] are [B, T].

    `is_step` is 1 where a step was recorded and 0 in the padding, `has_next` where the step after
    it was recorded too. Reward: half the squared error; end: cross-entropy.
    """
    nll = (mixture_nll(prediction, next_z).mean(dim=2) * has_next).sum() / has_next.sum()
    if prediction.reward is None or prediction.end_logit is None:
        return Losses(nll, torch.zeros(()), torch.zeros(()))
    steps = is_step.sum()
    squared = 0.5 * (prediction.reward - reward).square()
    entropy = F.binary_cross_entropy_with_logits(
        prediction.end_logit, terminated, reduction="none"
    )
    return Losses(nll, (squared * is_step).sum() / steps, (entropy * is_step).sum() / steps)


def expected_next(prediction: Prediction) -> Tensor:
    """The mean of the mixture, [B, T, Z]."""
    return (prediction.log_weights.exp() * prediction.means).sum(dim=3)


def save_mdnrnn(path: Path, model: MDNRNN) -> None:
    """Save M in float32."""
    config = model.config.model_dump() | {"latent_size": model.latent_size}
    save_model(path, KIND, config, model.state_dict())


def load_mdnrnn(path: Path) -> MDNRNN:
    """M, ready to use. Raises UserError if the file does not hold one."""
    config, tensors = load_model(path, KIND)
    checked = from_file(SavedConfig, config, path)
    return restore(MDNRNN(checked, checked.latent_size), tensors, path)
