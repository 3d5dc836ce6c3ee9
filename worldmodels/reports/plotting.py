"""Figures as PNG files that depend on no setting of the user's matplotlib.

matplotlib is imported only when a figure is drawn: its import reads MPLBACKEND, and fails where a
notebook has set it to a backend that is not installed.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOT_SIZE = (6, 3.6)  # inches


def save_figure(path: Path, size: tuple[float, float], draw: Callable[["Figure"], None]) -> None:
    """Write, as PNG, the figure of `size` (width, height in inches) that `draw` fills.

    Raises UserError if the file cannot be written.
    """
    matplotlib = _import_matplotlib()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a matplotlibrc says
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        draw(figure)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    write_bytes(path, content.getvalue())


def save_plot(path: Path, plot: Callable[..., None], *data: Any) -> None:
    """Write a figure with one pair of axes, on which `plot` draws `data`; as `save_figure`."""
    save_figure(path, PLOT_SIZE, lambda figure: plot(figure.subplots(), *data))


def _import_matplotlib() -> ModuleType:
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.figure
        import matplotlib.style  # reads style files, as the rest reads matplotlibrc
    except UnicodeDecodeError as error:
        raise UserError(
            f"a matplotlibrc or style file is not UTF-8 ({error}); save it as UTF-8"
        ) from None
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return matplotlib
