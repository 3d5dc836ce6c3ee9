"""Which modules a file of this repository imports, and which code it needs in the end."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = ROOT / "worldmodels/workers/cluster.py"  # no result depends on where a job runs


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
    """True if a package's `__init__.py` holds more than its docstring."""
    return len(ast.parse(init.read_text()).body) > 1


def closure(path: Path, seen: set[Path]) -> set[Path]:
    """The file and all local modules that it needs, packages that hold code included."""
    if path not in seen:
        seen.add(path)
        for parent in path.parents:
            if (init := parent / "__init__.py").is_file() and has_code(init):
                closure(init, seen)
        for name in imported(path):
            module = ROOT.joinpath(*name.split(".")).with_suffix(".py")
            if module.is_file() and module != ELSEWHERE:
                closure(module, seen)
    return seen
