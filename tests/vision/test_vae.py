import math

import numpy as np
import pytest
import torch
from torch import nn

from worldmodels.runtime.batch import FIXED_BATCH
from worldmodels.vision.encoder import BatchEncoder, PackedConvolutions
from worldmodels.vision.sampling import reparameterise
from worldmodels.vision.vae import (
    VAE,
    Fold,
    Unfold,
    VAEConfig,
    kl_divergence,
    latents_in_use,
    to_input,
    vae_loss,
)


def test_has_the_papers_number_of_parameters():
    vae = VAE(VAEConfig(latent_size=32))
    assert sum(p.numel() for p in vae.parameters()) == 4_348_547


def test_the_three_passes_have_the_papers_shapes():
    vae = VAE(VAEConfig(latent_size=7))
    mu, logvar = vae.encode(torch.rand(2, 3, 64, 64))
    assert mu.shape == logvar.shape == (2, 7)
    assert vae.decode(torch.zeros(5, 7)).shape == (5, 3, 64, 64)
    x, *_ = vae(torch.rand(2, 3, 64, 64), torch.zeros(2, 7))
    assert x.min() >= 0 and x.max() <= 1


def test_kl_is_zero_for_the_prior_and_half_the_square_of_a_shift():
    zeros = torch.zeros(1, 4)
    assert kl_divergence(zeros, zeros).item() == 0
    assert kl_divergence(torch.full((1, 4), 3.0), zeros).item() == pytest.approx(4 * 4.5)


def test_kl_equals_torch():
    mu, logvar = torch.randn(3, 8), torch.randn(3, 8)
    p = torch.distributions.Normal(mu, (logvar / 2).exp())
    q = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    expected = torch.distributions.kl_divergence(p, q).sum(1)
    torch.testing.assert_close(kl_divergence(mu, logvar), expected)


def test_loss_sums_pixels_and_counts_kl_only_above_its_tolerance():
    x, y = torch.ones(2, 3, 64, 64), torch.zeros(2, 3, 64, 64)
    mu, logvar = torch.full((2, 4), 1.0), torch.zeros(2, 4)  # KL = 2 nats
    loss, error, kl = vae_loss(x, y, mu, logvar, kl_tolerance=0.25)
    assert (error.item(), kl.item(), loss.item()) == (12288, 2, 12290)
    loss, _, kl = vae_loss(x, x, mu, logvar, kl_tolerance=2.0)
    assert (kl.item(), loss.item()) == (2, 8)


def test_reparameterised_samples_have_the_given_mean_and_deviation():
    noise = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(1))
    z = reparameterise(torch.tensor(3.0), torch.tensor(math.log(4.0)), noise)
    assert z.mean().item() == pytest.approx(3, abs=0.03)
    assert z.std().item() == pytest.approx(2, abs=0.03)


def test_unfold_equals_a_transposed_convolution_of_one_pixel():
    unfold, like = Unfold(6, 4, 5), nn.ConvTranspose2d(6, 4, 5)
    with torch.no_grad():
        unfold.weight.copy_(like.weight.flatten(1))
        unfold.bias.copy_(like.bias)
    x = torch.randn(3, 6)
    torch.testing.assert_close(unfold(x), like(x[:, :, None, None]))


def test_latents_in_use_are_those_whose_mu_varies():
    assert latents_in_use(torch.tensor([1.0, 0.02, 0.009, 0.0]), threshold=0.01) == 2


def test_batch_encoder_agrees_with_the_vae_in_both_precisions():
    vae = VAE(VAEConfig(latent_size=8)).eval().requires_grad_(False)
    frames = np.random.default_rng(0).integers(0, 256, (FIXED_BATCH, 64, 64, 3), dtype=np.uint8)
    expected, _ = vae.encode(to_input(torch.from_numpy(frames)))
    exact, _ = BatchEncoder(vae.encoder, "float32", "cpu")(frames)
    rough, _ = BatchEncoder(vae.encoder, "bfloat16", "cpu")(frames)
    torch.testing.assert_close(exact, expected, atol=1e-5, rtol=0)
    assert 0 < (rough - expected).abs().max() < 0.02


def test_fold_equals_the_convolution_of_the_last_map():
    fold, like = Fold(6, 4), nn.Conv2d(6, 4, 4, stride=2)
    with torch.no_grad():
        fold.weight.copy_(like.weight.permute(2, 3, 1, 0).flatten(0, 2))
        fold.bias.copy_(like.bias)
    x = torch.randn(3, 6, 6, 6)
    torch.testing.assert_close(fold(x).view(3, 2, 2, 4).permute(0, 3, 1, 2), like(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_convolutions_equal_plain_ones_to_the_bit(dtype):
    if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bfloat16 instructions")
    plain = VAE(VAEConfig(latent_size=8)).encoder.convolutions.requires_grad_(False)
    plain = plain.to(dtype).to(memory_format=torch.channels_last)
    x = torch.rand(FIXED_BATCH, 3, 64, 64).to(dtype).contiguous(memory_format=torch.channels_last)
    assert torch.equal(PackedConvolutions(plain)(x), plain(x))


def test_encodes_the_same_on_a_processor_without_bfloat16(monkeypatch):
    vae = VAE(VAEConfig(latent_size=8)).eval().requires_grad_(False)
    frames = np.random.default_rng(0).integers(0, 256, (FIXED_BATCH, 64, 64, 3), dtype=np.uint8)
    expected, _ = BatchEncoder(vae.encoder, "bfloat16", "cpu")(frames)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    found, _ = BatchEncoder(vae.encoder, "bfloat16", "cpu")(frames)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_vae_learns_to_distinguish_two_pictures():
    torch.manual_seed(1)
    vae = VAE(VAEConfig(latent_size=2))
    x = torch.zeros(8, 3, 64, 64)
    x[::2, :, :, :32] = 1.0
    optimiser = torch.optim.Adam(vae.parameters(), 0.001)
    for _ in range(80):
        y, mu, logvar = vae(x, torch.randn(8, 2))
        loss, error, _ = vae_loss(x, y, mu, logvar, 0.5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert error.item() < 100  # the mean picture alone leaves 64 * 32 * 3 / 4 = 1536
