"""What is filmed, and how it is written."""

import numpy as np
from PIL import Image

from stages.render import by_return
from worldmodels.reports.film import write_gif


def test_a_gif_has_its_width_its_pace_and_every_picture(tmp_path):
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    picture[:, 20:40], picture[:, 40:] = (90, 160, 30), (200, 0, 0)
    pictures = [np.roll(picture, 20 * shift, axis=1) for shift in range(3)]
    write_gif(tmp_path / "lap.gif", pictures, 30, 120)
    with Image.open(tmp_path / "lap.gif") as gif:
        assert gif.size == (30, 20) and gif.n_frames == 3 and gif.info["duration"] == 120
        for index, drawn in enumerate(pictures):
            gif.seek(index)
            np.testing.assert_allclose(np.asarray(gif.convert("RGB")), drawn[::2, ::2], atol=3)


def test_tracks_come_in_the_order_of_their_returns(tmp_path):
    path = tmp_path / "returns.csv"
    path.write_text("track,return,steps\n1000000,30.5,9\n1000001,-2,9\n1000002,800,9\n")
    assert by_return(path) == [1000001, 1000000, 1000002]
