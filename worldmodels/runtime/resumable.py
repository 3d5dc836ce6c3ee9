"""Run a long stage, which continues from its checkpoint if it was stopped."""

import time
from collections.abc import Callable

from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.params import SectionType
from worldmodels.pipeline.provenance import RUNS, note_run
from worldmodels.pipeline.stage import load_params, parse_entry
from worldmodels.runtime.checkpoint import Checkpoint


def run(
    name: str,
    section: type[SectionType],
    main: Callable[[str, SectionType, Checkpoint], None],
    apart_from: tuple[str, ...] = (),
) -> None:
    """Run the stage `name` on the world or round named on the command line, from its checkpoint if
    there is one; `apart_from` as in `Checkpoint.of`.

    The seconds noted in results/runs.csv include those of the processes before this one.
    """
    entry = parse_entry(name)
    with user_errors(f"{name}@{entry}"):
        params = load_params(section, entry)
        named = tuple(key.replace("${key}", entry) for key in apart_from)
        with Checkpoint.of(name, entry, named) as checkpoint:
            main(entry, params, checkpoint)
    seconds = checkpoint.seconds_before + time.monotonic() - checkpoint.started
    note_run(RUNS, name, entry, seconds)
