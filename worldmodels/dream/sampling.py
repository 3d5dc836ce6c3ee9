"""The next latents of a dream, drawn from M's mixtures, with noise that depends on nothing else.

Each dream has a key, and its noise at a step follows from key, step and latent alone (a counter
in place of a generator's state: Salmon et al. 2011): the same dream, to the byte, whatever other
dreams there are.
"""

import numpy as np

from worldmodels.runtime.compiled import compiled

# Of splitmix64 (Steele et al. 2014)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

INDICES_FROM = np.int64(1 << 40)  # the first counter of `draw_indices`, far from `draw_next`'s


@compiled
def mix(x):
    """Scramble a uint64 (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


@compiled
def keys_of(seeds):
    """Keys uint64 [n] of dreams with the seeds uint64 [n]."""
    keys = np.empty(len(seeds), dtype=np.uint64)
    for n in range(len(seeds)):
        keys[n] = mix(mix(seeds[n] + GOLDEN))
    return keys


@compiled
def _uniform(key, counter):
    """A number in (0, 1) for the `counter`-th draw of a key."""
    bits = mix(key + np.uint64(counter + 1) * GOLDEN)
    return (np.float64(bits >> np.uint64(11)) + 0.5) / 9007199254740992.0  # 2^53


@compiled
def draw_indices(keys, steps, count, out):
    """Write to `out` int64 [n] an index below `count`, determined by `keys` and `steps` [n]."""
    for n in range(len(keys)):
        out[n] = int(_uniform(keys[n], INDICES_FROM + steps[n]) * count)


@compiled
def draw_next(raw, z, keys, steps, temperature, sampled, offset_scale, log_floor, out):
    """Write to `out` float32 [n, Z] the latents that follow `z` float32 [n, Z].

    `raw` float32 [n, 3 Z K]: the outputs of `DreamModel.mixture`. `sampled`: draw a component with
    its logits divided by `temperature`, then from it with sigma times the root of `temperature`
    (the paper's); else take the mixture's mean. `keys` uint64 [n] and `steps` [n] determine the
    noise.
    """
    latents = z.shape[1]
    mixtures = raw.shape[1] // (3 * latents)
    root = np.sqrt(temperature)
    weights = np.empty(mixtures)
    for n in range(z.shape[0]):
        for latent in range(latents):
            logits = latent * mixtures
            offsets = (latents + latent) * mixtures
            sigmas = (2 * latents + latent) * mixtures
            highest = raw[n, logits]
            for k in range(1, mixtures):
                highest = max(highest, raw[n, logits + k])
            total, mean = 0.0, 0.0
            for k in range(mixtures):
                logit = np.float64(raw[n, logits + k] - highest)
                weights[k] = np.exp(logit / temperature if sampled else logit)
                total += weights[k]
                mean += weights[k] * raw[n, offsets + k]
            if not sampled:
                out[n, latent] = z[n, latent] + offset_scale * mean / total
                continue
            counter = (steps[n] * latents + latent) * 3
            threshold, k = _uniform(keys[n], counter) * total, 0
            threshold -= weights[0]
            while threshold > 0 and k < mixtures - 1:
                k += 1
                threshold -= weights[k]
            radius = np.sqrt(-2 * np.log(_uniform(keys[n], counter + 1)))
            normal = radius * np.cos(2 * np.pi * _uniform(keys[n], counter + 2))
            above = np.float64(raw[n, sigmas + k]) - log_floor
            softplus = above if above > 20 else np.log1p(np.exp(above))
            sigma = root * np.exp(log_floor + softplus)
            out[n, latent] = z[n, latent] + offset_scale * raw[n, offsets + k] + sigma * normal
