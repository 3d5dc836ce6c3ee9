"""Kill stages of the tiny pipeline at random, damage its files, and check that nothing is lost.

Each long stage is killed several times and started again by the next `dvc repro`; the outputs must
be those of an undisturbed pipeline. Then files are damaged byte by byte: each damage must be
refused or be harmless; in params.yaml it may also be another value of a param that a stage
declares, which DVC compares. `--record` rewrites `results/faults.json`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from commands import verify
from commands.damage import damage_all
from commands.quick import dvc, failed, make_copy
from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv, write_json

LONG = ("sample", "train_vae", "train_mdnrnn", "train_controller", "evaluate")
KILLS = 1  # of each long stage in each round, unless --kills says otherwise
AT_WORK = 0.7  # share of the kills that come after a checkpoint
ENOUGH = 0.5  # share of the kills asked for that must have hit a running stage
START_UP = 4.0  # seconds of imports before a stage's own time
RESULT = Path("results/faults.json")


class Killer(threading.Thread):
    """Kills each long stage that runs in `folder` `each` times, at random moments.

    `seconds` is how long each takes undisturbed, by STAGE@ROUND.
    """

    def __init__(self, folder: Path, seconds: dict[str, float], each: int, rng: random.Random):
        super().__init__(daemon=True)
        self.folder, self.seconds, self.each, self.rng = folder, seconds, each, rng
        self.kills: dict[str, int] = {}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for process, stage in self._stages():
                if self.kills.get(stage, 0) < self.each:
                    with suppress(psutil.Error):  # it ended by itself
                        self._kill(process, stage)
            time.sleep(0.05)

    def _kill(self, process: psutil.Process, stage: str) -> None:
        """Kill the stage at a random moment, if it is still running then."""
        if self.rng.random() < AT_WORK:
            self._wait_for_checkpoint(process)
            time.sleep(self.rng.uniform(0, self.seconds[stage] / 4))
        else:
            time.sleep(self.rng.uniform(0, START_UP + self.seconds[stage]))
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            process.kill()
            self.kills[stage] = self.kills.get(stage, 0) + 1
            process.wait(10)

    def _wait_for_checkpoint(self, process: psutil.Process) -> None:
        """Wait until the stage has written a checkpoint, or has ended."""
        started = process.create_time()
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            for state in (self.folder / ".checkpoints").rglob("state"):
                with suppress(FileNotFoundError):
                    if state.stat().st_mtime > started:
                        return
            time.sleep(0.02)

    def _stages(self) -> list[tuple[psutil.Process, str]]:
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                mine = len(words) == 4 and words[1] == "-m" and process.cwd() == str(self.folder)
            except psutil.Error:
                continue
            if mine and (stage := stage_of(words[2])) in LONG:
                found.append((process, f"{stage}@{words[3]}"))
        return found


def stage_of(module: str) -> str:
    """The stage of the script `module`; that of C has a script for each method."""
    return module.removeprefix("stages.").partition("_by_")[0]


def repro_under_fire(
    folder: Path, seconds: dict[str, float], each: int, seed: int
) -> tuple[int, int]:
    """Run `dvc repro` until it succeeds; returns the number of stages killed and of those resumed.

    Raises UserError if it fails though nothing was killed.
    """
    os.environ["WM_CHECKPOINT_SECONDS"] = "0"
    killer = Killer(folder, seconds, each, random.Random(seed))
    killer.start()
    resumed, done = 0, False
    while not done:
        before = sum(killer.kills.values())
        with open(folder / "log", "w+") as log:
            try:
                dvc(folder, "repro", "--quiet", output=log)
                done = True
            except subprocess.CalledProcessError as error:
                if sum(killer.kills.values()) == before:
                    print((folder / "log").read_text(), file=sys.stderr)
                    raise failed(error, folder) from None
            log.seek(0)
            resumed += log.read().count("continues from its checkpoint")
    killer.over.set()
    killer.join()
    return sum(killer.kills.values()), resumed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="make faults")
    parser.add_argument("--record", action="store_true", help=f"rewrite {RESULT}")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each stage in each round")
    parser.add_argument(
        "--undisturbed",
        type=Path,
        help="a folder in which `make quick` has run this code, to compare with; default: run it",
    )
    asked = parser.parse_args()
    calm, fire = (Path(tempfile.mkdtemp(prefix=f"worldmodels-{n}-")) for n in ("calm", "fire"))
    if asked.undisturbed is None:
        expected = verify.run(calm, workers=2)
    else:
        shutil.copytree(asked.undisturbed, calm, dirs_exist_ok=True)  # to be damaged
        expected = verify.outputs(calm)
    seconds = {
        f"{row['stage']}@{row['round']}": float(row["seconds"]) for row in read_csv(calm / RUNS)
    }
    make_copy(fire)
    os.environ["WM_WORKERS"] = "3"
    kills, resumed = repro_under_fire(fire, seconds, asked.kills, seed=1)
    found = verify.outputs(fire)
    agree = verify.report(expected, found, f"an undisturbed run and one killed {kills} times")
    left_over = [*(fire / ".checkpoints").rglob("state")]
    damages = damage_all(calm, random.Random(1))
    summary = {
        "kills": kills,
        "resumed_from_checkpoint": resumed,
        "outputs_compared": len(expected),
        "bytes_compared": verify.size(calm),
        "outputs_equal": len(expected) - len(verify.compare(expected, found)),
        "damages": damages,
    }
    if asked.record:
        write_json(RESULT, summary)
    print(f"{kills} kills, {resumed} times resumed from a checkpoint")
    outcomes = [(name, count) for counts in damages.values() for name, count in counts.items()]
    refused, harmless, another = (
        sum(count for name, count in outcomes if name == outcome)
        for outcome in ("refused", "harmless", "another_value")
    )
    print(
        f"{refused + harmless + another} bytes damaged: {refused} refused, {harmless} harmless, "
        f"{another} read as another value of a param, which DVC compares"
    )
    finished = [path for path in left_over if "train_controller" not in path.parts]
    if finished:
        print(f"checkpoints left over: {finished}")
    for folder in (calm, fire):
        shutil.rmtree(folder)
    wanted = ENOUGH * asked.kills * len([name for name in seconds if name.split("@")[0] in LONG])
    if kills < wanted or (kills and not resumed):
        print(f"too few to be conclusive: at least {wanted:g} kills and one resumption are needed")
        sys.exit(1)
    sys.exit(0 if agree and not finished else 1)


if __name__ == "__main__":
    with user_errors("faults"):
        main()
