"""Where dreams begin."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from tests.dream.lessons import DELAY, STARTS
from tests.dream.toys import make_drive, make_memory, make_model, make_record
from worldmodels.dream.moments import follow
from worldmodels.dream.starts import HardShare, Starts, StartsConfig
from worldmodels.dream.step import DreamStep

STEPS = 4


def along_of(drives):
    return follow(drives, make_memory(), DreamStep(make_model()))


def config(explored=0.5, hard=0.25):
    shares = {"explored": explored, "hard": [HardShare(lesson=0, share=hard)]}
    return StartsConfig(**STARTS.model_dump() | shares | {"hard_steps": STEPS})


def starts_of(drives, config, lesson=0):
    return Starts.of(along_of(drives), config, lesson, DELAY)


def drive_off_at(*steps, length=20, by_others=(), **kwargs):
    """A drive of C that has no wheel on the road after some steps."""
    off_road, by_c = np.zeros(length, np.float32), np.ones(length, bool)
    off_road[list(steps)] = 1
    by_c[list(by_others)] = False
    return replace(make_drive(length, by_c=True, **kwargs), off_road=off_road, by_c=by_c)


def test_dreams_begin_where_the_shares_say_and_never_with_a_lost_car():
    record = make_record()
    found = along_of(record.drives)
    starts = Starts.of(found, config(explored=0.2, hard=0.0), 0, DELAY)
    rows = starts.draw(1000, np.random.default_rng(1))
    of = found.of[rows]
    assert len(rows) == 1000 and (of < 2).sum() == 200
    for index, drive in enumerate(record.drives):
        assert (found.step[rows][of == index] < drive.lost_from(DELAY)).all()


@pytest.mark.parametrize("drives", [slice(0, 2), slice(2, 4)])
def test_a_share_that_the_record_cannot_fill_goes_to_the_others(drives):
    starts = starts_of(make_record().drives[drives], config())
    assert len(starts.draw(50, np.random.default_rng(1))) == 50


def test_hard_moments_are_those_just_before_c_leaves_the_road():
    starts = starts_of([make_drive(20), drive_off_at(9, 10), drive_off_at(0)], config())
    assert starts.hard.tolist() == [20 + step for step in (5, 6, 7, 8)]


@pytest.mark.parametrize(
    ("drive", "hard"),
    [
        (drive_off_at(9, by_others=[7]), [8]),  # 5 to 7 do not count: step 7 was the explorer's
        (drive_off_at(9, by_others=[9]), []),
        (drive_off_at(9, by_others=[10]), [5, 6, 7, 8]),
        (drive_off_at(19, length=20, lost=True), []),  # it was lost before
    ],
)
def test_a_moment_is_hard_only_by_what_c_does_before_it_is_lost(drive, hard):
    assert starts_of([drive], config()).hard.tolist() == hard


def test_a_car_that_leaves_the_road_in_the_next_drive_makes_no_moment_hard():
    drives = [drive_off_at(length=20), drive_off_at(0, length=20)]
    assert starts_of(drives, config()).hard.tolist() == []


def test_no_more_hard_moments_are_drawn_than_there_are():
    starts = starts_of([drive_off_at(9, length=40)], config(explored=0.0, hard=1.0))
    for count, least in ((4, 4), (400, 4)):
        rows = starts.draw(count, np.random.default_rng(1))
        assert len(rows) == count
        assert np.isin(rows[:least], starts.hard).all()
    assert np.isin(rows, starts.hard).mean() < 0.25


def test_the_share_of_hard_moments_changes_by_lessons():
    drives = [drive_off_at(9, length=40)]
    shares = [starts_of(drives, STARTS, lesson).hard_share for lesson in (0, 1, 2, 9)]
    assert shares == [0.0, 0.0, 0.25, 0.25]


def test_shares_of_more_than_all_dreams_are_refused():
    with pytest.raises(ValidationError, match=r"they add up to 1\.1"):
        config(explored=0.5, hard=0.6)
