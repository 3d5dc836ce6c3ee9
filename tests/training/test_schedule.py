"""Values that go from their first to their last, and the groups that drive."""

import pytest

from worldmodels.training.schedule import discount_at, geometric, group_sizes


def test_values_run_along_a_geometric_series():
    assert [geometric([0.4, 0.1], share) for share in (0, 0.5, 1)] == pytest.approx(
        [0.4, 0.2, 0.1]
    )


def test_one_minus_the_discount_goes_geometrically():
    found = [discount_at([0.9, 0.999], share) for share in (0, 0.5, 1)]
    assert found == pytest.approx([0.9, 0.99, 0.999])


def test_groups_are_as_even_as_they_can_be_and_fit_a_batch():
    assert group_sizes(64) == [32, 32] and group_sizes(33) == [17, 16] and group_sizes(3) == [3]
