"""Figures are the same whatever the user has set for matplotlib."""

import subprocess
import sys

import numpy as np
import pytest

from stages import world_figures
from worldmodels.pipeline.errors import UserError
from worldmodels.reports.plotting import save_figure

ODD_SETTINGS = """
font.size: 23
axes.facecolor: red
figure.dpi: 17
figure.constrained_layout.use: False
savefig.bbox: tight
savefig.transparent: True
savefig.format: svg
lines.linewidth: nonsense
backend: no_such_backend
"""
DRAW = """
import sys
from pathlib import Path
from worldmodels.reports.plotting import save_figure

def draw(figure):
    axes = figure.subplots()
    axes.plot([1, 3, 2], label="a label")
    axes.legend()

save_figure(Path(sys.argv[1]), (3, 2), draw)
"""


def draw_in_another_process(root, path, clean_env, **settings):
    subprocess.run(
        [sys.executable, "-c", DRAW, str(path)],
        cwd=path.parent,
        env=clean_env | {"PYTHONPATH": str(root)} | settings,
        check=True,
        timeout=120,
        stderr=subprocess.PIPE,
        text=True,
    )
    return path.read_bytes()


@pytest.fixture
def clean_env(tmp_path):
    """An environment with a folder of settings of its own, empty as yet."""
    (tmp_path / "settings").mkdir()
    return {"PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(tmp_path / "settings")}


@pytest.mark.slow
def test_a_figure_does_not_depend_on_the_users_settings(root, tmp_path, clean_env):
    (tmp_path / "plain").mkdir()
    plain = draw_in_another_process(root, tmp_path / "plain/figure.png", clean_env)
    (tmp_path / "settings/matplotlibrc").write_text(ODD_SETTINGS)
    notebook = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    assert draw_in_another_process(root, tmp_path / "plain/b.png", clean_env, **notebook) == plain
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/matplotlibrc").write_text(ODD_SETTINGS)
    assert draw_in_another_process(root, tmp_path / "odd/figure.png", clean_env) == plain


def test_a_figure_can_be_drawn_without_a_home(root, tmp_path, clean_env):
    del clean_env["MPLCONFIGDIR"]
    path = tmp_path / "figure.png"
    assert draw_in_another_process(root, path, clean_env)[:4] == b"\x89PNG"


def test_settings_that_cannot_be_read_are_named(root, tmp_path, clean_env):
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: \xe9\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        draw_in_another_process(root, tmp_path / "a.png", clean_env)
    last = caught.value.stderr.splitlines()[-1]
    assert "UserError: a matplotlibrc or style file is not UTF-8" in last


def test_drawing_changes_no_settings(tmp_path, monkeypatch):
    import matplotlib

    with matplotlib.rc_context({"font.size": 23}):
        monkeypatch.setenv("MPLBACKEND", "svg")
        save_figure(tmp_path / "a.png", (3, 2), lambda figure: figure.subplots().plot([1, 2]))
        assert matplotlib.rcParams["font.size"] == 23


def test_a_figure_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"a\.png: cannot be written"):
        save_figure(tmp_path / "file/a.png", (3, 2), lambda figure: None)


def test_a_bad_v_is_not_cut_off_and_its_axis_begins_at_zero():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    curve = {
        "frames": np.array([1.0, 2]),
        "val_squared_error": np.array([700.0, 400]),
        "val_kl": np.array([3.0, 9]),
    }
    world_figures.plot_vae(axes, curve)
    low, high = axes.get_ylim()
    assert low == 0 and high > 700
