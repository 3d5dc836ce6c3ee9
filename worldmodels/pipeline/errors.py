"""What the user did wrong, said in one message without a traceback."""

from pathlib import Path


class UserError(Exception):
    """A wrong input: the message names what, where, and what to do about it."""


def damaged(path: Path, why: str) -> UserError:
    """What to raise for an output of a stage that cannot be what the stage wrote."""
    return UserError(
        f"{path}: damaged ({why}); delete it and its copy in the cache, then `dvc pull`, or make "
        "it again with `dvc repro`"
    )
