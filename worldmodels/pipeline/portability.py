"""Limits on the instructions that the libraries use: the last bits of a sum depend on them.

By default oneDNN, MKL, torch, OpenBLAS and numpy use the widest vectors of the processor, and each
width adds in its own order. Limited to what every x86-64 since 2013 has, they give the same bits
on each. They read their settings as they are loaded, before any params are read.
"""

import os
import platform
import sys
from typing import Any

from worldmodels.pipeline.errors import UserError

SETTINGS = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # AVX2 would sum in another order on processors other than Intel's
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # what numpy 2.4 has above AVX2
}


def make_portable(params: dict[str, Any]) -> None:
    """Restart this process with the same arguments under `SETTINGS`, unless they are in force.

    Raises UserError on a processor other than x86-64, and for a bfloat16 in `params`: few
    processors compute it, and those that do differ in its last bits.
    """
    if (kind := platform.machine()) not in ("x86_64", "AMD64"):
        raise UserError(
            "params.yaml: machine.portable is true, but it works on x86-64, not on "
            f"{kind}: set it to false"
        )
    for key, value in _precisions(params):
        if value == "bfloat16":
            raise UserError(
                f"params.yaml: {key} is bfloat16, which processors do not compute alike: set it "
                "to float32, or machine.portable to false"
            )
    if any(os.environ.get(name) != value for name, value in SETTINGS.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | SETTINGS)


def _precisions(params: Any, path: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of every `precision` in a tree of params."""
    if not isinstance(params, dict):
        return [(path, params)] if path.endswith("precision") else []
    return [
        found for key in params for found in _precisions(params[key], f"{path}.{key}".strip("."))
    ]
