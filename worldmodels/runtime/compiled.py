"""`compiled`, the decorator of all that numba compiles here, and where the compiled code is kept.

numba files a function under the path and the content of its own source. But it compiles functions
and constants of other files into it, and every copy of the repository, as queued experiments are,
would compile everything again, for a minute. So compiled code is filed under the content of all
files that hold compiled functions and of the modules they import, and the versions of numba and
Gymnasium: in the user's cache, for all copies; where that cannot be written, in the repository's
`.numba`. numba itself keeps processors apart.
"""

import hashlib
import os
import re
from pathlib import Path

import gymnasium
import numba
from numba.core.caching import UserProvidedCacheLocator

_PACKAGE = Path(__file__).resolve().parent.parent
_IMPORT = re.compile(rb"^from (worldmodels[\w.]+) import", re.MULTILINE)


def compiled_sources(package: Path = _PACKAGE) -> dict[Path, bytes]:
    """The content of every file under `package` whose code or constants numba compiles: those that
    use `@compiled`, and what they import of this package, however far."""
    content = {path: path.read_bytes() for path in sorted(package.rglob("*.py"))}
    wanted = [path for path in content if b"\n@compiled\n" in content[path]]
    found: set[Path] = set()
    while wanted:
        path = wanted.pop()
        if path in found or path == Path(__file__).resolve():
            continue
        found.add(path)
        for name in _IMPORT.findall(content[path]):
            module = package.parent.joinpath(*name.decode().split(".")).with_suffix(".py")
            wanted += [module] if module in content else []
    return {path: content[path] for path in sorted(found)}


_SOURCES = compiled_sources()
_VERSIONS = f"{numba.__version__} {gymnasium.__version__}".encode()
VERSION = hashlib.sha256(b"".join([*_SOURCES.values(), _VERSIONS])).hexdigest()[:16]


class SharedCache(UserProvidedCacheLocator):
    """numba's locator for a given folder, without the path of the source in it."""

    def __init__(self, py_func, py_file):
        super().__init__(py_func, py_file)
        caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._cache_path = os.path.join(caches, "worldmodels-numba", VERSION)

    @classmethod
    def from_function(cls, py_func, py_file):
        """None, so that the next locator is asked, for other code or where it cannot write."""
        ours = Path(py_file).resolve() in _SOURCES
        return super().from_function(py_func, py_file) if ours else None


numba.config.CACHE_DIR = str(  # type: ignore[attr-defined]
    _PACKAGE.parent / ".numba" / VERSION
)
numba.config.CACHE_LOCATOR_CLASSES = ",".join(  # type: ignore[attr-defined]
    [
        f"{SharedCache.__module__}.{SharedCache.__name__}",
        "UserProvidedCacheLocator",
        "UserWideCacheLocator",
    ]
)
compiled = numba.njit(cache=True, nogil=True)
