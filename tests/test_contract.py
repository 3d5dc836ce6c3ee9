"""dvc.yaml against the code: DVC sees neither imports nor which params are read."""

import importlib
import re
from itertools import product
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from tests.imports import ROOT, closure, has_code, imported
from worldmodels.pipeline.params import (
    ENTRIES,
    PARAMS,
    PIPELINE,
    SECTIONS,
    ControllerTrainer,
    Place,
    Section,
    declared,
    entries,
    fill_in,
    leaves,
    read_yaml,
)

TREE = read_yaml(ROOT / PARAMS)
FOR_EACH = read_yaml(ROOT / PIPELINE)["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in FOR_EACH.items()}
DRAW = ("figures", "world_figures", "compare", "efficiency")  # the stages that draw figures alone


class Script(NamedTuple):
    """A script of stages/, and the stage of dvc.yaml that runs it; one stage has a script for each
    trainer of C and place where it learns."""

    name: str
    stage: str
    trainer: str
    place: str

    def filled(self, listed: list) -> list[str]:
        """Entries of the stage for this trainer and place; those of a mapping by its key."""
        names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed]
        return [self.fill(name) for name in names]

    def fill(self, text: str) -> str:
        """`text` of dvc.yaml for this trainer and place."""
        return fill_in(text, "${key}", {"trainer": self.trainer, "learned_in": self.place})

    @property
    def path(self) -> Path:
        return ROOT / "stages" / f"{self.name}.py"

    @property
    def params(self) -> type[Section]:
        return importlib.import_module(f"stages.{self.name}").Params


def scripts() -> list[Script]:
    found = set()
    for stage, described in STAGES.items():
        for pair in product(get_args(ControllerTrainer), get_args(Place)):
            command = Script("", stage, *pair).fill(described["cmd"])
            name = re.fullmatch(r"python -m stages\.(\w+)( \$\{key\})?", command).group(1)
            found.add(Script(name, stage, *(pair if "item" in described["cmd"] else ("", ""))))
    return sorted(found)


SCRIPTS = scripts()
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])


def modules(script: Script) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in closure(script.path, set())}


def code_in(folder: Path) -> set[str]:
    """The modules of a folder, without the `__init__.py` that hold no code."""
    files = [path for path in folder.rglob("*.py") if path.name != "__init__.py" or has_code(path)]
    return {str(path.relative_to(ROOT)) for path in files}


def fields(section: type[Section], prefix: str = "") -> set[str]:
    """Dotted names of the values that a params class asks for."""
    names = set()
    for key, field in section.model_fields.items():
        path = f"{prefix}.{key}".strip(".")
        for every, one in ENTRIES.items():
            path = re.sub(rf"^{one}\.", every + ".${key}.", path)
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, Section)
        names |= fields(inner, f"{prefix}.{key}".strip(".")) if nested else {path}
    return names


def expand(name: str) -> set[str]:
    """A declared param as the names of all values under it."""
    if "${key}" in name:
        return {name}
    tree = TREE
    for part in name.split("."):
        tree = tree[part]
    return set(leaves(tree, name))


@each_script
def test_code_that_a_stage_imports_is_what_it_depends_on(script):
    deps = script.filled(STAGES[script.stage]["deps"])
    code = [dep for dep in deps if dep.startswith(("worldmodels/", "stages/"))]
    assert len(code) == len(set(code))
    listed = [code_in(ROOT / dep) if (ROOT / dep).is_dir() else {dep} for dep in code]
    # A stage lists the whole package of the place where C learns, the other trainer's loop
    # included, and of the other packages what its trainer needs in either place
    alike = [other for other in SCRIPTS if other[1:3] == script[1:3]]
    places = set().union(*(code_in(ROOT / "worldmodels" / place) for place in get_args(Place)))
    needed = set().union(*map(modules, alike)) if script.place else modules(script)
    own = {f"stages/{script.name}.py"}
    assert set().union(*listed) - places - own == {m for m in needed - places if m[:6] != "stages"}
    assert modules(script) <= set().union(*listed)
    assert sum(map(len, listed)) == len(set().union(*listed)), "declared twice"


@each_script
def test_params_that_a_stage_reads_are_what_it_declares(script):
    listed = [expand(param) for param in script.filled(STAGES[script.stage].get("params", []))]
    read = fields(script.params)
    assert set().union(*listed) == read
    assert sum(map(len, listed)) == len(set().union(*listed)), "declared twice"


@each_script
def test_every_value_a_stage_asks_for_is_used(script):
    source = "\n".join((ROOT / module).read_text() for module in modules(script))
    by_dvc = {"rounds.${key}.trainer", "rounds.${key}.learned_in"}
    for field in fields(script.params) - by_dvc:
        key = field.rpartition(".")[2]
        assert re.search(rf"\.{key}\b", source), f"{script.name} never uses {field}"


@each_script
def test_a_stage_runs_the_script_of_its_name_for_every_round(script):
    described, command = STAGES[script.stage], f"python -m stages.{script.name}"
    both = f"{script.stage}_by_{script.trainer}_in_{script.place}"
    assert script.name == (both if script.trainer else script.stage) and described["desc"]
    if "foreach" in FOR_EACH[script.stage]:
        one = ENTRIES[FOR_EACH[script.stage]["foreach"].strip("${}")]
        assert one in script.params.model_fields
        command += " ${key}"
    assert script.fill(described["cmd"]) == command


def test_every_script_is_run_by_a_stage():
    found = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert found == {script.name for script in SCRIPTS}


@pytest.mark.parametrize("place", get_args(Place))
@pytest.mark.parametrize("trainer", get_args(ControllerTrainer))
def test_a_trainer_and_a_place_have_a_package_each_and_together_a_script(trainer, place):
    assert (ROOT / "worldmodels" / trainer).is_dir()
    assert (ROOT / "worldmodels" / place / f"by_{trainer}.py").is_file()
    assert (ROOT / "stages" / f"train_controller_by_{trainer}_in_{place}.py").is_file()
    assert isinstance(TREE[place][trainer], dict)


def test_an_edit_of_one_method_leaves_the_other_and_v_alone():
    deps = {script.name: modules(script) for script in SCRIPTS}
    others = {"ppo": "evolution", "evolution": "ppo", "real": "dream", "dream": "real"}
    for trainer, place in product(get_args(ControllerTrainer), get_args(Place)):
        for path in deps[f"train_controller_by_{trainer}_in_{place}"]:
            assert not path.startswith(f"worldmodels/{others[trainer]}/"), path
            assert not path.startswith(f"worldmodels/{others[place]}/"), path
    assert not any("physics" in path or "memory" in path for path in deps["train_vae"])
    assert not any("vae" in path for path in deps["train_mdnrnn"])
    for name in DRAW:
        assert not any("checkpoint" in path for path in deps[name])


def test_no_key_of_params_is_unread():
    known = declared(read_yaml(ROOT / PIPELINE), TREE) | SECTIONS
    for leaf in leaves(TREE):
        assert any(leaf == name or leaf.startswith(f"{name}.") for name in known), leaf


def test_plots_and_artifacts_are_outputs_of_the_rounds_there_are():
    pipeline = read_yaml(ROOT / PIPELINE)
    outputs = set()
    for stage in FOR_EACH.values():
        described, items = stage.get("do", stage), entries(stage, TREE).items()
        for out in [*described.get("outs", []), *described.get("metrics", [])]:
            path = next(iter(out)) if isinstance(out, dict) else out
            filled = {fill_in(path, name, item) for name, item in items}
            outputs |= filled if "foreach" in stage else {path}
    shown = {artifact["path"] for artifact in pipeline["artifacts"].values()}
    for plot in pipeline["plots"]:
        (key, value), *_ = plot.items() if isinstance(plot, dict) else [(plot, None)]
        shown |= set(value["y"]) if value else {key}
        assert value is None or {"x", "x_label", "y_label", "title"} <= set(value)
    assert shown <= outputs


def test_no_training_stage_imports_what_draws_figures():
    for script in SCRIPTS:
        if script.name not in DRAW:
            files = closure(script.path, set())
            assert not any("matplotlib" in module for file in files for module in imported(file))
