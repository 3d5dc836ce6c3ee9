"""Random generators and track seeds, all derived from one seed.

The seeds of test tracks and of validation tracks lie in ranges of their own; every other track is
drawn from 2^30 on, so that no training meets a track on which a score is computed.
"""

from zlib import crc32

import numpy as np
import torch

TEST, VALIDATION, TRAINING = 1_000_000, 2_000_000, 1 << 30
TEST_TRACKS = VALIDATION - TEST


def sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """The seed sequence for a purpose: the same on every machine, and independent of those for all
    other purposes, except any that differ from it only by zeros at the end."""
    words = [crc32(word.encode()) if isinstance(word, str) else word for word in purpose]
    return np.random.SeedSequence([seed, *words])


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """The numpy generator for a purpose."""
    return np.random.Generator(np.random.PCG64(sequence(seed, *purpose)))


def torch_generator(seed: int, *purpose: str | int) -> torch.Generator:
    """The torch generator, on the CPU, for a purpose."""
    state = sequence(seed, *purpose).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def tracks_for_test(count: int, first: int = 0) -> list[int]:
    """`count` test tracks from the `first` on, to be driven once, at the end."""
    return list(range(TEST + first, TEST + first + count))


def tracks_for_validation(count: int) -> list[int]:
    """The first `count` validation tracks."""
    return list(range(VALIDATION, VALIDATION + count))


def tracks_for_training(count: int, seed: int, purpose: tuple[str | int, ...]) -> list[int]:
    """`count` tracks in [2^30, 2^31), drawn for this purpose."""
    draws = generator(seed, "tracks", *purpose).integers(TRAINING, 2 * TRAINING, count)
    return [int(draw) for draw in draws]
