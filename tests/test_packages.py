"""The packages of worldmodels: what lives where, and which may import which."""

import ast
from typing import get_args

from tests.imports import ROOT, imported
from worldmodels.pipeline.params import Place

PACKAGES = [  # each may import those before it
    "pipeline",
    "runtime",
    "networks",
    "environment.interface",
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
    "workers",
    "training",
    "evolution",
    "ppo",
    "real",
    "dream",
    "reports",
    "interop",
]
SEAM = ("interface", "actions", "rewards", "frames", "privileged", "make")  # of environment


def package_of(module: str) -> str | None:
    """The package that a module of worldmodels belongs to."""
    inside = [name for name in PACKAGES if f"{module}.".startswith(f"worldmodels.{name}.")]
    return max(inside, key=len) if inside else None


def modules_of_worldmodels():
    for path in sorted((ROOT / "worldmodels").glob("*/**/*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def test_packages_import_only_those_before_them():
    for module, path in modules_of_worldmodels():
        own = package_of(module)
        assert own is not None, f"{path}: in no package that PACKAGES names"
        for name in imported(path):
            if (other := package_of(name)) and other not in ("evolution", "ppo"):
                assert PACKAGES.index(other) <= PACKAGES.index(own), f"{module} imports {name}"
            elif other:  # in a place, only `by_X` imports X, apart from what serves PPO
                by = [f"worldmodels.{place}.by_{other}" for place in get_args(Place)]
                serves_ppo = own == "real" or module == "worldmodels.dream.record_critic"
                known = module in by or (other == "ppo" and serves_ppo)
                assert other == own or known, f"{module} imports {name}"


def test_the_method_knows_its_environment_only_through_the_seam():
    for module, path in modules_of_worldmodels():
        if module.startswith("worldmodels.environment") or package_of(module) in (
            "reports",
            "interop",
        ):
            continue  # these are of CarRacing: films of it, and what other projects use of it
        for name in imported(path):
            if name.startswith("worldmodels.environment."):
                part = name.split(".")[2]
                assert part in SEAM, f"{module} imports {name}"


def test_every_package_says_what_lives_there_and_what_it_may_import():
    for name in set(PACKAGES) - {"environment.interface"}:
        init = ROOT.joinpath("worldmodels", *name.split("."), "__init__.py")
        said = ast.get_docstring(ast.parse(init.read_text()))
        assert said and "import" in said, init


def test_a_folder_of_code_holds_nothing_but_code():
    for path in (ROOT / "worldmodels").rglob("*"):
        assert path.is_dir() or path.suffix == ".py" or "__pycache__" in path.parts, path


def test_modules_import_no_stage_and_stages_no_stage():
    for folder in ("worldmodels", "stages"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.startswith("stages") for name in imported(path)), path
