"""Run the tiny pipeline twice and compare every md5, of the two runs and with those published.

The two runs differ in folder and number of workers. `results/verify.json` holds the md5 of
the machine that it was recorded on; `--record` rewrites it. `--portable` does the
same with `machine.portable`: those bits must be the published ones on any x86-64.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands import quick
from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.params import read_yaml
from worldmodels.pipeline.portability import SETTINGS
from worldmodels.pipeline.provenance import processor, versions
from worldmodels.pipeline.storage import read_json, write_json

RECORD = Path("results/verify.json")
EVERYWHERE = "data/first/scenes"  # must be the same on every processor
PORTABLE: dict[str, Any] = {
    "machine": {"portable": True},
    "vae": {"precision": "float32"},
    "controller": {"precision": "float32"},
}


def _outs(folder: Path) -> list[dict[str, Any]]:
    stages = read_yaml(folder / "dvc.lock")["stages"].values()
    return [out for stage in stages for out in stage["outs"]]


def outputs(folder: Path) -> dict[str, str]:
    """The md5 of every output of every stage, from dvc.lock."""
    return {out["path"]: out["md5"] for out in _outs(folder)}


def size(folder: Path) -> int:
    """The bytes of all outputs of all stages."""
    return sum(out["size"] for out in _outs(folder))


def run(folder: Path, workers: int, changes: Mapping[str, Any] = quick.NONE) -> dict[str, str]:
    """Run the tiny pipeline in `folder`, which must be empty; returns its outputs' md5."""
    os.environ["WM_WORKERS"] = str(workers)
    quick.run(folder, changes)
    return outputs(folder)


def limit_to_avx2() -> None:
    """Limit the libraries of later processes to the instructions of an x86-64 of 2013."""
    os.environ |= SETTINGS | {
        "MKL_CBWR": "AVX2",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW",
    }


def compare(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """The outputs that differ between two runs."""
    return sorted(path for path in first | second if first.get(path) != second.get(path))


def records() -> dict[str, Any]:
    """The content of `results/verify.json`: machine and outputs for each kind of run."""
    return read_json(RECORD) if RECORD.exists() else {}


def kind(portable: bool) -> str:
    """The name of a kind of run in `results/verify.json`."""
    return "portable" if portable else "plain"


def report(
    first: dict[str, str], second: dict[str, str], how: str, portable: bool = False
) -> bool:
    """Print which outputs of two runs here differ, and which of the first from those published;
    returns True if all is as it must be.

    Only what must be the same everywhere has to equal what is published: processors of one name
    differ, too. `how` says in which way the runs differ.
    """
    differing = compare(first, second)
    print(f"{len(first) - len(differing)} of {len(first)} outputs are the same in {how}")
    for path in differing:
        print(f"  not the same: {path}")
    recorded = records().get(kind(portable))
    if recorded is None:
        return not differing
    outputs_then, machine_then = recorded["outputs"], recorded["machine"]
    known = {path: md5 for path, md5 in first.items() if path in outputs_then}
    elsewhere, new = compare(known, outputs_then), len(first) - len(known)
    same = len(outputs_then) - len(elsewhere)
    print(f"{same} of {len(outputs_then)} are the same as on {machine_then}")
    for path in elsewhere:
        print(f"  not the same: {path}")
    if new:
        print(f"{new} outputs are new since then: --record adds them to {RECORD}")
    return not differing and not (elsewhere if portable else EVERYWHERE in elsewhere)


def machine() -> dict[str, str]:
    """The processor and versions, on which the bits may depend."""
    return {"processor": processor()} | versions()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="make verify")
    parser.add_argument("--record", action="store_true", help=f"rewrite {RECORD}")
    parser.add_argument(
        "--limit", action="store_true", help="the second run with no more than AVX2"
    )
    parser.add_argument(
        "--portable", action="store_true", help="both runs with machine.portable, in float32"
    )
    asked = parser.parse_args()
    changes = PORTABLE if asked.portable else quick.NONE
    folders = [Path(tempfile.mkdtemp(prefix="worldmodels-verify-")) for _ in range(2)]
    first = run(folders[0], 2, changes)
    if asked.limit:
        limit_to_avx2()
    second = run(folders[1], 3, changes)
    if asked.record and not compare(first, second):
        ours = {kind(asked.portable): {"machine": machine(), "outputs": first}}
        write_json(RECORD, records() | ours)
    agree = report(first, second, "two runs, with 2 and with 3 workers", asked.portable)
    for folder in folders:
        shutil.rmtree(folder)
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    with user_errors("verify"):
        main()
