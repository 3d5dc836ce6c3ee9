"""A CSV file of numbers, by column."""

from pathlib import Path

import numpy as np

from worldmodels.errors import UserError
from worldmodels.storage import read_csv


def read_columns(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The columns `names` as numbers, NaN where a cell is empty.

    Raises UserError for a damaged file: one that lacks a column, or has a cell that is no number.
    """
    try:
        rows = read_csv(path)
        if not rows:
            raise ValueError("no rows")
        return {name: np.array([_number(row[name]) for row in rows]) for name in names}
    except (ValueError, KeyError, TypeError) as error:  # ValueError: bytes that are no text, too
        raise UserError(f"{path}: damaged ({error}); `git restore` it or `dvc repro`") from None


def _number(cell: str) -> float:
    return float("nan") if cell == "" else float(cell)  # None, of a row cut short, is refused
