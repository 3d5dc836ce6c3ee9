"""The values that a stage asks for in params.yaml, checked before any work starts."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from worldmodels.pipeline.errors import UserError

PARAMS, PIPELINE = Path("params.yaml"), Path("dvc.yaml")

# What trains C, and where: each trainer and each place is a package of worldmodels; each pair of
# them has a script in stages and the section PLACE.TRAINER of params.yaml. A round names one of
# each, and the sections of the others are not read.
ControllerTrainer = Literal["ppo", "evolution"]
Place = Literal["real", "dream"]
SECTIONS = {
    f"{place}.{part}"
    for place in get_args(Place)
    for part in ("practice", *get_args(ControllerTrainer))
}
# The mappings of params.yaml whose entries dvc.yaml runs stages for, and their singular.
ENTRIES = {"worlds": "world", "rounds": "round"}

Seed = Annotated[int, Field(ge=1)]  # pycma takes 0 for "the clock"
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Population = Annotated[int, Field(ge=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


Number = TypeVar("Number", int, float)


def _rising(values: list[Number]) -> list[Number]:
    if values[0] > values[1]:
        raise ValueError(f"the lower end comes first; it has {values}")
    return values


Range = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class Section(BaseModel):
    """A whole section of params.yaml; subclasses name its keys and types, without defaults."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Part(Section):
    """A section of which this stage reads some keys, and other stages the rest."""

    model_config = ConfigDict(extra="ignore")


SectionType = TypeVar("SectionType", bound=Section)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class _Loader(yaml.SafeLoader):
    """Reads 1e-05, which DVC writes after `-S`, as a number, as YAML 1.2 does: PyYAML's is 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(section: type[SectionType], name: str | None) -> SectionType:
    """The values of `section` in params.yaml; its field `world` or `round`, if it has one, is the
    entry of that `name`.

    Raises UserError, naming the key, for a missing, unknown, mistyped or impossible value.
    """
    tree = read_params()
    refuse_unknown(tree)
    mine = {every: one for every, one in ENTRIES.items() if one in section.model_fields}
    for every, one in mine.items():
        if name not in tree[every]:
            raise UserError(
                f"{PARAMS}: no {one} {name!r} under {every}; there are {list(tree[every])}"
            )
    entries = {one: tree[every][name] for every, one in mine.items()}
    try:
        return section.model_validate(tree | entries)
    except ValidationError as error:
        problems = [_describe(problem, name) for problem in error.errors()]
        raise UserError("; ".join(problems)) from None


def read_params() -> dict[str, Any]:
    """All of params.yaml, with worlds and rounds checked to be mappings. Raises UserError for an
    entry that no command line, path or dotted name of a param could name."""
    tree = read_yaml(PARAMS)
    for every, one in ENTRIES.items():
        tree[every] = tree.get(every) or {}
        if not isinstance(tree[every], dict):
            raise UserError(
                f"{PARAMS}: {every} is not a mapping: give each {one} a name and its keys"
            )
        for name in tree[every]:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise UserError(
                    f"{PARAMS}: a {one} is called {name!r}; rename it: a letter, followed "
                    "by letters, digits, - or _"
                )
    return tree


def from_file(section: type[SectionType], values: dict[str, Any], path: Path) -> SectionType:
    """The config that a model file carries. Raises UserError if it does not fit `section`."""
    try:
        return section(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise UserError(
            f"{path}: made by another version of this code ({problems}); make it again with "
            "`dvc repro`"
        ) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping read from a YAML file. Raises UserError if it is missing or malformed."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run from the root of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: is not a mapping of keys; `git restore {path}` brings it back")
    return tree


def leaves(tree: Any, prefix: str = "") -> list[str]:
    """The dotted names of all values in a tree of mappings."""
    if not isinstance(tree, dict):
        return [prefix]
    return [leaf for key in tree for leaf in leaves(tree[key], f"{prefix}.{key}".strip("."))]


def fill_in(text: str, key: str, item: Any) -> str:
    """`text` of dvc.yaml with `${key}` and `${item.…}` filled in as DVC does for one entry of a
    foreach: `item`, under the name `key`."""
    text = text.replace("${key}", key)
    if isinstance(item, dict):
        for name, value in item.items():
            text = text.replace("${item." + str(name) + "}", str(value))
    return text


def entries(stage: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """The entries of params.yaml that a stage of dvc.yaml runs for; none without a `foreach`."""
    return tree.get(stage["foreach"].strip("${}")) or {} if "foreach" in stage else {}


def declared(pipeline: dict[str, Any], tree: dict[str, Any]) -> set[str]:
    """The params that the stages of a dvc.yaml declare for the worlds and rounds in `tree`."""
    names = set()
    for stage in pipeline["stages"].values():
        for name in stage.get("do", stage).get("params", []):
            items = entries(stage, tree).items()
            names |= {fill_in(name, key, item) for key, item in items} or {name}
    return names


def refuse_unknown(tree: dict[str, Any]) -> None:
    """Raise UserError for a key of params.yaml that no stage of dvc.yaml declares."""
    known = declared(read_yaml(PIPELINE), tree) | SECTIONS
    for leaf in leaves(tree):
        parents = {leaf.rsplit(".", cut)[0] for cut in range(leaf.count(".") + 1)}
        if not parents & known:
            raise UserError(_unknown(leaf))


def _unknown(key: str) -> str:
    return f"{PARAMS}: unknown key {key!r}: no stage reads it; correct its name or remove it"


def _describe(problem: Any, name: str | None) -> str:
    path = [str(part) for part in problem["loc"]]
    for every, one in ENTRIES.items():
        if path[0] == one:
            path[:1] = [every, str(name)]
    key = ".".join(path)
    if problem["type"] == "missing":
        return f"{PARAMS}: {key} is missing"
    if problem["type"] == "extra_forbidden":
        return _unknown(key)
    return f"{PARAMS}: {key} is {problem['input']!r}: {problem['msg']}"
