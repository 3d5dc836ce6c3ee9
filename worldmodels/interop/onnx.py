"""The models of a round as ONNX files, which run without this repository, and without torch.

`python -m worldmodels.interop.onnx ROUND`, or `make export ROUND=…`, writes them to exports/ROUND:
`encoder`, `decoder`, `memory`, `controller`, and `dream` where C learnt in one. All compute in
float32; n is any number of rows.
"""

import argparse
import copy
import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from worldmodels.agent.agent import Agent
from worldmodels.dream.model import CHANGE_SCALE, DreamModel
from worldmodels.environment.interface import ACTION_SIZE, SIZE
from worldmodels.interop.trained import TrainedRound
from worldmodels.memory.mdnrnn import MDNRNN, State
from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.vision.vae import VAE, Unfold

OPSET = 18
ROWS = 3  # of the examples that are traced; any number works


class Exported(nn.Module, ABC):
    """A network as it is exported: its inputs and outputs have names."""

    outputs: tuple[str, ...]

    @abstractmethod
    def examples(self) -> dict[str, Tensor]:
        """Inputs of ROWS rows, by name, in the order of `forward`."""


class Encoder(Exported):
    """frames uint8 [n, 64, 64, 3] -> mu, logvar float32 [n, Z]."""

    outputs = ("mu", "logvar")

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def examples(self) -> dict[str, Tensor]:
        return {"frames": torch.zeros(ROWS, SIZE, SIZE, 3, dtype=torch.uint8)}

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(frames.permute(0, 3, 1, 2).float() / 255)


class Decoder(Exported):
    """z float32 [n, Z] -> frames float32 [n, 64, 64, 3] in [0, 1].

    Its first two layers, with nothing between them that is not linear, are one: 0.1 million
    numbers in place of 3.3."""

    outputs = ("frames",)

    def __init__(self, vae: VAE):
        super().__init__()
        first = vae.decoder[0]
        assert isinstance(first, Unfold)
        channels, *size = first.shape
        self.shape = first.shape
        self.unfold = nn.Linear(vae.config.latent_size, first.weight.shape[1])
        bias = first.bias[:, None].expand(channels, math.prod(size)).flatten()
        self.unfold.weight.data = (vae.expand.weight.T.double() @ first.weight.double()).T.float()
        self.unfold.bias.data = (vae.expand.bias.double() @ first.weight.double() + bias).float()
        self.rest = copy.deepcopy(vae.decoder[1:])

    def examples(self) -> dict[str, Tensor]:
        return {"z": torch.zeros(ROWS, self.unfold.in_features)}

    def forward(self, z: Tensor) -> Tensor:
        return self.rest(self.unfold(z).view(-1, *self.shape)).permute(0, 2, 3, 1)


class Memory(Exported):
    """A step of M: z [n, Z], action [n, 3], hidden and cell [n, H], zeros at the start of an
    episode -> the next hidden and cell, and what M expects of the next frame: log_weights, means
    and log_sigmas [n, Z, K] of its mixtures; reward [n], the mean of the next steps', and
    end_logit [n], where M has heads for them."""

    def __init__(self, memory: MDNRNN):
        super().__init__()
        self.memory = memory
        heads = ("reward", "end_logit") if memory.config.reward_and_end else ()
        self.outputs = ("hidden_after", "cell_after", "log_weights", "means", "log_sigmas", *heads)

    def examples(self) -> dict[str, Tensor]:
        hidden = torch.zeros(ROWS, self.memory.config.hidden_size)
        z = torch.zeros(ROWS, self.memory.latent_size)
        action = torch.zeros(ROWS, ACTION_SIZE)
        return {"z": z, "action": action, "hidden": hidden, "cell": hidden.clone()}

    def forward(self, z: Tensor, action: Tensor, hidden: Tensor, cell: Tensor) -> tuple:
        state = State(hidden[None], cell[None])
        prediction, after = self.memory(z[:, None], action[:, None], state)
        told = [part[:, 0] for part in prediction if part is not None]
        return (after.hidden[0], after.cell[0], *told)


class Dream(Exported):
    """A step of the M that dreams: latents and before [n, Z'], the latents of this frame and of
    the one before (mu and the car's motion, in units of their own), action [n, 3], hidden and cell
    [n, H] -> the next hidden and cell, log_weights, means and log_sigmas [n, Z', K] of the next
    latents at unit variance, reward [n] in points, lost_logit [n] and off_road_logit [n]. `centre`
    and `scale` [Z'] bring latents to unit variance: latents = means * scale + centre."""

    outputs = (
        "hidden_after",
        "cell_after",
        "log_weights",
        "means",
        "log_sigmas",
        "reward",
        "lost_logit",
        "off_road_logit",
        "centre",
        "scale",
    )

    def __init__(self, model: DreamModel):
        super().__init__()
        self.model = model

    def examples(self) -> dict[str, Tensor]:
        hidden = torch.zeros(ROWS, self.model.config.hidden_size)
        latents = torch.zeros(ROWS, self.model.latent_size)
        action = torch.zeros(ROWS, ACTION_SIZE)
        return {
            "latents": latents,
            "before": latents.clone(),
            "action": action,
            "hidden": hidden,
            "cell": hidden.clone(),
        }

    def forward(
        self, latents: Tensor, before: Tensor, action: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple:
        model = self.model
        z, change = model.normalise(latents), (latents - before) / model.scale
        inputs = torch.cat([z, CHANGE_SCALE * change, action], dim=1)
        states, after = model.lstm(inputs[:, None], (hidden[None], cell[None]))
        told = model.predict(states[:, 0], z)
        return (
            after[0][0],
            after[1][0],
            told.log_weights,
            told.means,
            told.log_sigmas,
            told.reward,
            told.lost_logit,
            told.off_road_logit,
            model.centre + 0,
            model.scale + 0,
        )


class LinearController(Exported):
    """z [n, Z] and hidden [n, H], of M before it has seen z -> action [n, 3]: steering in [-1, 1],
    gas and brake in [0, 1]. Its weights are `controller.weight` [3, Z + H] and `bias` [3]."""

    outputs = ("action",)

    def __init__(self, agent: Agent):
        super().__init__()
        config = agent.config
        if config.inputs != "z+h":
            raise UserError(f"a C on {config.inputs} has no ONNX form yet: train one on z+h")
        self.sizes = config.latent_size, config.hidden_size
        flat = torch.from_numpy(agent.parameters[0]).float()
        self.controller = nn.Linear(config.features, ACTION_SIZE)
        cut = ACTION_SIZE * config.features
        self.controller.weight.data = flat[:cut].view(ACTION_SIZE, -1).clone()
        self.controller.bias.data = flat[cut:].clone()

    def examples(self) -> dict[str, Tensor]:
        z, hidden = (torch.zeros(ROWS, size) for size in self.sizes)
        return {"z": z, "hidden": hidden}

    def forward(self, z: Tensor, hidden: Tensor) -> Tensor:
        raw = self.controller(torch.cat([z, hidden], dim=1))
        steering, gas, brake = raw.tanh().split(1, dim=1)
        return torch.cat([steering, (gas + 1) / 2, brake.clamp(min=0)], dim=1)


def modules_of(name: str) -> dict[str, Exported]:
    """The modules of the round `name`, by the name of their file.

    Raises UserError if the round is unknown or not trained.
    """
    models = TrainedRound.load(name)
    modules: dict[str, Exported] = {
        "encoder": Encoder(models.agent.encoder),
        "decoder": Decoder(models.vae),
        "memory": Memory(models.memory),
        "controller": LinearController(models.agent),
    }
    return modules | ({"dream": Dream(models.dream)} if models.dream_model else {})


def export(module: Exported, path: Path) -> None:
    """Write a module as ONNX of opset OPSET, with a first axis of any length, and its docstring.

    Raises UserError where the packages for it are missing.
    """
    examples = module.examples()
    for name in ("torch.onnx", "onnx_ir"):  # they tell what they leave out, and nobody asked
        logging.getLogger(name).setLevel(logging.ERROR)
    rows = torch.export.Dim("n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                module.eval().requires_grad_(False),
                tuple(examples.values()),
                input_names=list(examples),
                output_names=list(module.outputs),
                dynamic_shapes=[{0: rows} for _ in examples],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except ImportError as error:
            raise UserError(f"{error}: pip install -r requirements-export.txt") from None
    assert program is not None  # as dynamo is on
    program.model.doc_string = " ".join((type(module).__doc__ or "").split())
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path), external_data=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m worldmodels.interop.onnx")
    parser.add_argument("round", help="of `rounds` in params.yaml")
    parser.add_argument("--to", type=Path, help="a folder; default: exports/ROUND")
    options = parser.parse_args(arguments)
    folder = options.to or Path("exports") / options.round
    for name, module in modules_of(options.round).items():
        export(module, path := folder / f"{name}.onnx")
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    with user_errors("export"):
        main()
