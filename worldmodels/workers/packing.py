"""Pickle a job without the large tensors and arrays in it, which then travel once for many jobs.

V and M are the same for all jobs of a training, the candidates for those of a generation. Each
large array becomes a part, named by a digest of its content.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from typing import Any

import cloudpickle
import numpy as np
import torch
from torch import nn

SMALLEST = 1 << 14  # bytes of an array that becomes a part


class Parts:
    """The parts of values that are packed together: their `content` by name.

    An array that several values hold is read once, so it must not change in between.
    """

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self._names: dict[int, tuple[Any, str | None]] = {}  # by id, unique while arrays are kept

    def name(self, value: Any) -> str | None:
        """The name of the part that stands for `value`; None if it is no large array."""
        if not isinstance(value, (np.ndarray, torch.Tensor)):
            return None
        if id(value) not in self._names:
            name = None
            if (content := _content(value)) is not None:
                name = hashlib.sha256(content).hexdigest()[:32]
                self.content[name] = content
            self._names[id(value)] = value, name
        return self._names[id(value)][1]


def pack(value: Any, parts: Parts) -> tuple[bytes, set[str]]:
    """`value` pickled without its parts, which are added to `parts`, and their names."""
    body = io.BytesIO()
    packer = _Packer(body, parts)
    packer.dump(value)
    return body.getvalue(), packer.names


def unpack(body: bytes, parts: Mapping[str, bytes]) -> Any:
    """The value that was packed, with arrays of its own: what it does to them changes no part."""
    return _Unpacker(io.BytesIO(body), parts).load()


class _Packer(cloudpickle.Pickler):
    """cloudpickle, since a stage that runs as `__main__` may hold the class of a job."""

    def __init__(self, file: io.BytesIO, parts: Parts):
        super().__init__(file, protocol=5)
        self.parts = parts
        self.names: set[str] = set()
        self.numbers: dict[int, int] = {}  # of the arrays, by id, which the parts keep taken

    def persistent_id(self, value: Any) -> tuple[str, int] | None:
        """The name of the part that stands for `value`, and which array of that content it is;
        None: pickle it."""
        name = self.parts.name(value)
        if name is None:
            return None
        self.names.add(name)
        return name, self.numbers.setdefault(id(value), len(self.numbers))


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, parts: Mapping[str, bytes]):
        super().__init__(file)
        self.parts = parts
        self.restored: dict[tuple[str, int], Any] = {}  # what was one array stays one

    def persistent_load(self, which: tuple[str, int]) -> Any:
        if which not in self.restored:
            self.restored[which] = _array(self.parts[which[0]])
        return self.restored[which]


def _content(value: Any) -> bytes | None:
    """A large array as bytes that depend on nothing but its content and layout; None for anything
    else. The layout decides which kernels compute with it, and so the last bits."""
    if type(value) is np.ndarray and value.flags.c_contiguous and not value.dtype.hasobject:
        if value.nbytes < SMALLEST:
            return None
        head = ("array", value.dtype, value.shape)
        return pickle.dumps((*head, value.tobytes()), protocol=5)
    if type(value) in (torch.Tensor, nn.Parameter) and value.device.type == "cpu":
        flat = _flat(value.detach())
        if value.nbytes < SMALLEST or flat is None:
            return None
        kind = "parameter" if isinstance(value, nn.Parameter) else "tensor"
        layout = (str(value.dtype), tuple(value.shape), value.stride(), value.requires_grad)
        return pickle.dumps((kind, *layout, flat.view(torch.uint8).numpy().tobytes()), protocol=5)
    return None


def _flat(tensor: torch.Tensor) -> torch.Tensor | None:
    """The elements [n] in the order of memory; None where they do not fill it without a gap."""
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda axis: -strides[axis])
    permuted = tensor.permute(order)
    return permuted.reshape(-1) if permuted.is_contiguous() else None


def _array(content: bytes) -> Any:
    """The array that `_content` made bytes of."""
    kind, *layout, raw = pickle.loads(content)
    if kind == "array":
        dtype, shape = layout
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    name, shape, strides, requires_grad = layout
    dtype = getattr(torch, name.removeprefix("torch."))
    tensor = torch.frombuffer(bytearray(raw), dtype=dtype).as_strided(shape, strides)
    if kind == "parameter":
        return nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)
