"""V's encoder, ready to act: batches of one size, the precision asked for, packed weights."""

import copy
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.pipeline.storage import DTYPES
from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.vision.vae import ImageEncoder


class BatchEncoder:
    """V's encoder, ready to act: in the precision asked for, channels last.

    On a CPU the convolutions run with their weights laid out once for oneDNN's kernels and with
    the ReLU inside them: the same bits as module by module, in less time.
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
        """(mu, logvar) [n, Z] float32 of uint8 [n, 64, 64, 3], n a multiple of FIXED_BATCH."""
        outputs = []
        for start in range(0, len(observations), FIXED_BATCH):
            frames = torch.from_numpy(observations[start : start + FIXED_BATCH]).to(self.device)
            pixels = frames.permute(0, 3, 1, 2).to(self.dtype).div_(255)
            features = self.fold(self.convolutions(pixels)).relu_()
            outputs.append(self.statistics(features.float()))
        mu, logvar = torch.cat(outputs).cpu().chunk(2, dim=1)
        return mu, logvar


def runs_packed(dtype: torch.dtype) -> bool:
    """Whether oneDNN has kernels for `dtype` here; warns where bfloat16 has to go without."""
    if not torch.backends.mkldnn.is_available():
        return False
    if dtype is not torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return True
    warnings.warn(
        "this processor computes no bfloat16 of its own: V is slow, and the last bits may differ; "
        "`precision: float32` in params.yaml is faster here",
        stacklevel=2,
    )
    return False


class PackedConvolutions(nn.Module):
    """A Sequential of Conv2d and ReLU in turn, packed for FIXED_BATCH images of 64x64."""

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
