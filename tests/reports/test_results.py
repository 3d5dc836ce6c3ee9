"""Numbers are read back from results/, and damaged files are refused."""

import numpy as np
import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.reports.results import read_columns, read_metrics


@pytest.mark.parametrize(
    "content", [b"track,return\n1,\xff\n", b"track,return\n1\n", b"", b"a\nb\n"]
)
def test_damaged_columns_are_refused_by_name(tmp_path, content):
    path = tmp_path / "returns.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"returns\.csv"):
        read_columns(path, "track", "return")


def test_an_empty_cell_is_read_as_nan(tmp_path):
    (tmp_path / "curve.csv").write_text("iteration,validation\n0,\n1,5\n")
    columns = read_columns(tmp_path / "curve.csv", "validation")
    assert np.isnan(columns["validation"][0]) and columns["validation"][1] == 5


@pytest.mark.parametrize("content", ['{"mean": 1}', '{"mean": 1, "std": "x"}', "[1]", "{"])
def test_damaged_metrics_are_refused_by_name(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.json"):
        read_metrics(tmp_path / "metrics.json", "mean", "std")


def test_metrics_are_read_by_their_names(tmp_path):
    (tmp_path / "metrics.json").write_text('{"mean": 1, "std": 2.5, "more": "text"}')
    assert read_metrics(tmp_path / "metrics.json", "std", "mean") == {"std": 2.5, "mean": 1.0}
