"""The returns on validation tracks over the steps of a training."""

import numpy as np

from worldmodels.pipeline.storage import write_csv, write_json
from worldmodels.reports.curves import validations


def test_a_validation_belongs_to_the_steps_before_its_row(tmp_path):
    """C is validated, then recorded: the steps of a row come after its validation."""
    rows = [
        {"env_steps": 0, "validation": -10.0},
        {"env_steps": 100, "validation": ""},
        {"env_steps": 200, "validation": 300.0},
    ]
    write_csv(tmp_path / "curve.csv", rows)
    write_json(tmp_path / "metrics.json", {"env_steps": 200, "validation_mean": 500.0})
    found = validations(tmp_path)
    np.testing.assert_array_equal(found, [[0, -10], [100, 300], [200, 500]])
