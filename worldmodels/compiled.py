"""`compiled`, the decorator of all that numba compiles here, and where the compiled code is kept.

numba files a function under the path and the content of its own source. But it compiles functions
and constants of other files into it; and every copy of the repository, as queued experiments are,
would compile all anew, for a minute. So it is filed under the content of all files that hold such
functions and the versions of numba and Gymnasium, in the user's cache, for all copies; where that
cannot be written, in the repository's `.numba`. numba itself keeps processors apart.
"""

import hashlib
import os
from pathlib import Path

import gymnasium
import numba
from numba.core.caching import UserProvidedCacheLocator

_HERE = Path(__file__).resolve().parent
_SOURCES = [*sorted((_HERE / "environment").glob("*.py")), _HERE / "controller.py"]
_CONTENT = [path.read_bytes() for path in _SOURCES]
_VERSIONS = f"{numba.__version__} {gymnasium.__version__}".encode()
VERSION = hashlib.sha256(b"".join([*_CONTENT, _VERSIONS])).hexdigest()[:16]


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


numba.config.CACHE_DIR = str(_HERE.parent / ".numba" / VERSION)  # type: ignore[attr-defined]
numba.config.CACHE_LOCATOR_CLASSES = ",".join(  # type: ignore[attr-defined]
    [
        f"{SharedCache.__module__}.{SharedCache.__name__}",
        "UserProvidedCacheLocator",
        "UserWideCacheLocator",
    ]
)
compiled = numba.njit(cache=True, nogil=True)
