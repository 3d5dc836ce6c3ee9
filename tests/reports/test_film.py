"""Videos and GIFs appear whole or not at all."""

import resource

import numpy as np
import pytest
from PIL import Image

from stages.render import by_return
from worldmodels.pipeline.errors import UserError
from worldmodels.reports.film import Film, count_frames, write_gif


def test_a_gif_has_the_width_and_pace_asked_for_and_every_picture(tmp_path):
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    picture[:, 20:40], picture[:, 40:] = (90, 160, 30), (200, 0, 0)
    pictures = [np.roll(picture, 20 * shift, axis=1) for shift in range(3)]
    write_gif(tmp_path / "lap.gif", pictures, 30, 120)
    with Image.open(tmp_path / "lap.gif") as gif:
        assert gif.size == (30, 20) and gif.n_frames == 3 and gif.info["duration"] == 120
        for index, drawn in enumerate(pictures):
            gif.seek(index)
            np.testing.assert_allclose(np.asarray(gif.convert("RGB")), drawn[::2, ::2], atol=3)


def test_tracks_are_sorted_by_return(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("track,return,steps\n1000000,30.5,9\n1000001,-2,9\n1000002,800,9\n")
    assert by_return(path) == [1000001, 1000000, 1000002]


PICTURE = np.zeros((16, 16, 3), dtype=np.uint8)


def film(path, pictures=3):
    with Film(path, 5, (16, 16)) as film:
        for _ in range(pictures):
            film.add(PICTURE)


def test_a_film_appears_whole(tmp_path):
    film(tmp_path / "films/a.mp4")
    assert count_frames(tmp_path / "films/a.mp4") == 3
    assert [path.name for path in (tmp_path / "films").iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("program", ["/nowhere/ffmpeg", "/bin/false", "/bin/true", "/dev/null"])
def test_a_missing_or_broken_ffmpeg_is_reported_in_one_line(tmp_path, monkeypatch, program):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(UserError, match=r"a\.mp4: the video .* IMAGEIO_FFMPEG_EXE") as caught:
        film(tmp_path / "a.mp4", pictures=99)
    assert "\n" not in str(caught.value) and not [*tmp_path.iterdir()]


def test_no_ffmpeg_at_all_is_reported_in_one_line(tmp_path, monkeypatch):
    def find_none():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr("imageio_ffmpeg._io.get_ffmpeg_exe", find_none)
    with pytest.raises(UserError, match="No ffmpeg exe could be found"):
        film(tmp_path / "a.mp4")
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_reported_in_one_line_and_leaves_no_file(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))  # bytes of a file
    try:
        with pytest.raises(UserError, match="is the disk full") as caught:
            film(tmp_path / "a.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value) and not [*tmp_path.iterdir()]


def test_a_film_that_is_interrupted_leaves_no_file_and_keeps_the_old_one(tmp_path):
    (tmp_path / "a.mp4").write_text("an older film")
    with pytest.raises(KeyboardInterrupt), Film(tmp_path / "a.mp4", 5, (16, 16)) as unfinished:
        unfinished.add(PICTURE)
        raise KeyboardInterrupt
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an older film"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"a\.mp4: cannot be written"):
        film(tmp_path / "file/a.mp4")
