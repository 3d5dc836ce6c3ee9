"""Errors that end a program with one message, without a traceback."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RESTORE = (
    "\nDVC has deleted the outputs of this stage. To get the committed ones back, restore the "
    "params they were made with, and run `git restore results && dvc checkout`."
)


class UserError(Exception):
    """A mistake of the user: the message says what is wrong, where, and what to do."""


def missing(path: Path) -> UserError:
    """The error for an output of a stage that is not there."""
    return UserError(f"{path}: no such file; `dvc pull` fetches it, `dvc repro` makes it")


def damaged(path: Path, why: str) -> UserError:
    """The error for an output of a stage that cannot be what the stage wrote."""
    return UserError(
        f"{path}: damaged ({why}); delete it and its copy in the cache, then `dvc pull`, or make "
        "it again with `dvc repro`"
    )


@contextmanager
def user_errors(title: str) -> Iterator[None]:
    """End the process with one line, and code 1, on a UserError, Ctrl-C or SIGTERM.

    Under DVC, which deletes the outputs of a stage before it runs it, a second line says what
    brings them back.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{title}: terminated"))
    try:
        yield
    except UserError as error:
        sys.exit(f"{title}: {error}{RESTORE if 'DVC_STAGE' in os.environ else ''}")
    except KeyboardInterrupt:
        sys.exit(f"{title}: interrupted")
