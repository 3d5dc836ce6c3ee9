"""CarRacing, drawn straight at the size the agent sees.

numba keeps compiled functions by the stamp of their own file only, though it compiles the
functions and constants of other files into them: so they are kept in a folder of their own for
every version of this package and of Gymnasium.
"""

import hashlib
from pathlib import Path

import gymnasium
import numba

_FOLDER = Path(__file__).resolve().parent
_SOURCES = b"".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.py")))
_VERSION = hashlib.sha256(_SOURCES + gymnasium.__version__.encode()).hexdigest()[:16]
numba.config.CACHE_DIR = str(_FOLDER.parents[1] / ".numba" / _VERSION)  # type: ignore[attr-defined]
