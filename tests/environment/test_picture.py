"""Our picture and our tracks, compared with Gymnasium's and Pillow's."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from PIL import Image

from tests.environment.driving import actions
from worldmodels.environment.car_racing import DrawnCarRacing, make_official, preprocess
from worldmodels.environment.picture.canvas import CROP_SHAPE
from worldmodels.environment.picture.resize import resize
from worldmodels.environment.picture.track import track_of

ROOT = Path(__file__).resolve().parents[2]


def test_importing_the_picture_imports_no_physics():
    code = "import sys, worldmodels.environment.picture.pose; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "worldmodels.environment.picture.painter" in loaded.stdout, loaded.stderr
    assert "environment.physics" not in loaded.stdout


@pytest.mark.slow
def test_picture_is_close_to_gymnasiums_on_twenty_tracks():
    ours, theirs = DrawnCarRacing(), make_official()
    errors, off = [], []
    for seed in range(20):
        ours.reset(seed=seed)
        theirs.reset(seed=seed)
        for step, action in enumerate(actions("drive" if seed % 2 else "spin", 120, seed)):
            drawn = ours.step(action)[0]
            if step % 6 and step > 4:  # the costly picture only now and then
                theirs.unwrapped._render = lambda mode: np.zeros((96, 96, 3), np.uint8)
                theirs.step(action)
                continue
            theirs.unwrapped.__dict__.pop("_render", None)
            official = theirs.step(action)[0]
            difference = np.abs(drawn.astype(int) - official)
            errors.append(difference.mean())
            off.append((difference > 16).mean())
    assert len(errors) > 400
    assert np.mean(errors) <= 0.3 and np.mean(off) <= 0.001 and np.max(errors) <= 1.0


def test_picture_outside_the_playfield_is_black():
    ours, theirs = DrawnCarRacing(), gymnasium.make("CarRacing-v3").unwrapped
    for env in (ours, theirs):
        env.reset(seed=1)
        for _ in range(50):
            env.step(np.zeros(3, np.float32))
        env.car.hull.position = (333.0, 100.0)
    ours.frame -= 1
    drawn, official = ours._render("state_pixels"), preprocess(theirs._render("state_pixels"))
    assert (official.sum(2) == 0).mean() > 0.2
    assert np.abs(drawn.astype(int) - official).mean() < 1.5  # the wheels are left behind there


def test_resize_equals_pillow_to_the_last_bit():
    rng = np.random.default_rng(1)
    for limit in (256, 256, 2):
        pixels = rng.integers(0, limit, (84, 96, 3), dtype=np.uint8) * (255 // (limit - 1))
        crop = np.zeros(CROP_SHAPE, np.uint32)
        packed = pixels.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
        crop[:, :, 1:-1] = packed.reshape(84, 32, 3).transpose(0, 2, 1)
        ours = np.empty((64, 64, 3), np.uint8)
        resize(crop, ours)
        pillow = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(ours, pillow)


def test_track_of_a_seed_is_the_one_that_reset_makes():
    env = DrawnCarRacing()
    for seed in (1, 5, 9):
        env.reset(seed=seed)
        track = track_of(seed)
        np.testing.assert_array_equal(track.corners, env.polygons.corners)
        np.testing.assert_array_equal(track.tiles, env.polygons.tiles)
        assert track.length == len(env.track)


def test_tracks_made_in_threads_equal_those_made_alone():
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(track_of.__wrapped__, range(40, 60)))
    for seed, track in zip(range(40, 60), together):
        np.testing.assert_array_equal(track.corners, track_of(seed).corners)
