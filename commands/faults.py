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
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from commands import verify
from commands.quick import dvc, make_copy
from worldmodels.agent.agent import Agent
from worldmodels.memory.mdnrnn import load_mdnrnn
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import read_params, read_yaml, refuse_unknown
from worldmodels.pipeline.provenance import RUNS
from worldmodels.pipeline.storage import read_csv, write_json
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.vision.vae import load_vae

LONG = ("sample", "train_vae", "train_mdnrnn", "train_controller", "evaluate")
KILLS = 1  # of each long stage in each round, unless --kills says otherwise
AT_WORK = 0.7  # share of the kills that come after a checkpoint
ENOUGH = 0.5  # share of the kills asked for that must have hit a running stage
START_UP = 4.0  # seconds of imports before a stage's own time
DAMAGES = 40  # bytes changed in each file
RESULT = Path("results/faults.json")


class Killer(threading.Thread):
    """Kills each stage that runs in `folder` so many times, at random moments."""

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
        """Kill the stage at a random moment, if it is still at work then."""
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
            if mine and words[2].removeprefix("stages.") in LONG:
                found.append((process, f"{words[2].removeprefix('stages.')}@{words[3]}"))
        return found


def repro_under_fire(
    folder: Path, seconds: dict[str, float], each: int, seed: int
) -> tuple[int, int]:
    """Run `dvc repro` until it succeeds: (stages killed, stages that resumed)."""
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
            except subprocess.CalledProcessError:
                if sum(killer.kills.values()) == before:
                    raise
            log.seek(0)
            resumed += log.read().count("continues from its checkpoint")
    killer.over.set()
    killer.join()
    return sum(killer.kills.values()), resumed


def same(one: Any, other: Any) -> bool:
    """True if two things that were read hold the same numbers."""
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.array_equal(one, other)
    if hasattr(one, "state_dict"):
        return same(
            {name: tensor.numpy() for name, tensor in one.state_dict().items()},
            {name: tensor.numpy() for name, tensor in other.state_dict().items()},
        )
    if hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "numpy"):
        return same(one.numpy(), other.numpy())
    return bool(one == other)


def damage(path: Path, read: Callable[[], Any], rng: random.Random) -> dict[str, int]:
    """Change single bytes of a file and read it: how often that was refused, or harmless.

    Raises AssertionError if it was neither, that is, if something else was read and believed.
    """
    whole, truth = path.read_bytes(), read()
    counts = {"refused": 0, "harmless": 0}
    for _ in range(DAMAGES):
        place = rng.randrange(len(whole))
        changed = bytes([whole[place] ^ (1 << rng.randrange(8))])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        try:
            found = read()
        except UserError:
            counts["refused"] += 1
            continue
        assert same(truth, found), f"{path}: byte {place} was damaged, and it was believed"
        counts["harmless"] += 1
    path.write_bytes(whole)
    return counts


def damage_all(folder: Path, rng: random.Random) -> dict[str, dict[str, int]]:
    """Damage a file of each kind that a stage reads."""
    data, models = folder / "data/first", folder / "models/first"
    scenes = data / "scenes"
    readers: list[tuple[Path, Callable[[], Any]]] = [
        (path, lambda: Scenes.load(scenes)) for path in sorted(scenes.glob("*.parquet"))
    ]
    readers += [
        (data / "latents.parquet", lambda: Latents.load(data / "latents.parquet")),
        (models / "vae.safetensors", lambda: load_vae(models / "vae.safetensors")),
        (models / "mdnrnn.safetensors", lambda: load_mdnrnn(models / "mdnrnn.safetensors")),
        (models / "agent.safetensors", lambda: Agent.load(models / "agent.safetensors")),
    ]
    checkpoint = Checkpoint(folder / "checkpoint", "checkpoint")
    checkpoint.folder.mkdir()  # type: ignore[union-attr]
    checkpoint.save({"numbers": np.arange(1000)})

    def resume() -> Any:
        state = checkpoint.resume()
        if state is None:
            raise UserError("reported as damaged, and not used")
        return state

    readers.append((folder / "checkpoint/state", resume))
    return {str(path.relative_to(folder)): damage(path, read, rng) for path, read in readers} | {
        "params.yaml": damage_params(folder, random.Random(1))
    }


def damage_params(folder: Path, rng: random.Random) -> dict[str, int]:
    """Change single bytes of params.yaml: refused, harmless, or another value of a declared param.

    Whether a value makes sense is checked by the stages, each for its own.
    """
    path, counts = folder / "params.yaml", {"refused": 0, "harmless": 0, "another_value": 0}
    whole, truth = path.read_bytes(), read_yaml(path)
    for _ in range(DAMAGES):
        place = rng.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :]
        )
        try:
            with chdir(folder):
                found = read_params()
                refuse_unknown(found)
        except UserError:
            counts["refused"] += 1
            continue
        counts["harmless" if same(truth, found) else "another_value"] += 1
    path.write_bytes(whole)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--record", action="store_true", help=f"rewrite {RESULT}")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each stage in each round")
    asked = parser.parse_args()
    calm, fire = (Path(tempfile.mkdtemp(prefix=f"worldmodels-{n}-")) for n in ("calm", "fire"))
    expected = verify.run(calm, workers=2)
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
    print(
        f"bytes damaged: {sum(sum(counts.values()) for counts in damages.values())}, none believed"
    )
    finished = [path for path in left_over if "train_controller" not in path.parts]
    if finished:
        print(f"checkpoints left over: {finished}")
    for folder in (calm, fire):
        shutil.rmtree(folder)
    wanted = ENOUGH * asked.kills * len([name for name in seconds if name.split("@")[0] in LONG])
    if kills < wanted or (kills and not resumed):
        print(f"too few to show anything: {wanted:g} kills and one resumption are the least")
        sys.exit(1)
    sys.exit(0 if agree and not finished else 1)


if __name__ == "__main__":
    main()
