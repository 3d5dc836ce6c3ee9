"""Read the numbers that stages write to results/: columns of a CSV file, values of a JSON file."""

from pathlib import Path

import numpy as np

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import read_csv, read_json

Columns = dict[str, np.ndarray]


def read_columns(path: Path, *names: str) -> Columns:
    """The columns `names` as numbers, NaN where a cell is empty.

    Raises UserError for a file that is missing or damaged: without rows, without one of the
    columns, or with a cell that is not a number.
    """
    try:
        rows = read_csv(path)
        if not rows:
            raise ValueError("no rows")
        return {name: np.array([_number(row[name]) for row in rows]) for name in names}
    except (ValueError, KeyError, TypeError) as error:  # ValueError: also bytes that are not text
        raise _damaged(path, error) from None


def read_metrics(path: Path, *names: str) -> dict[str, float]:
    """The values `names` of a file of metrics.

    Raises UserError for a file that is missing or damaged: without one of the values, or with one
    that is not a number.
    """
    metrics = read_json(path)
    try:
        return {name: float(metrics[name]) for name in names}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: damaged ({error}); `git restore` it or `dvc repro`")


def _number(cell: str) -> float:
    return float("nan") if cell == "" else float(cell)  # None, of a row cut short, is refused
