"""`compiled`, the decorator of all that numba compiles here, and where the compiled code is kept.

numba files a function under the path and the content of its own source. But it compiles functions
and constants of other files into it, and every copy of the repository, as queued experiments are,
would compile everything again, for a minute. So compiled code is filed under the content of all
files that hold compiled functions and of the modules they import, and the versions of numba,
Gymnasium and Box2D: in the user's cache, for all copies; where that cannot be written, in the
repository's `.numba`. numba itself keeps processors apart. Each file carries a digest: a damaged
one counts as missing, where numba alone would end in a traceback, or run it.
"""

import ast
import hashlib
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import Box2D
import gymnasium
import numba
from numba.core import caching

_PACKAGE = Path(__file__).resolve().parent.parent
_FORMAT = "with digests"  # of the files in the cache
_DIGEST_SIZE = hashlib.sha256().digest_size


def imported(source: bytes) -> Iterator[str]:
    """The dotted names that a module imports: modules, and things in them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def compiled_sources(package: Path = _PACKAGE) -> dict[Path, bytes]:
    """The content of every file under `package` whose code or constants numba compiles: those that
    use `@compiled`, and what they import of this package, however indirectly."""
    content = {path: path.read_bytes() for path in sorted(package.rglob("*.py"))}
    wanted = [path for path in content if b"@compiled\n" in content[path]]
    found: set[Path] = set()
    while wanted:
        path = wanted.pop()
        if path in found or path == Path(__file__).resolve():
            continue
        found.add(path)
        for name in imported(content[path]):
            module = package.parent.joinpath(*name.split("."))
            places = (module.with_suffix(".py"), module / "__init__.py")
            wanted += [place for place in places if place in content]
    return {path: content[path] for path in sorted(found)}


_SOURCES = compiled_sources()
_VERSIONS = [numba.__version__, gymnasium.__version__, Box2D.__version__, _FORMAT]
_COVERED = b"".join([*_SOURCES.values(), " ".join(_VERSIONS).encode()])
VERSION = hashlib.sha256(_COVERED).hexdigest()[:16]


def cache_folders() -> list[Path]:
    """The folders for compiled code, the best first: in the first of NUMBA_CACHE_DIR,
    XDG_CACHE_HOME and ~/.cache that is set and absolute; then in the repository."""
    homes = [os.environ.get(name, "") for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")]
    homes.append(os.path.expanduser("~/.cache"))  # still with "~" where there is no home
    users = next((Path(home) for home in homes if os.path.isabs(home)), None)
    folders = [users / "worldmodels-numba" / VERSION] if users else []
    return [*folders, _PACKAGE.parent / ".numba" / VERSION]


class SharedLocator(caching.UserProvidedCacheLocator):
    """Tells numba the first of `cache_folders` that can be written."""

    @classmethod
    def from_function(cls, py_func: Callable, py_file: str) -> "SharedLocator | None":
        """None for code that `VERSION` does not cover, or where no folder can be written."""
        for folder in cache_folders() if Path(py_file).resolve() in _SOURCES else []:
            locator = cls(py_func, py_file)
            locator._cache_path = str(folder)
            with suppress(OSError):
                locator.ensure_cache_path()
                return locator
        return None


class CheckedFiles(caching.IndexDataCacheFile):
    """The files of one function, index and data, each a digest followed by what it covers."""

    def _load_index(self) -> dict:
        stamp, overloads = self._read(self._index_path) or (None, {})
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict) -> None:
        self._write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _read(self, path: str) -> Any:
        """The value that was written; None if the file is missing or damaged."""
        with suppress(OSError):
            content = Path(path).read_bytes()
            if hashlib.sha256(content[_DIGEST_SIZE:]).digest() == content[:_DIGEST_SIZE]:
                return pickle.loads(content[_DIGEST_SIZE:])
        return None

    def _write(self, path: str, value: Any) -> None:
        content = self._dump(value)
        with suppress(OSError), self._open_for_write(path) as file:  # a full disk costs time only
            file.write(hashlib.sha256(content).digest() + content)


class _SharedCacheImpl(caching.CompileResultCacheImpl):
    _locator_classes = [SharedLocator]  # noqa: RUF012


class SharedCache(caching.FunctionCache):
    """numba's cache of a function, in a shared folder and with digests."""

    _impl_class = _SharedCacheImpl

    def __init__(self, py_func: Callable):
        super().__init__(py_func)
        self._cache_file = CheckedFiles(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )


def compiled(function: Callable) -> Any:
    """The function as numba compiles it, releasing the GIL, with the code kept for next time."""
    dispatcher: Any = numba.njit(nogil=True)(function)
    try:
        dispatcher._cache = SharedCache(function)
    except RuntimeError:  # no locator
        warnings.warn(
            f"compiled code cannot be kept in {' or '.join(map(str, cache_folders()))}: every "
            "process will compile it again, for a minute; set NUMBA_CACHE_DIR to a folder that "
            "can be written",
            stacklevel=2,
        )
    return dispatcher
