"""Change single bits of files: each damage must be refused, or be harmless."""

import random
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.memory.mdnrnn import load_mdnrnn
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params, read_yaml, refuse_unknown
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.vision.vae import load_vae

DAMAGES = 40  # bytes changed in each file


def same(one: Any, other: Any) -> bool:
    """True if two things that were read hold the same numbers."""
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other)
    if hasattr(one, "state_dict"):
        return same(
            {name: tensor.numpy() for name, tensor in one.state_dict().items()},
            {name: tensor.numpy() for name, tensor in other.state_dict().items()},
        )
    if hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "numpy"):
        return same(one.numpy(), other.numpy())
    return bool(one == other)


def damage(path: Path, read: Callable[[], Any], rng: random.Random) -> dict[str, int]:
    """Damage a file in DAMAGES bytes, one at a time, and `read` it each time; returns how often
    that was refused, and how often it made no difference.

    Raises AssertionError if something else was read and accepted.
    """
    whole, truth = path.read_bytes(), read()
    counts = {"refused": 0, "harmless": 0}
    for _ in range(DAMAGES):
        place = rng.randrange(len(whole))
        changed = bytes([whole[place] ^ (1 << rng.randrange(8))])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        try:
            found = read()
        except UserError:
            counts["refused"] += 1
            continue
        assert same(truth, found), f"{path}: byte {place} was damaged, and the file was accepted"
        counts["harmless"] += 1
    path.write_bytes(whole)
    return counts


def damage_all(folder: Path, rng: random.Random) -> dict[str, dict[str, int]]:
    """Damage a file of each kind that a stage reads."""
    data, models = folder / "data/first", folder / "models/first"
    scenes = data / "scenes"
    readers: list[tuple[Path, Callable[[], Any]]] = [
        (path, lambda: Scenes.load(scenes)) for path in sorted(scenes.glob("*.parquet"))
    ]
    readers += [
        (data / "latents.parquet", lambda: Latents.load(data / "latents.parquet")),
        (models / "vae.safetensors", lambda: load_vae(models / "vae.safetensors")),
        (models / "mdnrnn.safetensors", lambda: load_mdnrnn(models / "mdnrnn.safetensors")),
        (models / "agent.safetensors", lambda: Agent.load(models / "agent.safetensors")),
    ]
    checkpoint = Checkpoint(folder / "checkpoint", "checkpoint")
    checkpoint.folder.mkdir()  # type: ignore[union-attr]
    checkpoint.save({"numbers": np.arange(1000)})

    def resume() -> Any:
        state = checkpoint.resume()
        if state is None:
            raise UserError("checkpoint reported as damaged, and not used")
        return state

    readers.append((folder / "checkpoint/state", resume))
    return {str(path.relative_to(folder)): damage(path, read, rng) for path, read in readers} | {
        "params.yaml": damage_params(folder, rng)
    }


def damage_params(folder: Path, rng: random.Random) -> dict[str, int]:
    """Damage params.yaml likewise; a third outcome is another value of a declared param.

    Each stage checks the values that it reads; that is not done here.
    """
    path, counts = folder / "params.yaml", {"refused": 0, "harmless": 0, "another_value": 0}
    whole, truth = path.read_bytes(), read_yaml(path)
    for _ in range(DAMAGES):
        place = rng.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :]
        )
        try:
            with chdir(folder):
                found = read_params()
                refuse_unknown(found)
        except UserError:
            counts["refused"] += 1
            continue
        counts["harmless" if same(truth, found) else "another_value"] += 1
    path.write_bytes(whole)
    return counts
