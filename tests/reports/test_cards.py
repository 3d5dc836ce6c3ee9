"""The cards of the models: what they have in common."""

import hashlib

import pytest
import torch
import yaml

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import write_json
from worldmodels.reports.cards import card, contents, pulling, table
from worldmodels.reports.lineage import how_trained


def test_how_c_was_trained_is_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"method": "cma-es", "learned_in": "dream"})
    assert how_trained(path) == "CMA-ES in the dream"
    write_json(path, {"method": "cma-es"})
    with pytest.raises(UserError, match="how C was trained"):
        how_trained(path)


def test_the_header_is_one_that_the_hub_reads():
    metric = {"type": "mean_reward", "name": "mean return", "value": "900.4 +/- 75.0"}
    _, head, body = card("Agent", "dream", [metric], ["one", "two"]).decode().split("---\n")
    said = yaml.safe_load(head)
    assert said["license"] == "mit" and said["model-index"][0]["results"][0]["metrics"] == [metric]
    assert body == "\n# Agent\n\none\n\ntwo\n"
    assert "model-index" not in card("V", "first", [], []).decode()


def test_a_file_is_named_by_its_numbers_and_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "vae.safetensors"
    path.write_bytes(b"x" * 1_200_000)
    tensors = {"a": torch.zeros(500, 1000, dtype=torch.float16), "b": torch.zeros(10)}
    said = contents(path, tensors)
    assert said == "safetensors, 1.2 MB: 500,010 numbers, float16, float32"
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert f" artifacts/files/md5/{md5[:2]}/{md5[2:]} -o vae.safetensors" in pulling(path)


def test_a_table_has_a_row_for_each_value():
    rows = table({"mean": "900", "std": "75"}).splitlines()[2:]
    assert rows == ["| mean | 900 |", "| std | 75 |"]
