"""Messages of a stage on other people's machines, and what it never does silently."""

import subprocess
import sys

import pytest

from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.pipeline.stage import parse_entry


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
    assert parse_entry("sample") == "a b"


def test_preparing_asks_for_determinism_and_imports_no_compiler(root):
    script = """
import sys, torch
from worldmodels.pipeline.stage import prepare
prepare("cpu")
assert torch.are_deterministic_algorithms_enabled()
assert torch.is_deterministic_algorithms_warn_only_enabled()
assert "torch._inductor" not in sys.modules
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
