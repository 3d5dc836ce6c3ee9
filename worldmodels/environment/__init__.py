"""CarRacing, drawn straight at the size the agent sees."""

import numba

from worldmodels.environment.compiled import PACKAGE, VERSION, SharedCache

numba.config.CACHE_DIR = str(PACKAGE.parents[1] / ".numba" / VERSION)  # type: ignore[attr-defined]
numba.config.CACHE_LOCATOR_CLASSES = ",".join(  # type: ignore[attr-defined]
    [f"{SharedCache.__module__}.{SharedCache.__name__}", "UserProvidedCacheLocator"]
)
