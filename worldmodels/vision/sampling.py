"""Draws z from V's (mu, logvar). Apart from V's network, so that M does not depend on its code."""

from torch import Tensor


def reparameterise(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Return mu + sigma * noise: a draw from N(mu, exp(logvar)) if `noise` is standard normal.

    All three have one shape. Gradients pass through to mu and logvar (Kingma & Welling 2014).
    """
    return mu + (0.5 * logvar).exp() * noise
