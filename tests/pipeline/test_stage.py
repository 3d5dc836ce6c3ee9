"""Messages of a stage on other people's machines, and what it never does silently."""

import os
import subprocess
import sys

import pytest
import torch

from stages import train_vae
from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.stage import parse_round, user_errors, warn_of_slow_precision
from worldmodels.runtime.checkpoint import Checkpoint

CPU = torch.device("cpu")
WARN = """
import torch
from worldmodels.pipeline.stage import warn_of_slow_precision
warn_of_slow_precision("bfloat16", "vae.precision", torch.device("cpu"))
"""


@pytest.mark.parametrize("under_dvc", [False, True])
def test_an_error_under_dvc_says_what_brings_the_deleted_outputs_back(monkeypatch, under_dvc):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    if under_dvc:
        monkeypatch.setenv("DVC_STAGE", "sample@first")
    with pytest.raises(SystemExit) as end, user_errors("sample@first"):
        raise UserError("seed is 0")
    first, *rest = str(end.value.code).splitlines()
    assert first == "sample@first: seed is 0" and len(rest) == under_dvc
    assert ("git restore results && dvc checkout" in "".join(rest)) == under_dvc


def test_a_round_with_spaces_is_one_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sample", "a", "b"])  # as the shell splits DVC's command
    assert parse_round("sample") == "a b"


def test_an_emulated_bfloat16_warns_once_before_training(capsys, monkeypatch):
    monkeypatch.setattr(stage, "has_bfloat16", lambda: False)
    warn_of_slow_precision("float32", "vae.precision", CPU)
    assert capsys.readouterr().err == ""
    warn_of_slow_precision("bfloat16", "vae.precision", CPU)
    (said,) = capsys.readouterr().err.splitlines()
    assert "vae.precision is bfloat16" in said and "-S vae.precision=float32" in said
    monkeypatch.setattr(stage, "has_bfloat16", lambda: True)
    warn_of_slow_precision("bfloat16", "vae.precision", CPU)
    assert capsys.readouterr().err == ""


def test_a_processor_limited_to_avx2_is_one_without_bfloat16(root):
    env = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", WARN]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "vae.precision is bfloat16" in done.stderr, done.stderr


def test_training_v_checks_its_precision_before_it_reads_the_record(monkeypatch, root):
    class Asked(Exception):
        pass

    def ask(precision, key, device):
        assert (precision, key, device) == ("bfloat16", "vae.precision", CPU)
        raise Asked

    monkeypatch.setattr(stage, "warn_of_slow_precision", ask)
    monkeypatch.setattr(stage, "prepare", lambda *_: CPU)
    monkeypatch.chdir(root)
    params = stage.load(train_vae.Params, "first")
    with pytest.raises(Asked):
        train_vae.main("no such round", params, Checkpoint(None))
