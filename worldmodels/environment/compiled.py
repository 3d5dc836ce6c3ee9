"""Where numba keeps what it has compiled: a folder for every version of this package.

numba files a compiled function under the path and content of its own source. But it compiles the
functions and constants of other files into it, and every copy of the repository, as queued
experiments are, would compile all anew, for minutes. So it is filed under the content of the whole
package and Gymnasium's version, in the user's cache, for all copies; numba itself keeps processors
and its own versions apart.
"""

import hashlib
import os
from pathlib import Path

import gymnasium
from numba.core.caching import UserProvidedCacheLocator

PACKAGE = Path(__file__).resolve().parent
_SOURCES = b"".join(path.read_bytes() for path in sorted(PACKAGE.glob("*.py")))
VERSION = hashlib.sha256(_SOURCES + gymnasium.__version__.encode()).hexdigest()[:16]


class SharedCache(UserProvidedCacheLocator):
    """numba's locator for a given folder, without the path of the source in it."""

    def __init__(self, py_func, py_file):
        super().__init__(py_func, py_file)
        home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        self._cache_path = str(Path(home) / "worldmodels-numba" / VERSION)

    @classmethod
    def from_function(cls, py_func, py_file):
        """None, so that the next locator is asked, where it is not ours or cannot be written."""
        ours = Path(py_file).resolve().parent == PACKAGE
        return super().from_function(py_func, py_file) if ours else None
