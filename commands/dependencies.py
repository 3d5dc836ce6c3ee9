"""The params that an output of the pipeline depends on, through all the stages before it."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, PIPELINE, entries, fill_in

Tree = dict[str, Any]


class Stage(NamedTuple):
    """A stage of dvc.yaml for one round, its templates filled in."""

    deps: list[str]
    outs: list[str]
    params: list[str]


def params_behind(target: str, pipeline: Tree, tree: Tree) -> Tree:
    """The params, with their values in `tree` (of params.yaml), that the stage `target`
    (STAGE@ROUND) declares, or any stage whose outputs it needs, directly or not.

    Raises UserError for a stage or a param that is not there.
    """
    stages = expand(pipeline, tree)
    names: set[str] = set()
    to_visit, visited = [target], set()
    while to_visit:
        if (name := to_visit.pop()) in visited:
            continue
        visited.add(name)
        if name not in stages:
            raise UserError(f"{PIPELINE}: no stage {name!r}; there are {list(stages)}")
        names |= set(stages[name].params)
        to_visit += [
            before
            for before, stage in stages.items()
            if any(_overlap(dep, out) for dep in stages[name].deps for out in stage.outs)
        ]
    return {name: look_up(tree, name) for name in sorted(names)}


def expand(pipeline: Tree, tree: Tree) -> dict[str, Stage]:
    """The stages of dvc.yaml by name, STAGE@KEY for every entry of a `foreach`.

    `${key}` and `${item.X}` are filled in.
    """
    stages = {}
    for name, described in pipeline["stages"].items():
        if "foreach" in described:
            for key, item in entries(described, tree).items():
                stages[f"{name}@{key}"] = _stage(described["do"], key, item)
        else:
            stages[name] = _stage(described, "", {})
    return stages


def with_settings(tree: Tree, settings: Mapping[str, Any]) -> Tree:
    """A copy of `tree` with other values by their dotted keys; strings are read as YAML, as
    `dvc exp run -S` does. Raises UserError for a key that is not there."""
    changed = copy.deepcopy(tree)
    for key, value in settings.items():
        look_up(changed, key)
        *parents, last = key.split(".")
        inner = look_up(changed, ".".join(parents)) if parents else changed
        inner[last] = yaml.safe_load(value) if isinstance(value, str) else value
    return changed


def look_up(tree: Tree, key: str) -> Any:
    """The value of a dotted key. Raises UserError if it is not there."""
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"{PARAMS}: {key} is missing")
        value = value[part]
    return value


def _stage(described: Tree, key: str, item: Tree) -> Stage:
    def filled(*sections: str) -> list[str]:
        listed = [entry for section in sections for entry in described.get(section, [])]
        texts = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed]
        return [fill_in(text, key, item) for text in texts]

    return Stage(filled("deps"), filled("outs", "metrics", "plots"), filled("params"))


def _overlap(one: str, other: str) -> bool:
    """True if the paths are the same, or one lies inside the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
