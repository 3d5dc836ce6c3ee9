"""Errors that end a program with one message, without a traceback."""

from pathlib import Path


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
