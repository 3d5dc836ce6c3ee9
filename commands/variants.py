"""Run the variants of variants.yaml that have no result yet, and collect what they gave.

Each is a `dvc exp run --temp`: a commit of its own beside the branch, with params, models and
metrics. Its returns, its curve and what it took go into results/variants, from which the stage
`compare` draws its tables. Stopped, it goes on where it was. A result of other params, or of other
settings, is dropped and made anew; whether code has changed since is not looked at, so after a
change of code that alters results, `rm -r results/variants` first.
"""

import argparse
import csv
import hashlib
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from stages.compare import RECORD, VARIANTS
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, read_yaml
from worldmodels.pipeline.provenance import RUNS, commit, git
from worldmodels.pipeline.storage import read_csv, write_csv

TABLES = ("returns", "curves", "runs")
Rows = list[dict[str, Any]]


class Variant(NamedTuple):
    """A variant of `recipe`, which is what params.yaml holds: `settings` by their keys there, with
    ROUND for `round`."""

    name: str
    trial: int
    round: str
    settings: dict[str, Any]
    recipe: dict[str, Any]

    @property
    def experiment(self) -> str:
        """Its name as DVC takes it: another one for another recipe or other settings."""
        words = "".join(c if c.isalnum() else " " for c in self.name).split()
        content = json.dumps([self.recipe, self.settings], sort_keys=True)
        mark = hashlib.sha256(content.encode()).hexdigest()[:6]
        return "-".join([*words, "trial", str(self.trial), mark]).lower()

    @property
    def command(self) -> list[str]:
        """What runs it."""
        settings = self.settings | {"rounds.ROUND.trial": self.trial}
        changes = [
            word
            for key, value in settings.items()
            for word in ("-S", f"{key.replace('ROUND', self.round)}={value}")
        ]
        options = ["--temp", "--name", self.experiment]
        return ["dvc", "exp", "run", *options, *changes, f"evaluate@{self.round}"]


def variants(tree: dict[str, Any], recipe: dict[str, Any]) -> Iterator[Variant]:
    """All variants of all groups, the first trials of a group before the others."""
    for group in tree.values():
        for trial in group["trials"]:
            for name, changes in group["variants"].items():
                settings = group["common"] | changes
                own_round = settings.pop("round", group["round"])
                yield Variant(name, trial, own_round, settings, recipe)


def rows_of(name: str) -> Rows:
    """The rows collected so far in returns, curves or runs."""
    path = RECORD / f"{name}.csv"
    return list(read_csv(path)) if path.exists() else []


def is_done(variant: Variant) -> bool:
    """Whether the results have it, run by the command that would run it now."""
    command = shlex.join(variant.command)
    return any(row["command"] == command for row in rows_of("runs"))


def revision(experiment: str) -> str | None:
    """The commit of an experiment that was run from the commit checked out; None if there is none.

    DVC keeps it under a name made of that commit.
    """
    head = git("rev-parse", "HEAD")
    ref = f"refs/exps/{head[:2]}/{head[2:]}/{experiment}"
    return git("for-each-ref", "--format=%(objectname)", ref) or None


def run(variant: Variant) -> str:
    """Run a variant as an experiment, if it has not been yet; its commit. Raises UserError."""
    command = [sys.executable, "-m", *variant.command]
    if not (there := revision(variant.experiment)) and subprocess.run(command).returncode:
        raise UserError(f"{variant.experiment} failed, see above")
    if not (there := revision(variant.experiment)):
        raise UserError(f"{variant.experiment} ran, but DVC kept no experiment of that name")
    return there


def forget(those: Iterable[Variant]) -> None:
    """Drop what has been collected of some variants."""
    gone = {(variant.name, str(variant.trial)) for variant in those}
    for name in TABLES:
        before = rows_of(name)
        kept = [row for row in before if (row["variant"], row["trial"]) not in gone]
        if kept:
            write_csv(RECORD / f"{name}.csv", kept)
        elif before:
            (RECORD / f"{name}.csv").unlink()


def collect(variant: Variant, at: str) -> None:
    """Put the results of an experiment, at its commit, beside those of the others."""
    folder, known = f"results/{variant.round}", {"variant": variant.name, "trial": variant.trial}
    returns = [
        known | {name: row[name] for name in ("track", "return", "steps")}
        for row in _table(at, f"{folder}/evaluate/drawn_returns.csv")
    ]
    curve = [
        known | {name: row[name] for name in ("env_steps", "validation")}
        for row in _table(at, f"{folder}/train_controller/curve.csv")
        if row["validation"]
    ]
    (training,) = [
        row
        for row in _table(at, RUNS.as_posix())
        if (row["stage"], row["round"]) == ("train_controller", variant.round)
    ]
    kept = {name: training[name] for name in ("seconds", "processor", "cores")}
    ran = known | {"command": shlex.join(variant.command), "from_commit": commit()} | kept
    forget([variant])  # if it was stopped in the middle of this
    for name, rows in zip(TABLES, (returns, curve, [ran]), strict=True):
        write_csv(RECORD / f"{name}.csv", rows_of(name) + rows)


def _table(at: str, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(git("show", f"{at}:{path}"))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.variants")
    parser.add_argument("--only", help="a group of variants.yaml; all if not given")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    arguments = parser.parse_args()
    tree = read_yaml(VARIANTS)
    if arguments.only and arguments.only not in tree:
        raise UserError(f"{VARIANTS}: no group {arguments.only!r}; there are {list(tree)}")
    chosen = {name: tree[name] for name in ([arguments.only] if arguments.only else tree)}
    failed = []
    to_do = [one for one in variants(chosen, read_yaml(PARAMS)) if not is_done(one)]
    if not arguments.list:
        forget(to_do)
    for variant in to_do:
        print(shlex.join(variant.command), flush=True)
        if arguments.list:
            continue
        try:
            collect(variant, run(variant))
        except UserError as error:
            failed.append(str(error))
        except subprocess.CalledProcessError as error:
            failed.append(f"{variant.experiment}: {shlex.join(error.cmd)}: {error.stderr.strip()}")
    if failed:
        raise UserError(f"{'; '.join(failed)}; the others are in {RECORD}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"variants: {error}")
    except KeyboardInterrupt:
        sys.exit("variants: interrupted; run it again to go on")
