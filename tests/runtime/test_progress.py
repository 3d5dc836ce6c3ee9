"""Progress of long work: lines in a log, a bar on a terminal, each ending at its total."""

import sys

import pytest

from worldmodels.runtime import progress
from worldmodels.runtime.progress import Progress


@pytest.fixture
def always_due(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0.0)


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_plain_lines_no_more_often_than_due_and_one_at_the_end(capsys, monkeypatch):
    with Progress("train", 10, "steps", before=2) as shown:
        shown.advance(3, "loss 5")
        assert lines(capsys) == []
        monkeypatch.setattr(progress, "SECONDS_PER_LINE", 0.0)
        shown.line_due = 0.0
        shown.advance()
        (line,) = lines(capsys)
        assert line.startswith("train: 6/10 steps, ") and line.endswith("s remaining loss 5")
        shown.advance(4)
        lines(capsys)
    (line,) = lines(capsys)
    assert line.startswith("train: 10/10 steps, ") and line.endswith(" s elapsed loss 5")


def test_a_padded_batch_does_not_count_beyond_the_total(capsys, always_due):
    with Progress("encode", 1200, "frames") as shown:
        for _ in range(2):
            shown.advance(608)
    assert [line.split()[1] for line in lines(capsys)] == ["608/1200", "1200/1200", "1200/1200"]


def test_work_that_ends_early_shows_a_full_bar_and_failed_work_does_not(capsys):
    with Progress("render", 1000, "steps") as shown:
        shown.advance(797)
    assert lines(capsys)[0].startswith("render: 797/797 steps, ")
    with pytest.raises(ValueError), Progress("render", 1000, "steps") as shown:
        shown.advance(797)
        raise ValueError
    assert lines(capsys)[0].startswith("render: 797/1000 steps, ")


def test_a_resumed_stage_that_has_nothing_to_do_shows_no_infinite_time(capsys, always_due):
    with Progress("train", 10, "steps", before=4) as shown:
        shown.advance(0)
        shown.advance(6)
    first, *_, last = lines(capsys)
    assert first == "train: 4/10 steps, 0 s elapsed" and last.startswith("train: 10/10 steps, ")
    with Progress("train", 10, "steps", before=10):
        pass
    assert lines(capsys) == ["train: 10/10 steps, 0 s elapsed"]


def test_a_terminal_gets_a_bar_that_ends_at_its_total(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("train", 10, "steps") as shown:
        shown.advance(12, "loss 5")
    drawn = capsys.readouterr().err
    assert "train: 100%" in drawn and "10.0/10.0" in drawn and "loss 5" in drawn
    assert "\r" in drawn and "train: 10/10 steps," not in drawn
    with Progress("render", 1000, "steps") as shown:
        shown.advance(797)
    assert "797/797" in capsys.readouterr().err.rsplit("\r", 1)[1]
