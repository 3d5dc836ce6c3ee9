"""Returns on CarRacing that others report for learning from pixels with few real steps."""

from typing import NamedTuple


class Reported(NamedTuple):
    """`returns` after as many real `steps`, and how they were measured."""

    label: str
    steps: list[float]
    returns: list[float]


REPORTED = [
    # https://github.com/InexperiencedMe/NaturalDreamer: a Dreamer on CarRacing-v3; approximate
    # moving averages of ten training episodes of one seed, which fall to 275 and 565 in between
    Reported("NaturalDreamer: training episodes", [240e3, 350e3, 600e3], [820, 890, 915]),
]
