"""What the page for driving in the dream takes from a round: models, moments and a recorded lap.

`write` stores `decoder`, `dream`, `memory` and `controller` as ONNX with weights in float16, the
lap's pictures as a strip, all other numbers as `numbers.bin`, and `contents.json`, which gives the
place of each array, and the size and CRC-32 of each file. `commands.page` adds the page's own
files.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from worldmodels.dream.model import DreamModel
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
from worldmodels.interop.trained import TrainedRound, round_that_dreams
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params
from worldmodels.pipeline.storage import write_bytes
from worldmodels.reports.dreaming import Lap, moments_of
from worldmodels.runtime.cores import one_thread

TRACK = 9  # whose lap is shown; dreams begin on it and on the next ones
TRACKS = 4  # on which dreams begin
MOMENTS_PER_TRACK = 6
COLUMNS = 25  # of the strip of pictures
SMALLEST_HALVED = 1024  # numbers of a tensor that is stored in float16; C has fewer


def load_models(name: str) -> TrainedRound:
    """The models of the round `name`, with the large tensors of both Ms rounded to float16.

    Raises UserError if the round is unknown or not trained, or did not learn in the dream.
    """
    models = TrainedRound.load(round_that_dreams(name))
    round_weights(models.memory)
    round_weights(models.dream)
    return models


def modules_to_export(models: TrainedRound) -> dict[str, Exported]:
    """The page's modules by the names of their files, all but C with large tensors rounded."""
    decoder = Decoder(models.vae)
    round_weights(decoder)
    return {
        "decoder": decoder,
        "dream": Dream(models.dream),
        "memory": Memory(models.memory),
        "controller": LinearController(models.agent),
    }


def round_weights(module: nn.Module) -> None:
    """Round the large tensors of a module to float16, in place; it computes in float32."""
    for parameter in module.parameters():
        if parameter.numel() >= SMALLEST_HALVED:
            parameter.data = parameter.data.half().float()


def store_as_float16(path: Path) -> None:
    """Store the large tensors of an ONNX file in float16; a Cast brings each back as it was.

    Raises UserError for one that float16 does not hold exactly.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    casts = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
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


def arrays_of(models: TrainedRound, laps: list[Lap]) -> dict[str, np.ndarray]:
    """The arrays of numbers.bin by name, float32.

    `moment_*` [n, …]: the moments of all laps from which dreams begin; `lap_*` [T, …]: the first
    lap, with what M expected of it one step before; `controller_weight` [A, F] and
    `controller_bias` [A]: C; `latent_centre` and `latent_spread` [Z]: mean and standard deviation
    of mu.
    """
    memory = MemoryStep.of(models.memory)
    moments = [moments_of(lap, memory, models.dream) for lap in laps]
    Z = models.vae.config.latent_size
    controller = LinearController(models.agent).controller
    return (
        moment_arrays(moments)
        | lap_arrays(models.dream, laps[0], moments[0], Z)
        | {
            "controller_weight": controller.weight.detach().numpy(),
            "controller_bias": controller.bias.detach().numpy(),
            "latent_centre": models.dream.centre[:Z].numpy(),
            "latent_spread": models.dream.scale[:Z].numpy(),
        }
    )


def moment_arrays(moments: list[Moments]) -> dict[str, np.ndarray]:
    """MOMENTS_PER_TRACK rows of the moments of each lap, in one array for each field."""
    chosen = [each.rows(chosen_steps(len(each.latents))) for each in moments]
    return {
        f"moment_{name}": torch.cat([getattr(one, name) for one in chosen]).numpy()
        for name in Moments._fields
    }


def lap_arrays(model: DreamModel, lap: Lap, moments: Moments, Z: int) -> dict[str, np.ndarray]:
    """A lap of T steps, and what M expected: mu [T, Z], at step 0 the lap's own, rewards [T]."""
    step = DreamStep(model)
    with torch.inference_mode():
        hidden, _ = step.remember(
            moments.latents,
            moments.before,
            torch.from_numpy(lap.actions),
            moments.hidden,
            moments.cell,
        )
        expected = step.means(hidden, moments.latents)[:-1, :Z].numpy()
        outcome = step.outcome(hidden)
    return {
        "lap_mu": lap.mu,
        "lap_expected": np.concatenate([lap.mu[:1], expected]),
        "lap_actions": lap.actions,
        "lap_rewards": lap.rewards,
        "lap_expected_rewards": outcome.reward,
    }


def chosen_steps(length: int) -> np.ndarray:
    """MOMENTS_PER_TRACK steps of a lap of `length`, evenly spaced, none close to its ends."""
    return np.linspace(0, length, MOMENTS_PER_TRACK + 2)[1:-1].astype(np.int64)


def write_strip(pictures: np.ndarray, path: Path) -> None:
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


def write_contents(folder: Path, arrays: dict[str, np.ndarray], constants: dict[str, Any]) -> None:
    """Write `numbers.bin`, and `contents.json` with the constants, the place of each array, and
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
    contents = constants | {"arrays": places, "files": files}
    write_bytes(folder / "contents.json", (json.dumps(contents, indent=1) + "\n").encode())


@one_thread()  # one row at a time: more threads would wait for one another
def write(name: str, folder: Path) -> None:
    """Write all that the page has of the round `name` to `folder`."""
    models, params = load_models(name), read_params()
    folder.mkdir(parents=True, exist_ok=True)
    for file, module in modules_to_export(models).items():
        export(module, folder / f"{file}.onnx")
        store_as_float16(folder / f"{file}.onnx")
    laps = [models.lap(track) for track in range(TRACK, TRACK + TRACKS)]
    write_strip(laps[0].pictures, folder / "lap.png")
    constants = {
        "columns": COLUMNS,
        "std_floor": params["controller"]["std_floor"],
        "features": models.agent.config.features,
    }
    write_contents(folder, arrays_of(models, laps), constants)
