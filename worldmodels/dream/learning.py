"""Train the M that dreams, a little at a time, on a record that grows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.dream.model import DreamLosses, DreamModel, DreamModelConfig, dream_losses
from worldmodels.dream.record import Record
from worldmodels.dream.windows import Windows
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Count, NonNegative, Positive, Share
from worldmodels.training.schedule import FromTo, geometric

LOSSES = (
    "nll",
    "reward_loss",
    "lost_loss",
    "off_road_loss",
    "ahead_loss",
)


class DreamTrainingConfig(DreamModelConfig):
    """The section `dream.practice.model` of params.yaml."""

    first_steps: Count
    steps: Count
    batch_size: Count
    sequence: Count
    learning_rate: FromTo
    gradient_norm: Positive
    reward_weight: NonNegative
    lost_weight: NonNegative
    ahead_weight: NonNegative
    ahead_steps: Count
    lost_delay: Count
    newest_frames: Count
    newest_share: Share

    def network(self) -> DreamModelConfig:
        """The part that the model file carries."""
        return DreamModelConfig(**self.model_dump(include=set(DreamModelConfig.model_fields)))


def new_model(record: Record, config: DreamTrainingConfig, std_floor: float) -> DreamModel:
    """An untrained M, scaled by the explorer's latents.

    A latent that V does not use keeps the scale `std_floor`: at unit variance its noise would be
    most of what there is to predict.
    """
    latents = np.concatenate([drive.latents for drive in record.drives[: record.explored]])
    centre, scale = latents.mean(axis=0), np.maximum(latents.std(axis=0), std_floor)
    tensors = (torch.from_numpy(part.astype(np.float32)) for part in (centre, scale))
    return DreamModel(config.network(), *tensors)


@dataclass
class ModelTrainer:
    """A model, the Adam that trains it, and the generator that draws its windows.

    It is trained on `device`, and on the CPU at all other times.
    """

    model: DreamModel
    config: DreamTrainingConfig
    rng: np.random.Generator
    device: str

    def __post_init__(self) -> None:
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        probe = set(self.model.probe.parameters())
        self.taught = [weight for weight in self.weights if weight not in probe]
        self.optimiser = torch.optim.Adam(self.weights, fused=True)

    def learn(self, record: Record, steps: int) -> dict[str, float]:
        """Train on `steps` steps of windows, repeats counted; returns the mean losses.

        Adam's rate falls from its first value towards its second: C should not learn in the dream
        of a model whose weights still move a lot.

        The share `newest_share` of the windows comes from the `newest_frames` last frames that C
        drove, the rest from all drives. Raises UserError if a loss is not finite.
        """
        config = self.config
        kept = config.lost_delay, config.ahead_steps
        everything = Windows(record, list(range(len(record.drives))), *kept)
        newest = record.newest(config.newest_frames)
        recent = Windows(record, newest, *kept) if newest else everything
        new = round(config.batch_size * config.newest_share)
        batches = max(steps // (config.batch_size * config.sequence), 1)
        totals = np.zeros(len(LOSSES))
        self.model.to(self.device)
        try:
            for batch in range(batches):
                for group in self.optimiser.param_groups:
                    group["lr"] = geometric(config.learning_rate, batch / batches)
                parts = [
                    windows.draw(count, config.sequence, self.rng)
                    for windows, count in ((recent, new), (everything, config.batch_size - new))
                    if count
                ]
                losses = self._improve(parts, f"{batch} of {batches} batches")
                totals += [part.item() for part in losses]
        finally:
            self.model.to("cpu")
        return dict(zip(LOSSES, (totals / batches).tolist()))

    def _improve(self, parts: list[dict[str, Tensor]], after: str) -> DreamLosses:
        """One step down the loss on a batch, joined from `parts` by `Windows.draw`; returns its
        parts. `after` names the moment, for an error."""
        config = self.config
        joined = {
            name: torch.cat([part[name] for part in parts]).to(self.device) for name in parts[0]
        }
        z = self.model.normalise(joined["latents"])
        prediction = self.model(z[:, :-1], joined["action"])
        losses = dream_losses(
            prediction,
            z[:, 1:],
            joined["reward"],
            joined["lost"],
            joined["off_road"],
            joined["ahead"],
            joined["has_next"],
            joined["is_step"],
        )
        loss = losses.nll + config.reward_weight * losses.reward
        loss = loss + config.lost_weight * losses.lost + config.ahead_weight * losses.ahead
        loss = loss + losses.off_road  # of the probe alone
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss of the M that dreams is not finite after {after}: lower "
                "dream.practice.model.learning_rate in params.yaml"
            )
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.taught, config.gradient_norm)
        self.optimiser.step()
        return losses
