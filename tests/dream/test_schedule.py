"""Values that change from lesson to lesson."""

import numpy as np
import pytest

from worldmodels.dream.schedule import (
    Average,
    ScheduleEntry,
    in_order,
    latest,
    mean_of_last,
    scheduled,
)


class Price(ScheduleEntry):
    points: float


PRICES = [Price(lesson=1.0, points=10.0), Price(lesson=3.0, points=1000.0)]
AVERAGES = [Average(lesson=0, lessons=1), Average(lesson=2, lessons=3)]


def test_a_scheduled_value_changes_geometrically_between_its_entries():
    found = [scheduled(PRICES, "points", lesson) for lesson in (0, 1, 1.5, 2, 3, 9)]
    assert found == pytest.approx([10, 10, 10**1.5, 100, 1000, 1000])


def test_the_latest_entry_is_the_last_that_has_begun_or_the_first():
    found = [latest(PRICES, lesson).points for lesson in (0, 1, 2, 3, 9)]
    assert found == [10, 10, 10, 1000, 1000]


def test_c_is_the_mean_of_as_many_results_as_the_last_lesson_says():
    results = [np.full(2, value) for value in (1.0, 2.0, 6.0, 10.0)]
    found = [mean_of_last(results[:count], AVERAGES, np.zeros(2))[0] for count in range(5)]
    assert found == [0, 1, 2, 3, 6]


def test_a_schedule_whose_lessons_do_not_rise_is_refused():
    assert in_order(PRICES) == PRICES
    for wrong in (PRICES[::-1], [PRICES[0], PRICES[0]]):
        with pytest.raises(ValueError, match="its lessons must rise"):
            in_order(wrong)
