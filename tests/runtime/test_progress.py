"""What long work says of itself: lines in a log, a bar on a terminal."""

import sys

from worldmodels.runtime import progress
from worldmodels.runtime.progress import Progress


def test_a_log_gets_plain_lines_no_more_often_than_due_and_one_at_the_end(capsys, monkeypatch):
    with Progress("train", 10, "steps", before=2) as shown:
        shown.advance(3, "loss 5")
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(progress, "SECONDS_A_LINE", 0.0)
        shown.line_due = 0.0
        shown.advance()
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("train: 6/10 steps, ") and line.endswith("s left loss 5")
    assert capsys.readouterr().err.startswith("train: 6/10 steps, ")


def test_a_terminal_gets_a_bar_with_speed_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("train", 10, "steps") as shown:
        shown.advance(10, "loss 5")
    drawn = capsys.readouterr().err
    assert "train: 100%" in drawn and "10.0/10.0" in drawn and "loss 5" in drawn
    assert "\r" in drawn and "train: 10/10 steps," not in drawn
