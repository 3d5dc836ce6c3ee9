"""The settings that give the same bits on every processor."""

import subprocess
import sys

import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.portability import SETTINGS, make_portable

AGAIN = """
import os
from worldmodels.pipeline.portability import SETTINGS, make_portable
print("started", flush=True)
make_portable({"vae": {"precision": "float32"}})
assert all(os.environ[name] == value for name, value in SETTINGS.items())
import numpy, torch
vectors = numpy.show_config(mode="dicts")["SIMD Extensions"]
print(torch.backends.cpu.get_cpu_capability(), *vectors["baseline"], *vectors["found"])
"""


def test_the_process_restarts_once_under_the_settings():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True)
    assert done.stdout.split()[:2] == ["started", "started"], done.stderr
    capability, *vectors = done.stdout.split()[2:]
    assert capability == "AVX2" and set(vectors) <= {"X86_V2", "X86_V3"}, vectors


def test_a_precision_that_processors_do_not_share_is_refused_by_its_key(monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_portable({"vae": {"precision": "float32"}, "encode": {"precision": "float32"}})
    with pytest.raises(UserError, match=r"params.yaml: controller.precision is bfloat16"):
        make_portable({"controller": {"precision": "bfloat16", "population": 4}})


def test_another_kind_of_processor_is_refused_by_its_name(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(UserError, match=r"machine.portable is true.*not on arm64"):
        make_portable({"vae": {"precision": "float32"}})
