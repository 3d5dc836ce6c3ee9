"""Where a result came from: the processor, and the card where one was used."""

import torch

from tests.devices import each_device
from worldmodels.pipeline import provenance
from worldmodels.pipeline.storage import read_csv, write_csv


def test_a_run_names_the_card_that_it_used_and_its_driver(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 570.1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA X")
    provenance.note_run(tmp_path / "runs.csv", "train_vae", "first", 1.0)
    (row,) = read_csv(tmp_path / "runs.csv")
    assert row["processor"] == f"{provenance.processor()}, NVIDIA X with driver 570.1"
    tool.unlink()
    assert provenance.accelerators() == ["NVIDIA X with driver unknown"]


def test_a_column_that_older_runs_lack_is_added(tmp_path):
    old = {"stage": "sample", "round": "first", "commit": "a", "was": "1"}
    write_csv(tmp_path / "runs.csv", [old])
    provenance.note_run(tmp_path / "runs.csv", "train_vae", "first", 1.0)
    before, now = read_csv(tmp_path / "runs.csv")
    assert before["commit"] == "a" and before["seconds"] == "" and before["was"] == "1"
    assert now["seconds"] == "1" and now["was"] == ""


def test_a_package_that_is_missing_fails_no_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    provenance.note_run(tmp_path / "runs.csv", "train_vae", "first", 1.0)
    (row,) = read_csv(tmp_path / "runs.csv")
    assert row["no-such-package"] == "missing"


@each_device
def test_a_card_that_was_not_used_is_not_named(device):
    torch.zeros(1, device=device)
    assert bool(provenance.accelerators()) == torch.cuda.is_initialized()
