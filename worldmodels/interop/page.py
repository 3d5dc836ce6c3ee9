"""What the page for driving in the dream has of a round: its models, moments and a recorded lap.

`python -m worldmodels.interop.page ROUND --to FOLDER` writes `decoder`, `dream`, `memory` and
`controller` as ONNX with weights in float16, the lap's pictures as a strip, all other numbers as
`numbers.bin`, and `contents.json`, which says what is where and how many bytes with which CRC-32
each file has. `commands.page` puts the page's own files beside them.
"""

import argparse
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from worldmodels.agent.agent import Agent
from worldmodels.dream.model import DreamModel, load_dream_model
from worldmodels.dream.moments import Moments
from worldmodels.dream.step import DreamStep
from worldmodels.interop.onnx import (
    Decoder,
    Dream,
    Exported,
    LinearController,
    Memory,
    export,
)
from worldmodels.memory.mdnrnn import MDNRNN, load_mdnrnn
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params
from worldmodels.pipeline.stage import user_errors
from worldmodels.pipeline.storage import write_bytes
from worldmodels.reports.dreaming import Lap, drive_lap, moments_of
from worldmodels.vision.vae import VAE, load_vae

TRACK = 9  # whose lap is shown; dreams begin on it and on the next ones
TRACKS = 4  # on which dreams begin
MOMENTS_PER_TRACK = 6
COLUMNS = 25  # of the strip of pictures
WEIGHTS = 1024  # numbers of a tensor that goes in float16, at least: C's stay as they are


class Models(NamedTuple):
    """The models of a page, with the weights of all but C rounded to float16."""

    agent: Agent
    vae: VAE
    memory: MDNRNN
    dream: DreamModel

    def exported(self) -> dict[str, Exported]:
        """The modules by the names of their files."""
        return {
            "decoder": rounded(Decoder(self.vae)),
            "dream": Dream(self.dream),
            "memory": Memory(self.memory),
            "controller": LinearController(self.agent),
        }


def rounded(module: Any) -> Any:
    """The module, with its large tensors rounded to float16, and computing in float32."""
    for parameter in module.parameters():
        if parameter.numel() >= WEIGHTS:
            parameter.data = parameter.data.half().float()
    return module


def load_models(name: str) -> Models:
    """The models of the round `name`.

    Raises UserError if the round is unknown or not trained, or did not learn in the dream.
    """
    rounds = read_params()["rounds"]
    if name not in rounds or rounds[name]["learned_in"] != "dream":
        dreamers = [key for key, entry in rounds.items() if entry["learned_in"] == "dream"]
        raise UserError(f"no round {name!r} learns in the dream; there are {dreamers}")
    world = Path("models") / rounds[name]["world"]
    return Models(
        Agent.load(Path("models") / name / "agent.safetensors"),
        load_vae(world / "vae.safetensors"),
        rounded(load_mdnrnn(world / "mdnrnn.safetensors")),
        rounded(load_dream_model(Path("data") / name / "practice" / "dream.safetensors")),
    )


def halve(path: Path) -> None:
    """Store the large tensors of an ONNX file in float16; a Cast brings each back as it was.

    Raises UserError for one that float16 does not hold exactly.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < WEIGHTS:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            raise UserError(f"{path}: {tensor.name} has numbers that float16 does not hold")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


def numbers(models: Models, laps: list[Lap]) -> dict[str, np.ndarray]:
    """All that the page shows, of the first lap, and begins with, of all, float32, by name."""
    step, Z = DreamStep(models.dream), models.vae.config.latent_size
    memory = MemoryStep.of(models.memory)
    known = [moments_of(lap, memory, models.dream) for lap in laps]
    moments = [each.rows(chosen_steps(len(each.latents))) for each in known]
    begun = {
        f"moment_{name}": torch.cat([getattr(one, name) for one in moments]).numpy()
        for name in Moments._fields
    }
    with torch.inference_mode():
        shown, along = laps[0], known[0]
        actions = torch.from_numpy(shown.actions)
        hidden, _ = step.remember(along.latents, along.before, actions, along.hidden, along.cell)
        expected = step.means(hidden, along.latents)[:-1, :Z].numpy()
        outcome = step.outcome(hidden)
    controller = LinearController(models.agent).controller
    return begun | {
        "lap_mu": shown.mu,
        "lap_expected": np.concatenate([shown.mu[:1], expected]),
        "lap_actions": shown.actions,
        "lap_rewards": shown.rewards,
        "lap_expected_rewards": outcome.reward,
        "lap_lost": outcome.lost,
        "controller_weight": controller.weight.detach().numpy(),
        "controller_bias": controller.bias.detach().numpy(),
        "latent_centre": models.dream.centre[:Z].numpy(),
        "latent_spread": models.dream.scale[:Z].numpy(),
    }


def chosen_steps(length: int) -> np.ndarray:
    """MOMENTS_PER_TRACK steps of a lap of `length`, evenly spaced, none close to its ends."""
    return np.linspace(0, length, MOMENTS_PER_TRACK + 2)[1:-1].astype(np.int64)


def strip(pictures: np.ndarray, path: Path) -> None:
    """Write pictures uint8 [T, 64, 64, 3] as one PNG, COLUMNS to a row."""
    count, height, width, _ = pictures.shape
    rows = -(-count // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, height, width, 3), np.uint8)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, COLUMNS, height, width, 3).swapaxes(1, 2)
    image = Image.fromarray(sheet.reshape(rows * height, COLUMNS * width, 3))
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def write_contents(folder: Path, arrays: dict[str, np.ndarray], told: dict[str, Any]) -> None:
    """Write `numbers.bin`, and `contents.json` with what `told` says, the place of each array, and
    the size and the CRC-32 of each file in the folder."""
    places, parts, offset = {}, [], 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array, np.float32).tobytes()
        places[name] = {"shape": list(array.shape), "offset": offset}
        parts.append(content)
        offset += len(content)
    write_bytes(folder / "numbers.bin", b"".join(parts))
    files = {
        path.name: {"bytes": path.stat().st_size, "crc32": zlib.crc32(path.read_bytes())}
        for path in sorted(folder.iterdir())
        if path.suffix in (".onnx", ".bin", ".png")
    }
    contents = told | {"arrays": places, "files": files}
    write_bytes(folder / "contents.json", (json.dumps(contents, indent=1) + "\n").encode())


def write(name: str, folder: Path) -> None:
    """Write all that the page has of the round `name` to `folder`.

    Sets torch to one thread: one row at a time, more would wait for one another.
    """
    torch.set_num_threads(1)
    models, params = load_models(name), read_params()
    folder.mkdir(parents=True, exist_ok=True)
    for file, module in models.exported().items():
        export(module, folder / f"{file}.onnx")
        halve(folder / f"{file}.onnx")
    seed, horizon = params["seed"], params["evaluate"]["horizon"]
    laps = [
        drive_lap(models.agent, models.vae, track, seed, horizon)
        for track in range(TRACK, TRACK + TRACKS)
    ]
    strip(laps[0].pictures, folder / "lap.png")
    told = {
        "round": name,
        "track": TRACK,
        "columns": COLUMNS,
        "in_use_above": params["vae"]["in_use_above"],
        "features": models.agent.config.features,
    }
    write_contents(folder, numbers(models, laps), told)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m worldmodels.interop.page")
    parser.add_argument("round", help="of `rounds` in params.yaml, which learnt in the dream")
    parser.add_argument("--to", type=Path, required=True, help="a folder")
    options = parser.parse_args(arguments)
    write(options.round, options.to)


if __name__ == "__main__":
    with user_errors("page"):
        main()
