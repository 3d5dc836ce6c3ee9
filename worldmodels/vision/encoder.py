"""V's encoder for acting and encoding: fixed batches, a chosen precision, packed weights."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.pipeline.storage import DTYPES
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.runtime.precision import has_bfloat16
from worldmodels.vision.vae import ImageEncoder


class BatchEncoder:
    """Encodes frames in batches of FIXED_BATCH, in `precision` "float32" or "bfloat16".

    On a CPU, the weights of the convolutions are laid out once for oneDNN's kernels, which apply
    the ReLU too: the same bits as module by module, in less time. The last layer, whose output is
    (mu, logvar), always computes in float32.
    """

    def __init__(self, encoder: ImageEncoder, precision: str, device: str):
        self.dtype, self.device = DTYPES[precision], device
        encoder = copy.deepcopy(encoder).requires_grad_(False).to(device)
        self.statistics = encoder.statistics
        self.fold = encoder.fold.to(self.dtype)
        convolutions = encoder.convolutions.to(self.dtype)
        self.convolutions: nn.Module = convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device == "cpu" and runs_packed(self.dtype):
            self.convolutions = PackedConvolutions(convolutions)

    def __call__(self, observations: np.ndarray) -> tuple[Tensor, Tensor]:
        """Encode uint8 [n, 64, 64, 3] to (mu, logvar) float32 [n, Z].

        n must be a multiple of FIXED_BATCH: in a smaller batch the last bits differ.
        """
        assert len(observations) % FIXED_BATCH == 0, len(observations)
        outputs = []
        for start in range(0, len(observations), FIXED_BATCH):
            frames = torch.from_numpy(observations[start : start + FIXED_BATCH]).to(self.device)
            pixels = frames.permute(0, 3, 1, 2).to(self.dtype).div_(255)
            features = self.fold(self.convolutions(pixels)).relu_()
            outputs.append(self.statistics(features.float()))
        mu, logvar = torch.cat(outputs).cpu().chunk(2, dim=1)
        return mu, logvar


def runs_packed(dtype: torch.dtype) -> bool:
    """True if oneDNN has kernels for `dtype` on this processor."""
    if dtype is torch.bfloat16:
        return has_bfloat16()
    return torch.backends.mkldnn.is_available()


class PackedConvolutions(nn.Module):
    """A Sequential of alternating Conv2d and ReLU, packed for FIXED_BATCH images of 64x64.

    Uses the operators that torch's own compiler emits. Equal to the Sequential, bit for bit; other
    sizes work, but the layout of the weights is chosen for these.
    """

    def __init__(self, convolutions: nn.Sequential):
        super().__init__()
        self.run = torch.ops.mkldnn._convolution_pointwise
        self.layers: list[tuple] = []
        x = torch.zeros(FIXED_BATCH, 3, 64, 64, dtype=next(convolutions.parameters()).dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        for layer in convolutions:
            if isinstance(layer, nn.Conv2d):
                geometry = (layer.padding, layer.stride, layer.dilation, layer.groups)
                weight = torch.ops.mkldnn._reorder_convolution_weight(
                    layer.weight, *geometry, list(x.shape)
                )
                self.layers.append((weight, layer.bias, *geometry, "relu", [], None))
            x = layer(x)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.run(x, *layer)
        return x
