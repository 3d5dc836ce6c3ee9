"""The draw of z from V's (mu, logvar): apart from V's network, so that M need not depend on it."""

from torch import Tensor


def reparameterise(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Return mu + sigma * noise: a draw from N(mu, exp(logvar)) if `noise` is standard normal.

    All three have one shape. Gradients pass through to mu and logvar (Kingma & Welling 2014).
    """
    return mu + (0.5 * logvar).exp() * noise
