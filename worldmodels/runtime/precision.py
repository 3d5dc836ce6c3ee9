"""Which precisions oneDNN's kernels compute on this processor without emulation."""

import sys

import torch


def has_bfloat16() -> bool:
    """True if oneDNN computes bfloat16 on this CPU without emulating it."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def warn_of_slow_precision(precision: str, key: str, device: torch.device) -> None:
    """Print a warning, with what to set, if this CPU has to emulate the `precision` of `key`.

    It is not changed automatically, since the bits of the result depend on it.
    """
    if precision == "bfloat16" and device.type == "cpu" and not has_bfloat16():
        print(
            f"params.yaml: {key} is bfloat16, which this processor lacks and emulates, at a tenth "
            f"of the speed: `dvc exp run -S {key}=float32` is faster here (its bits differ)",
            file=sys.stderr,
            flush=True,
        )
