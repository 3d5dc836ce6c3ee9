"""The returns of C on validation tracks while it was trained, over the steps of its training."""

from pathlib import Path

import numpy as np

from worldmodels.reports.results import read_columns, read_metrics


def validations(folder: Path) -> np.ndarray:
    """The environment steps of a round's training and the mean returns [n, 2], from its results in
    `folder`.

    A row of the curve validates C as it was before the steps of this row; the metrics, as it is
    kept. Raises UserError if either is missing or damaged.
    """
    curve = read_columns(folder / "curve.csv", "env_steps", "validation")
    kept = read_metrics(folder / "metrics.json", "env_steps", "validation_mean")
    steps = np.concatenate([[0], curve["env_steps"][:-1]])
    seen = ~np.isnan(curve["validation"])
    points = np.stack([steps[seen], curve["validation"][seen]], axis=1)
    return np.concatenate([points, [[kept["env_steps"], kept["validation_mean"]]]])
