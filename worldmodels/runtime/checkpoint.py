"""The state from which a stopped stage continues, for exactly one set of inputs.

A checkpoint is not an output: it lies in `.checkpoints`, which git and DVC ignore, under a
fingerprint of all that dvc.yaml says the stage depends on. Experiments in DVC's temporary folders
share it.
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
from worldmodels.pipeline.machine import number_from_environment
from worldmodels.pipeline.params import PIPELINE, entries, fill_in, leaves, read_params, read_yaml
from worldmodels.pipeline.provenance import versions
from worldmodels.pipeline.storage import write_bytes

SECONDS_BETWEEN = 30.0  # unless WM_CHECKPOINT_SECONDS says otherwise
DIGEST = hashlib.sha256
DIGEST_SIZE = DIGEST().digest_size


class Checkpoint:
    """The state of one stage for one world or round, on disk in `folder`; nowhere if that is None.

    A context manager. It holds a lock, and first waits for any other process that is working on
    the same inputs. It deletes the state once the stage is done, unless `keep` is true, for stages
    that a longer run may continue.
    """

    def __init__(self, folder: Path | None, title: str = "", keep: bool = False):
        self.folder, self.title, self.keep = folder, title, keep
        self.started = self.saved = time.monotonic()
        self.seconds_before = 0.0  # of work by earlier processes
        self.seconds_between = 0.0

    @classmethod
    def of(cls, stage: str, entry: str, apart_from: tuple[str, ...] = ()) -> "Checkpoint":
        """The checkpoint for the current inputs of the stage.

        `apart_from`: params left out of the fingerprint; the stage decides in `resume` whether a
        saved state fits their new values. The final state is then kept, so that a longer run can
        continue from it.
        """
        mark = fingerprint(stage, entry, apart_from)
        return cls(root() / stage / entry / mark, f"{stage}@{entry}", bool(apart_from))

    def __enter__(self) -> "Checkpoint":
        if self.folder is not None:
            seconds = number_from_environment("WM_CHECKPOINT_SECONDS", SECONDS_BETWEEN)
            self.seconds_between = seconds
            self.lock = self._take_lock(self.folder)
            self.started = self.saved = time.monotonic()
        return self

    def _take_lock(self, folder: Path) -> int:
        """The descriptor of the lock file, locked where the file system has locks.

        Raises UserError if it cannot be written.
        """
        while True:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            except FileNotFoundError:  # deleted in between by a process that was done
                continue
            except OSError as error:
                raise UserError(
                    f"{folder}: cannot be written: {error.strerror}; set WM_CHECKPOINTS to a "
                    "folder that can"
                ) from None
            try:
                self._wait_for(lock)
            except OSError as error:  # as some network file systems do
                self._say(
                    f"{folder} cannot be locked ({error.strerror}): run no second process on the "
                    "same inputs, or set WM_CHECKPOINTS to a folder on a local disk"
                )
                return lock
            with suppress(FileNotFoundError):  # deleted while this one waited
                if os.path.samestat(os.fstat(lock), os.stat(folder / "lock")):
                    return lock
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        """Lock the file once no other process holds it. Raises OSError where locks are refused."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._say("waiting for another process, which is working on the same inputs")
            fcntl.flock(lock, fcntl.LOCK_EX)

    def _say(self, message: str) -> None:
        print(f"{self.title}: {message}", file=sys.stderr, flush=True)

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
        """The last state saved, if there is a `usable` one, else None. Damage is reported."""
        if self.folder is None or not (path := self.folder / "state").exists():
            return None
        try:
            content = path.read_bytes()
            if DIGEST(content[DIGEST_SIZE:]).digest() != content[:DIGEST_SIZE]:
                raise ValueError("its digest does not match what it holds")
            saved = pickle.loads(content[DIGEST_SIZE:])  # our own: its digest is right
        except Exception as error:  # whatever bytes that are not our pickle make it raise
            self._say(f"{path}: damaged ({error}); starting from scratch")
            return None
        if not usable(saved["state"]):
            return None
        self.seconds_before = saved["seconds"]
        self._say("continues from its checkpoint")
        return saved["state"]

    def due(self) -> bool:
        """True if it is time to save again."""
        waited = time.monotonic() - self.saved
        return self.folder is not None and waited >= self.seconds_between

    def save(self, state: Any) -> None:
        """Save the state; if that fails, say so and let the work continue."""
        if self.folder is None:
            return
        seconds = self.seconds_before + time.monotonic() - self.started
        content = pickle.dumps({"seconds": seconds, "state": state})
        try:
            write_bytes(self.folder / "state", DIGEST(content).digest() + content)
        except UserError as error:
            self._say(f"{error}; continues without a checkpoint")
        self.saved = time.monotonic()


def root() -> Path:
    """The folder of all checkpoints: WM_CHECKPOINTS, or `.checkpoints` of the repository.

    DVC runs queued and temporary experiments in folders under `.dvc/tmp/exps`, and deletes them:
    their checkpoints are those of the repository.
    """
    if chosen := os.environ.get("WM_CHECKPOINTS"):
        return Path(chosen).expanduser()
    repository = str(Path.cwd()).split(f"{os.sep}.dvc{os.sep}tmp{os.sep}exps{os.sep}")[0]
    return Path(repository) / ".checkpoints"


def fingerprint(stage: str, entry: str, apart_from: tuple[str, ...] = ()) -> str:
    """A digest of the command, params and dependencies of a stage in dvc.yaml, for one `entry`.

    It covers the versions of the packages too, which dvc.yaml does not know. `apart_from` as in
    `Checkpoint.of`; raises ValueError for a param that the stage does not declare.
    """
    tree = read_params()
    described = read_yaml(PIPELINE)["stages"][stage]
    item = entries(described, tree)[entry]
    filled = json.loads(fill_in(json.dumps(described["do"]), entry, item))
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
