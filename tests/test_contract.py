"""dvc.yaml against the code: DVC sees neither imports nor which params are read."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from worldmodels.pipeline.params import (
    PARAMS,
    PIPELINE,
    Section,
    declared,
    leaves,
    read_yaml,
)

ROOT = Path(__file__).resolve().parent.parent
TREE = read_yaml(ROOT / PARAMS)
FOR_EACH = read_yaml(ROOT / PIPELINE)["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in FOR_EACH.items()}
NAMES = sorted(STAGES)


def imported(path: Path):
    """Names of modules that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def has_code(init: Path) -> bool:
    """Whether a package's `__init__.py` holds more than its docstring."""
    return len(ast.parse(init.read_text()).body) > 1


def closure(path: Path, seen: set[Path]) -> set[Path]:
    """The file and all local modules that it needs, packages that do something included."""
    if path not in seen:
        seen.add(path)
        for parent in path.parents:
            if (init := parent / "__init__.py").is_file() and has_code(init):
                closure(init, seen)
        for name in imported(path):
            module = ROOT.joinpath(*name.split(".")).with_suffix(".py")
            if module.is_file():
                closure(module, seen)
    return seen


def modules(name: str) -> set[str]:
    return {str(p.relative_to(ROOT)) for p in closure(ROOT / "stages" / f"{name}.py", set())}


def fields(section: type[Section], prefix: str = "") -> set[str]:
    """Dotted names of the values that a params class asks for."""
    names = set()
    for key, field in section.model_fields.items():
        path = f"{prefix}.{key}".strip(".").replace("round.", "rounds.${key}.", 1)
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, Section)
        names |= fields(inner, f"{prefix}.{key}".strip(".")) if nested else {path}
    return names


def params_class(name: str) -> type[Section]:
    return importlib.import_module(f"stages.{name}").Params


def expand(name: str) -> set[str]:
    """A declared param as the names of all values under it."""
    if name.startswith("rounds.${key}."):
        return {name}
    tree = TREE
    for part in name.split("."):
        tree = tree[part]
    return set(leaves(tree, name))


def code_in(folder: Path) -> set[str]:
    """The modules of a folder, without the `__init__.py` that hold no code."""
    files = [path for path in folder.rglob("*.py") if path.name != "__init__.py" or has_code(path)]
    return {str(path.relative_to(ROOT)) for path in files}


@pytest.mark.parametrize("name", NAMES)
def test_code_that_a_stage_imports_is_what_it_depends_on(name):
    deps = [dep for dep in STAGES[name]["deps"] if dep.startswith(("worldmodels/", "stages/"))]
    assert len(deps) == len(set(deps))
    listed = [code_in(ROOT / dep) if (ROOT / dep).is_dir() else {dep} for dep in deps]
    assert set().union(*listed) == modules(name)
    assert sum(map(len, listed)) == len(set().union(*listed)), "declared twice"


def test_a_folder_of_code_holds_nothing_but_code():
    for path in (ROOT / "worldmodels").rglob("*"):
        assert path.is_dir() or path.suffix == ".py" or "__pycache__" in path.parts, path


PACKAGES = [  # each may import those before it
    "pipeline",
    "runtime",
    "environment.picture",
    "environment.physics",
    "environment",
    "vision",
    "records",
    "memory",
    "control",
    "agent",
    "driving",
    "policies",
    "training",
    "evolution",
    "ppo",
    "reports",
]


def package_of(module: str) -> str | None:
    """The package that a module of worldmodels belongs to."""
    inside = [name for name in PACKAGES if f"{module}.".startswith(f"worldmodels.{name}.")]
    return max(inside, key=len) if inside else None


def test_packages_import_only_those_before_them():
    for path in (ROOT / "worldmodels").glob("*/**/*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        own = package_of(module)
        assert own is not None, f"{path}: in no package that PACKAGES names"
        for name in imported(path):
            if other := package_of(name):
                assert PACKAGES.index(other) <= PACKAGES.index(own), f"{module} imports {name}"


def test_neither_method_of_training_c_imports_the_other():
    for method, other in (("evolution", "ppo"), ("ppo", "evolution")):
        for path in (ROOT / "worldmodels" / method).glob("*.py"):
            assert not any(package_of(name) == other for name in imported(path)), path


def test_every_package_says_what_lives_there_and_what_it_may_import():
    for name in PACKAGES:
        init = ROOT.joinpath("worldmodels", *name.split("."), "__init__.py")
        said = ast.get_docstring(ast.parse(init.read_text()))
        assert said and "import" in said, init


@pytest.mark.parametrize("name", NAMES)
def test_params_that_a_stage_reads_are_what_it_declares(name):
    listed = [expand(param) for param in STAGES[name].get("params", [])]
    assert set().union(*listed) == fields(params_class(name))
    assert sum(map(len, listed)) == len(set().union(*listed)), "declared twice"


@pytest.mark.parametrize("name", NAMES)
def test_every_value_a_stage_asks_for_is_used(name):
    source = "\n".join((ROOT / module).read_text() for module in modules(name))
    for field in fields(params_class(name)):
        key = field.rpartition(".")[2]
        assert re.search(rf"\.{key}\b", source), f"{name} never uses {field}"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_runs_the_script_of_its_name_for_every_round(name):
    command = f"python -m stages.{name}"
    if name != "compare":
        assert FOR_EACH[name]["foreach"] == "${rounds}"
        command += " ${key}"
    assert STAGES[name]["cmd"] == command
    assert STAGES[name]["desc"]


def test_every_script_is_a_stage():
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(NAMES)


def test_no_key_of_params_is_unread():
    known = declared(read_yaml(ROOT / PIPELINE), list(TREE["rounds"]))
    for leaf in leaves(TREE):
        assert any(leaf == name or leaf.startswith(f"{name}.") for name in known), leaf


def test_plots_and_artifacts_are_outputs_of_the_rounds_there_are():
    pipeline = read_yaml(ROOT / PIPELINE)
    outputs = set()
    for stage in STAGES.values():
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            path = next(iter(out)) if isinstance(out, dict) else out
            outputs |= {path.replace("${key}", name) for name in TREE["rounds"]}
    shown = {artifact["path"] for artifact in pipeline["artifacts"].values()}
    for plot in pipeline["plots"]:
        (key, value), *_ = plot.items() if isinstance(plot, dict) else [(plot, None)]
        shown |= set(value["y"]) if value else {key}
        assert value is None or {"x", "x_label", "y_label", "title"} <= set(value)
    assert shown <= outputs


def test_modules_import_no_stage_and_stages_no_stage():
    for folder in ("worldmodels", "stages"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith("stages") for name in imported(path)), path


def test_no_training_stage_imports_what_draws_figures():
    for name in set(NAMES) - {"figures", "compare"}:
        files = closure(ROOT / "stages" / f"{name}.py", set())
        assert not any("matplotlib" in module for file in files for module in imported(file))
