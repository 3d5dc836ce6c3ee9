"""Run modules as `python -m` does, each time in a new process, without importing torch each time.

A server imports what the stages import and forks for every command: the child changes into the
folder, takes the environment and the arguments, and runs the modules from their first line. Two
things differ: what modules read from the environment at import is the server's; and the child runs
jobs itself, pickled as for workers, since a worker would have to import torch.
"""

import gc
import importlib
import json
import os
import pickle
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle

from worldmodels.workers import processes

SECONDS = 600  # after which a command is killed


class Forks:
    """The server's process, and what talks to it."""

    def __init__(self, root: Path):
        command = [sys.executable, "-m", "tests.stages.forks"]
        pipe = subprocess.PIPE
        self.server = subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True)

    def run(
        self, folder: Path, modules: list[str], *arguments: str, **env: str
    ) -> subprocess.CompletedProcess:
        """Run modules one after the other in one process in `folder`, `env` set on top of ours."""
        with tempfile.TemporaryDirectory() as place:
            job = {
                "folder": str(folder),
                "modules": modules,
                "arguments": arguments,
                "env": os.environ | env,
                "said": (said := [f"{place}/stdout", f"{place}/stderr"]),
            }
            print(json.dumps(job), file=self.server.stdin, flush=True)
            code = int(self.server.stdout.readline())
            out, err = (Path(path).read_text() for path in said)
        return subprocess.CompletedProcess([*modules, *arguments], code, out, err)

    def close(self) -> None:
        self.server.stdin.close()
        self.server.wait()


class Here(Executor):
    """Runs every job at once, in this process, as a worker would receive and return it."""

    def submit(self, function, /, *arguments):
        future: Future = Future()
        try:
            function, arguments = pickle.loads(cloudpickle.dumps((function, arguments)))
            future.set_result(pickle.loads(cloudpickle.dumps(function(*arguments))))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, *_, **__):
        pass


def serve() -> dict[str, Any]:
    """Fork for every line of standard input and print the child's exit code; returns in a child.

    The server must never run any of what it imports: threads do not survive a fork.
    """
    for line in sys.stdin:
        if not (child := os.fork()):
            return json.loads(line)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


def run(job: dict[str, Any]) -> NoReturn:
    """Be the process that `job` asks for."""
    for number, path in enumerate([os.devnull, *job["said"]]):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["env"])
    signal.alarm(SECONDS)
    processes._workers = lambda count: Here()
    for module in job["modules"]:
        sys.argv = ["", *job["arguments"]]
        sys.orig_argv = [sys.executable, "-m", module, *job["arguments"]]
        sys.modules.pop(module, None)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    import stages

    names = [found.name for found in pkgutil.iter_modules(stages.__path__, "stages.")]
    for name in [*names, "torch._dynamo", "torch._inductor.config"]:  # torch's own, at first use
        importlib.import_module(name)
    gc.freeze()  # or every child would copy what it collects
    run(serve())
