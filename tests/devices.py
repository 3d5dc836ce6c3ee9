"""The devices that a test of what is computed on one runs on: the CPU always, CUDA where it is."""

import pytest
import torch

without = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
each_device = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, without])]
)
