"""V: the convolutional VAE of the paper (Ha & Schmidhuber 2018, appendix A.1)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from worldmodels.pipeline.params import Count, Section, from_file
from worldmodels.pipeline.storage import DTYPES, load_model, restore, save_model
from worldmodels.vision.sampling import reparameterise

KIND = "vae"


class VAEConfig(Section):
    """The sizes that a model file of V carries."""

    latent_size: Count


class Unfold(nn.Module):
    """The transposed convolution of a 1x1 map, which is a matrix product, computed as one.

    Equal to `nn.ConvTranspose2d(inputs, outputs, size)` on [B, inputs, 1, 1], with its weights
    laid out [inputs, outputs * size * size]; oneDNN takes ten times as long over the latter.
    """

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        like = nn.ConvTranspose2d(inputs, outputs, size)
        assert like.bias is not None
        self.weight = nn.Parameter(like.weight.detach().flatten(1))
        self.bias = nn.Parameter(like.bias.detach())
        self.shape = (outputs, size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs] to [B, outputs, size, size]."""
        return (x @ self.weight).view(-1, *self.shape) + self.bias.view(1, -1, 1, 1)


class Fold(nn.Module):
    """The convolution of a 6x6 map to 2x2 (kernel 4, stride 2) as a matrix product.

    Equal to `nn.Conv2d(inputs, outputs, 4, stride=2)` on [B, inputs, 6, 6], with its weights laid
    out [4 * 4 * inputs, outputs]; oneDNN takes three times as long over so small a map.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        like = nn.Conv2d(inputs, outputs, 4, stride=2)
        assert like.bias is not None
        self.weight = nn.Parameter(like.weight.detach().permute(2, 3, 1, 0).flatten(0, 2))
        self.bias = nn.Parameter(like.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, 6, 6] to [B, 4 * outputs]: the four places, one after the other."""
        rows = x.permute(0, 2, 3, 1)
        corners = ((0, 0), (0, 2), (2, 0), (2, 2))
        windows = [rows[:, top : top + 4, left : left + 4].flatten(1) for top, left in corners]
        places = torch.stack(windows, dim=1).flatten(0, 1)
        return torch.addmm(self.bias, places, self.weight).view(x.shape[0], -1)


class ImageEncoder(nn.Module):
    """Maps x [B, 3, 64, 64] in [0, 1] to (mu, logvar), both [B, Z]."""

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, 4, stride=2),
            nn.ReLU(),
        )
        self.fold = Fold(128, 256)
        self.statistics = nn.Linear(1024, 2 * config.latent_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.fold(self.convolutions(x)).relu()
        mu, logvar = self.statistics(features).chunk(2, dim=1)
        return mu, logvar


class VAE(nn.Module):
    """The network: x [B, 3, 64, 64] in [0, 1]; z, mu, logvar [B, Z].

    4,348,547 parameters at Z = 32, as in the paper. `encode` compresses, `forward` reconstructs,
    `decode` generates.
    """

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.expand = nn.Linear(config.latent_size, 1024)
        self.decoder = nn.Sequential(
            Unfold(1024, 128, 5),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 5, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 6, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 6, stride=2),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compress x to (mu, logvar)."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Generate x from z."""
        return self.decoder(self.expand(z))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct x with z = mu + sigma * noise; return (reconstruction, mu, logvar)."""
        mu, logvar = self.encode(x)
        return self.decode(reparameterise(mu, logvar, noise)), mu, logvar


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the KL divergence [B] in nats of N(mu, exp(logvar)) [B, Z] from N(0, 1)."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(dim=1)


def vae_loss(
    x: Tensor, reconstruction: Tensor, mu: Tensor, logvar: Tensor, kl_tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (loss, squared error, KL): means over the batch of sums over pixels or latents.

    In the loss, the KL of an image counts only above `kl_tolerance` nats per latent, which keeps
    latents from collapsing onto the prior (the released code: 0.5).
    """
    squared_error = (x - reconstruction).square().sum(dim=(1, 2, 3))
    kl = kl_divergence(mu, logvar)
    counted = kl.clamp(min=kl_tolerance * mu.shape[1])
    return (squared_error + counted).mean(), squared_error.mean(), kl.mean()


def to_input(frames: Tensor) -> Tensor:
    """Convert uint8 [B, 64, 64, 3] to float32 [B, 3, 64, 64] in [0, 1], still channels last."""
    return frames.permute(0, 3, 1, 2).float() / 255


def latents_in_use(variance_of_mu: Tensor, threshold: float) -> int:
    """Count the latents that carry information: Var(mu) over the data [Z] exceeds `threshold`.

    The measure of active units of Burda, Grosse & Salakhutdinov (2016).
    """
    return int((variance_of_mu > threshold).sum())


def save_vae(path: Path, vae: VAE, weights_dtype: str) -> None:
    """Save V with its weights rounded to `weights_dtype`."""
    dtype = DTYPES[weights_dtype]
    tensors = {name: tensor.to(dtype) for name, tensor in vae.state_dict().items()}
    save_model(path, KIND, vae.config.model_dump(), tensors)


def load_vae(path: Path) -> VAE:
    """Load V, as float32. Raises UserError if the file is missing, damaged or holds no V."""
    config, tensors = load_model(path, KIND)
    return restore(VAE(from_file(VAEConfig, config, path)), tensors, path)
