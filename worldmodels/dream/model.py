"""The M that dreams: an MDN-RNN that predicts the next latents, the reward, and a loss of the car.

Departs from the M that C listens to (`memory.mdnrnn`), after the paper's appendix A.2, in what a
dream needs and features do not. It sees and predicts the mean mu of V's posterior, since C acts on
mu and a sample adds V's noise to every step; and the car's motion, which V's picture hardly shows:
without it, M takes all speeds beyond 60 m/s for 60, and its dreams pay no more for them. Both are
its latents, at unit variance. It is told how fast they change, and its mixtures lie around the
present ones: the next frame differs little from this one, and an LSTM of this size that had to
reproduce the whole frame would blur it.
The reward is that of the step alone: a mean of the next ones is a value, true only for the policy
that was recorded. That mean is predicted too, for what it teaches the state, and no dream uses it.
How far off the road the car is, is read off the state by a linear probe (Alain & Bengio 2016),
which does not teach it: a state that was taught to tell it predicts the latents less well.
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.memory.mdnrnn import mixture_nll
from worldmodels.pipeline.params import Count, Positive, Section, from_file
from worldmodels.pipeline.storage import load_model, restore, save_model

KIND = "dream"

CHANGE_SCALE = 5.0  # of the inputs that tell how latents change, which are small at unit variance
OFFSET_SCALE = 0.2  # of the outputs that place the mixtures around the present latents


class DreamModelConfig(Section):
    """`min_sigma`: the smallest standard deviation of a mixture's components, at unit variance of
    the latent. Latents that V does not use are constant, and their density would have no bound."""

    hidden_size: Count
    mixtures: Count
    min_sigma: Positive


class SavedConfig(DreamModelConfig):
    """The config in a model file: as trained, and the number of M's latents."""

    latent_size: Count


class DreamPrediction(NamedTuple):
    """The prediction of the next step.

    `log_weights`, `means`, `log_sigmas` [..., Z, K]: a mixture of K Gaussians for each latent at
    unit variance. `reward` [...] in points; `lost_logit` [...]: of the car being lost after the
    step; `off_road_logit` [...]: of how far it is off the road then; `ahead` [...]: the mean
    reward of the next steps.
    """

    log_weights: Tensor
    means: Tensor
    log_sigmas: Tensor
    reward: Tensor
    lost_logit: Tensor
    off_road_logit: Tensor
    ahead: Tensor


class DreamModel(nn.Module):
    """Predicts what follows latents [..., Z], mu and the car's motion, their change and an action.

    `centre` and `scale` [Z] bring latents to unit variance; all methods take and give such ones.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, config: DreamModelConfig, centre: Tensor, scale: Tensor):
        super().__init__()
        self.config, self.latent_size = config, len(centre)
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)
        inputs = 2 * self.latent_size + ACTION_SIZE
        self.lstm = nn.LSTM(inputs, config.hidden_size, batch_first=True)
        second_bias = self.lstm.get_parameter("bias_hh_l0")
        nn.init.zeros_(second_bias).requires_grad_(False)
        self.mixture = nn.Linear(config.hidden_size, 3 * self.latent_size * config.mixtures)
        self.outcome = nn.Linear(config.hidden_size, 2)
        self.probe = nn.Linear(config.hidden_size, 1)
        self.ahead = nn.Linear(config.hidden_size, 1)

    def normalise(self, latents: Tensor) -> Tensor:
        """The latents [..., Z] at unit variance, from units of their own."""
        return (latents - self.centre) / self.scale

    def inputs(self, z: Tensor, before: Tensor, action: Tensor) -> Tensor:
        """The LSTM's inputs [..., 2 Z + A]: latents `z`, those `before` them, and the action."""
        return torch.cat([z, CHANGE_SCALE * (z - before), action], dim=-1)

    def forward(self, z: Tensor, action: Tensor) -> DreamPrediction:
        """Predict along sequences z [B, T, Z], action [B, T, A], from a state of zeros; nothing is
        known to change at their first step."""
        before = torch.cat([z[:, :1], z[:, :-1]], dim=1)
        hidden, _ = self.lstm(self.inputs(z, before, action))
        return self.predict(hidden, z)

    def predict(self, hidden: Tensor, z: Tensor) -> DreamPrediction:
        """Predict from the hidden states [..., H] *after* the latents z [..., Z] went in."""
        shape = (3, self.latent_size, self.config.mixtures)
        logits, offsets, raw = self.mixture(hidden).unflatten(-1, shape).unbind(dim=-3)
        floor = math.log(self.config.min_sigma)
        reward, lost_logit = self.outcome(hidden).unbind(dim=-1)
        return DreamPrediction(
            log_weights=logits.log_softmax(dim=-1),
            means=z[..., None] + OFFSET_SCALE * offsets,
            log_sigmas=floor + F.softplus(raw - floor),
            reward=reward,
            lost_logit=lost_logit,
            off_road_logit=self.probe(hidden.detach())[..., 0],
            ahead=self.ahead(hidden)[..., 0],
        )


class DreamLosses(NamedTuple):
    """Scalars, each a mean over the steps that count: `nll` in nats per latent at unit variance,
    `reward` and `ahead` half a squared error in points, `lost` and `off_road` a cross-entropy in
    nats."""

    nll: Tensor
    reward: Tensor
    lost: Tensor
    off_road: Tensor
    ahead: Tensor


def dream_losses(
    prediction: DreamPrediction,
    next_z: Tensor,
    reward: Tensor,
    lost: Tensor,
    off_road: Tensor,
    ahead: Tensor,
    has_next: Tensor,
    is_step: Tensor,
) -> DreamLosses:
    """The losses over a padded batch; all but `next_z` [B, T, Z] are [B, T].

    `lost` is 1 where the car is lost after the step; `off_road`, 0 to 1: how far off the road.
    `is_step` is 1 at recorded steps and 0 in the padding, `has_next` 1 where the next frame was
    recorded too.
    """
    nll = mixture_nll(*prediction[:3], next_z).mean(dim=-1)
    squared = 0.5 * (prediction.reward - reward).square()
    squared_ahead = 0.5 * (prediction.ahead - ahead).square()

    def entropy(logit: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logit, target, is_step, reduction="sum")

    steps = is_step.sum()
    return DreamLosses(
        nll=(nll * has_next).sum() / has_next.sum(),
        reward=(squared * is_step).sum() / steps,
        lost=entropy(prediction.lost_logit, lost) / steps,
        off_road=entropy(prediction.off_road_logit, off_road) / steps,
        ahead=(squared_ahead * is_step).sum() / steps,
    )


def save_dream_model(path: Path, model: DreamModel) -> None:
    """Save the model in float32."""
    config = model.config.model_dump() | {"latent_size": model.latent_size}
    save_model(path, KIND, config, model.state_dict())


def load_dream_model(path: Path) -> DreamModel:
    """Load the model. Raises UserError if the file is missing, damaged or cannot dream."""
    config, tensors = load_model(path, KIND)
    checked = from_file(SavedConfig, config, path)
    blank = torch.zeros(checked.latent_size)
    return restore(DreamModel(checked, blank, blank.clone()), tensors, path)
