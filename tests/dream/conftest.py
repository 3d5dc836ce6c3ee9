"""A record of a toy world, and an M that has learnt it."""

import numpy as np
import pytest
import torch

from tests.dream.test_model import CONFIG, rotating_world
from tests.dream.toys import (
    make_drive,
)
from worldmodels.dream.learning import ModelTrainer, new_model
from worldmodels.dream.record import Record


@pytest.fixture(scope="session")
def toy():
    """A record of a world in which gas pays, and an M that has learnt it."""
    record = Record([*rotating_world(12, False), make_drive(30, lost=True)], explored=13)
    torch.manual_seed(1)
    model = new_model(record, CONFIG, std_floor=0.1)
    ModelTrainer(model, CONFIG, np.random.default_rng(1), "cpu").learn(record, 16 * 20 * 300)
    return record, model
