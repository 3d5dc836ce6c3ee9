"""A precision that the processor has to emulate is not used silently."""

import os
import subprocess
import sys

import pytest
import torch

from stages import train_vae
from worldmodels.pipeline import stage
from worldmodels.runtime import precision
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.precision import warn_of_slow_precision

CPU = torch.device("cpu")
WARN = """
import torch
from worldmodels.runtime.precision import warn_of_slow_precision
warn_of_slow_precision("bfloat16", "vae.precision", torch.device("cpu"))
"""


def test_an_emulated_bfloat16_warns_once_before_training(capsys, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    warn_of_slow_precision("float32", "vae.precision", CPU)
    assert capsys.readouterr().err == ""
    warn_of_slow_precision("bfloat16", "vae.precision", CPU)
    (said,) = capsys.readouterr().err.splitlines()
    assert "vae.precision is bfloat16" in said and "-S vae.precision=float32" in said
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
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

    def ask(name, key, device):
        assert (name, key, device) == ("bfloat16", "vae.precision", CPU)
        raise Asked

    monkeypatch.setattr(train_vae, "warn_of_slow_precision", ask)
    monkeypatch.setattr(stage, "prepare", lambda *_: CPU)
    monkeypatch.chdir(root)
    params = stage.load(train_vae.Params, "first")
    with pytest.raises(Asked):
        train_vae.main("no such round", params, Checkpoint(None))
