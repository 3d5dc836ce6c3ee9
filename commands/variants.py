"""Run the variants of variants.yaml that have no result yet, and collect their results.

Each is a `dvc exp run --temp`: a commit outside the branch, with params, models and metrics.
Its returns, its curve and the time of its training go into results/variants, from which the stage
`compare` makes its tables. If stopped, run it again to continue. A variant is run again if a param
that it depends on has changed; the old result stays until the new one is there. Code is not
compared: after a change of code that alters results, `rm -r results/variants` first.
"""

import argparse
import csv
import hashlib
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from commands.dependencies import params_behind, with_settings
from stages.compare import COLLECTED, VARIANTS
from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.pipeline.params import PARAMS, PIPELINE, read_params, read_yaml
from worldmodels.pipeline.provenance import RUNS, commit, git
from worldmodels.pipeline.storage import read_csv, write_csv

TABLES = ("returns", "curves", "runs")
Rows = list[dict[str, Any]]


class Variant(NamedTuple):
    """A trial of a variant: the `settings` that it changes in params.yaml, by dotted key, and the
    values of all params that its result `depends_on`."""

    name: str
    trial: int
    round: str
    settings: dict[str, Any]
    depends_on: dict[str, Any]

    @property
    def target(self) -> str:
        """The stage of dvc.yaml that scores it: STAGE@ROUND."""
        return f"evaluate@{self.round}"

    @property
    def experiment(self) -> str:
        """Its name for DVC, which changes with any param that it depends on."""
        words = "".join(c if c.isalnum() else " " for c in self.name).split()
        content = json.dumps(self.depends_on, sort_keys=True)
        mark = hashlib.sha256(content.encode()).hexdigest()[:6]
        return "-".join([*words, "trial", str(self.trial), mark]).lower()

    @property
    def command(self) -> list[str]:
        """The command that runs it."""
        changes = [
            word for key, value in self.settings.items() for word in ("-S", f"{key}={value}")
        ]
        options = ["--temp", "--name", self.experiment]
        return ["dvc", "exp", "run", *options, *changes, self.target]

    def owns(self, row: dict[str, Any]) -> bool:
        """True for a row of results/variants that is of this variant and trial."""
        return (row["variant"], row["trial"]) == (self.name, str(self.trial))


def variants(
    groups: dict[str, Any], recipe: dict[str, Any], pipeline: dict[str, Any]
) -> Iterator[Variant]:
    """All variants of all groups of variants.yaml, the first trials of a group before the others.

    `recipe` is what params.yaml holds, `pipeline` what dvc.yaml does.
    """
    for group in groups.values():
        for trial in group["trials"]:
            for name, changes in group["variants"].items():
                settings = group["common"] | changes
                own_round = settings.pop("round", group["round"])
                settings = {k.replace("ROUND", own_round): v for k, v in settings.items()}
                settings |= {f"rounds.{own_round}.trial": trial}
                variant = Variant(name, trial, own_round, settings, {})
                params = with_settings(recipe, settings)
                depends_on = params_behind(variant.target, pipeline, params)
                yield variant._replace(depends_on=depends_on)


def rows_of(name: str) -> Rows:
    """The rows collected so far in returns, curves or runs."""
    path = COLLECTED / f"{name}.csv"
    return list(read_csv(path)) if path.exists() else []


def is_done(variant: Variant) -> bool:
    """True if its result has been collected, from the same values of all that it depends on."""
    return any(variant.experiment in shlex.split(row["command"]) for row in rows_of("runs"))


def find_commit(experiment: str) -> str | None:
    """The commit of an experiment that was run from the commit checked out; None if there is none.

    DVC keeps it under a name made of that commit.
    """
    head = git("rev-parse", "HEAD")
    ref = f"refs/exps/{head[:2]}/{head[2:]}/{experiment}"
    return git("for-each-ref", "--format=%(objectname)", ref) or None


def run(variant: Variant) -> str:
    """Run a variant as an experiment, unless that has been done; returns its commit.

    Raises UserError if it fails.
    """
    command = [sys.executable, "-m", *variant.command]
    if not (found := find_commit(variant.experiment)) and subprocess.run(command).returncode:
        raise UserError(f"{variant.experiment} failed, see above")
    if not (found := find_commit(variant.experiment)):
        raise UserError(f"{variant.experiment} ran, but DVC kept no experiment of that name")
    return found


def collect(variant: Variant, at: str) -> None:
    """Put the results of an experiment, at its commit, in place of any older ones of the variant.

    `runs` is written last: if this is interrupted, the variant does not count as done.
    """
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
    stages = {(row["stage"], row["round"]): row for row in _table(at, RUNS.as_posix())}
    if (training := stages.get(("train_controller", variant.round))) is None:
        raise UserError(f"{variant.experiment}: {RUNS} of its commit has no row of its training")
    cost = {name: training[name] for name in ("seconds", "processor", "cores")}
    ran = known | {"command": shlex.join(variant.command), "from_commit": commit()} | cost
    for name, rows in zip(TABLES, (returns, curve, [ran]), strict=True):
        others = [row for row in rows_of(name) if not variant.owns(row)]
        write_csv(COLLECTED / f"{name}.csv", others + rows)


def _table(at: str, path: str) -> list[dict[str, str]]:
    # "./": from here, where git would begin at the top, which may be above this folder
    return list(csv.DictReader(io.StringIO(git("show", f"{at}:./{path}"))))


def refuse_path(folder: Path) -> None:
    """Raise UserError for a path in which DVC cannot run a temporary experiment."""
    if not str(folder).isascii():
        raise UserError(
            f"{folder}: DVC fails to run an experiment in a temporary folder (`--temp`) where the "
            "path has a letter outside ASCII: move the repository to another folder"
        )


def refuse_changed_params() -> None:
    """Raise UserError if params.yaml is not as it was committed.

    A killed `dvc exp run` leaves its own values there, which the next variants would have, too.
    """
    if git("status", "--porcelain", "--", PARAMS.as_posix()):
        raise UserError(
            f"{PARAMS}: has changes that are not committed; if a killed experiment left them, "
            f"`git restore --staged --worktree {PARAMS}`, else commit them"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.variants")
    parser.add_argument("--only", help="a group of variants.yaml; all if not given")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    arguments = parser.parse_args()
    groups = read_yaml(VARIANTS)
    if arguments.only and arguments.only not in groups:
        raise UserError(f"{VARIANTS}: no group {arguments.only!r}; there are {list(groups)}")
    chosen = {name: groups[name] for name in ([arguments.only] if arguments.only else groups)}
    every = list(variants(chosen, read_params(), read_yaml(PIPELINE)))
    to_do = [variant for variant in every if not is_done(variant)]
    outdated = sum(any(map(variant.owns, rows_of("runs"))) for variant in to_do)
    print(f"{len(to_do)} of {len(every)} variants to run", flush=True)
    if outdated:
        print(f"{outdated} have results of other params, which stay until they are replaced")
    if to_do and not arguments.list:
        refuse_path(Path.cwd())
        refuse_changed_params()
    failed = []
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
        except OSError as error:  # there is no git
            failed.append(f"{variant.experiment}: {error}")
    if failed:
        raise UserError(f"{'; '.join(failed)}; the others are in {COLLECTED}")


if __name__ == "__main__":
    with user_errors("variants"):
        main()
