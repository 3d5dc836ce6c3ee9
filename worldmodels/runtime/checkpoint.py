"""What a long stage needs to go on after it was stopped, for exactly one set of inputs.

A checkpoint is no output: it lies in `.checkpoints`, which git and DVC ignore, under a fingerprint
of all that dvc.yaml says the stage depends on. Experiments in DVC's temporary folders share it.
"""

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, PIPELINE, fill_in, leaves, read_yaml
from worldmodels.pipeline.provenance import versions
from worldmodels.pipeline.storage import write_bytes

SECONDS_BETWEEN = float(os.environ.get("WM_CHECKPOINT_SECONDS", "30"))
DIGEST = hashlib.sha256
DIGEST_SIZE = DIGEST().digest_size


class Checkpoint:
    """The state of one stage in one round, on disk in `folder`; nowhere if that is None.

    Used as a context manager, it holds a lock, for which it waits while another process is at work
    on the same inputs, and deletes the state once the stage is done: unless `keep`, for stages
    that can be taken further.
    """

    def __init__(self, folder: Path | None, title: str = "", keep: bool = False):
        self.folder, self.title, self.keep = folder, title, keep
        self.started = self.saved = time.monotonic()
        self.seconds_before = 0.0  # that the stage has worked before this process

    @classmethod
    def of(cls, stage: str, round_name: str, apart_from: tuple[str, ...] = ()) -> "Checkpoint":
        """The checkpoint for what the stage's inputs are now.

        `apart_from` names params that rule no state out: the stage sees in `resume` whether they
        lead by where it is. A state that has come to an end is kept, to be taken further.
        """
        mark = fingerprint(stage, round_name, apart_from)
        return cls(root() / stage / round_name / mark, f"{stage}@{round_name}", bool(apart_from))

    def __enter__(self) -> "Checkpoint":
        if self.folder is not None:
            self.lock = self._take_lock(self.folder)
            self.started = self.saved = time.monotonic()
        return self

    def _take_lock(self, folder: Path) -> int:
        """The descriptor of the lock file, held. Raises UserError if there can be none."""
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            except FileNotFoundError:  # deleted in between by a process that is done
                continue
            except OSError as error:
                raise UserError(
                    f"{folder}: cannot be written: {error.strerror}; set WM_CHECKPOINTS to a "
                    "folder for checkpoints that can"
                ) from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                said = "waits for another process that is at work on the same inputs"
                print(f"{self.title}: {said}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):  # deleted while this one waited
                if os.path.samestat(os.fstat(lock), os.stat(folder / "lock")):
                    return lock
            os.close(lock)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.folder is not None:
            if kind is None and not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self.lock)

    def resume(self, usable: Callable[[Any], bool] = lambda _: True) -> Any:
        """The state that was saved last if it is `usable`, or None. A damaged one is reported."""
        if self.folder is None or not (path := self.folder / "state").exists():
            return None
        try:
            content = path.read_bytes()
            if DIGEST(content[DIGEST_SIZE:]).digest() != content[:DIGEST_SIZE]:
                raise ValueError("its digest does not match what it holds")
            saved = pickle.loads(content[DIGEST_SIZE:])  # our own: its digest is right
        except Exception as error:  # whatever bytes that are no pickle of ours make it raise
            print(f"{path}: damaged ({error}); {self.title} starts anew", file=sys.stderr)
            return None
        if not usable(saved["state"]):
            return None
        self.seconds_before = saved["seconds"]
        print(f"{self.title}: goes on from its checkpoint", file=sys.stderr, flush=True)
        return saved["state"]

    def due(self) -> bool:
        """Whether what was saved last is older than `SECONDS_BETWEEN`."""
        return self.folder is not None and time.monotonic() - self.saved >= SECONDS_BETWEEN

    def save(self, state: Any) -> None:
        """Save the state; if that fails, say so and let the work go on."""
        if self.folder is None:
            return
        seconds = self.seconds_before + time.monotonic() - self.started
        content = pickle.dumps({"seconds": seconds, "state": state})
        try:
            write_bytes(self.folder / "state", DIGEST(content).digest() + content)
        except UserError as error:
            print(f"{error}; the work goes on without a checkpoint", file=sys.stderr, flush=True)
        self.saved = time.monotonic()


def root() -> Path:
    """Where checkpoints lie: WM_CHECKPOINTS, or `.checkpoints` of the repository.

    DVC runs queued and temporary experiments in folders under `.dvc/tmp/exps`, and deletes them.
    """
    if chosen := os.environ.get("WM_CHECKPOINTS"):
        return Path(chosen)
    repository = str(Path.cwd()).split(f"{os.sep}.dvc{os.sep}tmp{os.sep}exps{os.sep}")[0]
    return Path(repository) / ".checkpoints"


def fingerprint(stage: str, round_name: str, apart_from: tuple[str, ...] = ()) -> str:
    """A digest of the command, params and dependencies that dvc.yaml gives a stage of a round.

    The versions of the packages go into it too: dvc.yaml leaves those to requirements.txt.
    """
    tree = read_yaml(PARAMS)
    described = read_yaml(PIPELINE)["stages"][stage]["do"]
    item = tree["rounds"][round_name]
    filled = json.loads(fill_in(json.dumps(described), round_name, item))
    names = [
        leaf for name in filled.get("params", []) for leaf in leaves(_value(tree, name), name)
    ]
    for name in apart_from:
        if not any(leaf == name or leaf.startswith(f"{name}.") for leaf in names):
            raise ValueError(f"{PIPELINE}: {stage} declares {names}, and not {name}")
    kept = {
        name: _value(tree, name)
        for name in names
        if not any(name == other or name.startswith(f"{other}.") for other in apart_from)
    }
    total = DIGEST(json.dumps([filled["cmd"], kept, versions()], sort_keys=True).encode())
    for dependency in filled["deps"]:
        path = Path(dependency)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix != ".pyc":  # as .dvcignore says
                total.update(f"{file.as_posix()} {file.stat().st_size}\n".encode())
                total.update(file.read_bytes())
    return total.hexdigest()[:32]


def _value(tree: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        tree = tree[part]
    return tree
