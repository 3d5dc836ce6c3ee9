"""Does this machine repeat itself, and us? The tiny pipeline twice, every md5 compared.

The two runs have places and numbers of workers of their own. `results/verify.json` holds what it
gave where the published models were trained; `--record` writes it anew.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from commands import quick
from worldmodels.params import read_yaml
from worldmodels.provenance import PACKAGES, processor
from worldmodels.storage import read_json, write_json

RECORD = Path("results/verify.json")
EVERYWHERE = "data/first/scenes"  # what must be the same on every processor


def outputs(folder: Path) -> dict[str, str]:
    """The md5 of every output of every stage, as DVC has it."""
    stages = read_yaml(folder / "dvc.lock")["stages"].values()
    return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def run(folder: Path, workers: int) -> dict[str, str]:
    """The tiny pipeline in `folder`, which must be empty, as `make quick`; its outputs' md5."""
    os.environ["WM_WORKERS"] = str(workers)
    quick.run(folder)
    return outputs(folder)


def limit_to_avx2() -> None:
    """Let the libraries of the next processes use no more than an x86-64 of 2013 has."""
    os.environ |= {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_ICL AVX512_SPR",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW",
    }


def compare(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """The outputs that are not the same in both."""
    return sorted(path for path in first | second if first.get(path) != second.get(path))


def report(first: dict[str, str], second: dict[str, str], how: str) -> bool:
    """Say whether two runs here agree, and whether they agree with the record; False if not.

    Other bits than the record's are no fault on another processor, but for what must be the same
    everywhere.
    """
    differing = compare(first, second)
    print(f"{len(first) - len(differing)} of {len(first)} outputs are the same in {how}")
    for path in differing:
        print(f"  not the same: {path}")
    if not RECORD.exists():
        return not differing
    record = read_json(RECORD)
    elsewhere = compare(first, record["outputs"])
    print(f"{len(first) - len(elsewhere)} of {len(first)} are the same as on {record['machine']}")
    for path in elsewhere:
        print(f"  not the same: {path}")
    return not differing and EVERYWHERE not in elsewhere


def machine() -> dict[str, str]:
    """What the bits may depend on."""
    from importlib.metadata import version

    return {"processor": processor()} | {package: version(package) for package in PACKAGES}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make verify")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD} anew")
    parser.add_argument(
        "--limit", action="store_true", help="the second run with no more than AVX2"
    )
    asked = parser.parse_args()
    folders = [Path(tempfile.mkdtemp(prefix="worldmodels-verify-")) for _ in range(2)]
    first = run(folders[0], workers=2)
    if asked.limit:
        limit_to_avx2()
    second = run(folders[1], workers=3)
    if asked.record:
        write_json(RECORD, {"machine": machine(), "outputs": first})
    agree = report(first, second, "two runs, with 2 and with 3 workers")
    for folder in folders:
        shutil.rmtree(folder)
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
