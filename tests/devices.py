"""The devices for tests of what is computed on one: always the CPU, and CUDA if there is any."""

import pytest
import torch

without = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
each_device = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, without])]
)
