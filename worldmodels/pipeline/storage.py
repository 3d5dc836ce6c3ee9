"""Files that are written whole or not at all, and refused when damaged.

Model files are safetensors: loading one runs no code. Their one metadata entry is a JSON of the
config and a digest of all that the file holds.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import torch
from safetensors.torch import save

from worldmodels.pipeline.errors import UserError, damaged, missing

ModelType = TypeVar("ModelType", bound=torch.nn.Module)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises UserError if it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN and infinity are refused with ValueError."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON. Raises UserError if the file is missing or malformed."""
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows`, one or more, with the keys of the first as header. Raises ValueError for a row
    with another key."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column name. Raises UserError if it is missing or no text."""
    try:
        return list(csv.DictReader(io.StringIO(read_bytes(path).decode())))
    except UnicodeDecodeError as error:
        raise damaged(path, str(error)) from None


def digest(arrays: Iterable[tuple[str, np.ndarray]], extra: str = "") -> str:
    """SHA-256, in hexadecimal, of the names, types, shapes and bytes of arrays, and of `extra`."""
    total = hashlib.sha256(extra.encode())
    for name, array in arrays:
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def save_model(path: Path, kind: str, config: Mapping[str, Any], tensors: Mapping) -> None:
    """Save `tensors` by name, with the config they were built with. `kind` names the model."""
    tensors = {name: tensors[name].detach().contiguous() for name in sorted(tensors)}
    described = json.dumps({"kind": kind, "config": config}, sort_keys=True)
    info = {"kind": kind, "config": config, "sha256": _digest_of(tensors, described)}
    write_bytes(path, save(tensors, metadata={"model": json.dumps(info, sort_keys=True)}))


def load_model(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Config and tensors of a model file. Raises UserError if it is damaged or of another kind."""
    if not path.is_file():
        raise missing(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            info = json.loads(file.metadata()["model"])
        found, config, recorded = info["kind"], info["config"], info["sha256"]
        described = json.dumps({"kind": found, "config": config}, sort_keys=True)
        whole = recorded == _digest_of(tensors, described)
    except Exception as error:  # whatever a damaged header makes the parser raise
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    if not whole:
        raise damaged(path, "its digest does not match what it holds")
    if found != kind:
        raise UserError(f"{path}: holds a model of kind {found!r}, not {kind!r}")
    return config, tensors


def restore(model: ModelType, tensors: Mapping[str, torch.Tensor], path: Path) -> ModelType:
    """Load tensors into a model, in float32, for inference. Raises UserError if shapes differ."""
    try:
        model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: does not fit the model of its config: {reason}") from None
    return model.eval().requires_grad_(False)


def _digest_of(tensors: Mapping[str, torch.Tensor], described: str) -> str:
    flat = ((name, tensor.flatten().view(torch.uint8).numpy()) for name, tensor in tensors.items())
    shapes = json.dumps({name: [str(t.dtype), *t.shape] for name, t in tensors.items()})
    return digest(flat, described + shapes)
