"""A Dask cluster of this machine: a scheduler and workers as processes on loopback."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Loopback:
    """A scheduler's address, and the processes that were started; their logs go to `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: list[subprocess.Popen] = []

    def start_scheduler(self, **settings: str) -> subprocess.Popen:
        """Start the scheduler, again if it is gone, with `settings` in its environment."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        return self._start("dask_scheduler", options, settings)

    def start_worker(
        self, *options: str, code: Path = ROOT, nanny: bool = False, **settings: str
    ) -> subprocess.Popen:
        """Start a worker with the code in the folder `code`, and `settings` in its environment."""
        given = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder)]
        given += [] if nanny else ["--no-nanny"]
        environment = {"PYTHONPATH": str(code), **settings}
        return self._start("dask_worker", [self.address, *given, *options], environment)

    def stop(self) -> None:
        """End all processes."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def _start(
        self, script: str, options: list[str], environment: dict[str, str]
    ) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{script}", *options]
        with open(self.folder / f"{script}-{len(self.processes)}.log", "w") as log:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log, cwd=self.folder
            )
        self.processes.append(process)
        return process
