"""What is told of workers that come, pause and go."""

import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.workers import watch
from worldmodels.workers.watch import Watch, Workers


class Scripted:
    """A cluster with the workers that a test gives it."""

    address = "tcp://somewhere:1"

    def __init__(self) -> None:
        self.refused: dict[str, list[str]] = {}
        self.have()

    def have(self, running: str = "", paused: str = "") -> None:
        """Set the workers, a letter each."""
        self.now = Workers(set(running), set(paused))

    def workers(self) -> Workers:
        return self.now


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(watch, "say", lines.append)
    return lines


def test_workers_are_others_only_where_none_of_the_last_look_is_left(said):
    cluster = Scripted()
    looks = Watch(cluster)
    for running, others in (("", False), ("ab", True), ("bc", False), ("d", True)):
        cluster.have(running)
        assert looks.look() is others, running
    assert said[1:] == [f"worker {w} is gone; what it ran runs on another" for w in "abc"]


def test_a_paused_worker_is_not_gone_and_is_no_other_when_it_goes_on(said):
    cluster = Scripted()
    looks = Watch(cluster)
    cluster.have(running="a")
    looks.look()
    cluster.have(paused="a")
    assert not looks.look()
    cluster.have(running="a")
    assert not looks.look()
    assert not any("gone" in line for line in said)
    assert any("no workers at" in line for line in said)  # none that takes another job


def test_after_the_limit_the_paused_and_the_refused_are_named(said, monkeypatch):
    monkeypatch.setenv("WM_CLUSTER_WAIT", "0.01")
    cluster = Scripted()
    cluster.refused = {"b": ["other code"]}
    cluster.have(paused="a")
    looks = Watch(cluster)
    looks.look()
    monkeypatch.setattr(watch.time, "monotonic", lambda: float("inf"))
    with pytest.raises(UserError, match="b was refused: other code; a is paused"):
        looks.look()
