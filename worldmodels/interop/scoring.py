"""Score anybody's policy as `evaluate` scores our agents: on official test tracks.

`python -m worldmodels.interop.scoring module:make_policy`, or a file of one of our agents.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from worldmodels.interop.policy import Policy
from worldmodels.pipeline.errors import UserError, user_errors
from worldmodels.pipeline.storage import write_json
from worldmodels.reports.statistics import summarise
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import TEST_TRACKS, generator, tracks_for_test
from worldmodels.workers.run import run_jobs

FIRST, TRACKS = 3000, 200  # the test tracks of the published table
TRACKS_PER_JOB = 4
RESAMPLES = 10_000
BIN = 50  # points, of the histogram
BAR = 50  # characters, of its longest bar


class AnyPolicy(Protocol):
    """Acts in one CarRacing-v3; it must be picklable, since several processes drive."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The action float [3] for Gymnasium's observation uint8 [96, 96, 3]."""


class Scores(NamedTuple):
    """Returns and steps [n] on the `tracks` [n], and their summary (see `summarise`)."""

    tracks: list[int]
    returns: np.ndarray
    steps: np.ndarray
    summary: dict[str, float | int]


@dataclass(frozen=True)
class ScoreJob:
    """Drive `tracks` of Gymnasium's CarRacing-v3 to their ends, one after the other."""

    policy: AnyPolicy
    tracks: tuple[int, ...]

    def run(self) -> list[tuple[float, int]]:
        """The return of each and its steps."""
        with closing(gymnasium.make("CarRacing-v3")) as env:
            return [drive(self.policy, env, track) for track in self.tracks]

    def __str__(self) -> str:
        return f"tracks {self.tracks[0]} to {self.tracks[-1]}"


def drive(policy: AnyPolicy, env: gymnasium.Env, track: int) -> tuple[float, int]:
    """The return of `policy` on `track`, and the steps it took.

    Raises UserError for an action that is not three finite numbers.
    """
    observation, _ = env.reset(seed=track)
    policy.reset()
    rewards: list[float] = []
    while True:
        given = policy.act(observation)
        try:
            action = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError):
            action = np.zeros(0, dtype=np.float32)
        if action.shape != (3,) or not np.isfinite(action).all():
            raise UserError(
                f"the policy's action at step {len(rewards)} of track {track} is {given}: "
                "CarRacing-v3 takes three finite numbers, steering, gas and brake"
            )
        observation, reward, terminated, truncated, _ = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            return float(np.sum(np.array(rewards))), len(rewards)


def score(policy: AnyPolicy, count: int = TRACKS, first: int = FIRST) -> Scores:
    """Let `policy` drive `count` official test tracks once each, from the `first` on.

    A drive ends as CarRacing-v3 ends it, after 1,000 steps at the latest. Two to three seconds per
    track on two cores; where WM_CLUSTER names one, on a cluster. Raises UserError for more tracks
    than there are for tests.
    """
    if not 0 <= first < first + count <= TEST_TRACKS:
        raise UserError(
            f"{count} test tracks from {first} on: there are {TEST_TRACKS:,}; ask for 1 or more"
        )
    tracks = tracks_for_test(count, first)
    jobs = [
        ScoreJob(policy, tuple(tracks[cut : cut + TRACKS_PER_JOB]))
        for cut in range(0, count, TRACKS_PER_JOB)
    ]
    with Progress("score", count, "tracks", 0) as progress:
        driven = run_jobs(jobs, lambda _, found: progress.advance(len(found)))
    flat = [one for found in driven for one in found]
    returns = np.array([total for total, _ in flat])
    summary = summarise(returns, RESAMPLES, generator(1, "evaluate", "bootstrap"))
    return Scores(tracks, returns, np.array([steps for _, steps in flat]), summary)


def histogram(returns: np.ndarray) -> str:
    """A line for each bin from the lowest to the highest return, with its count."""
    lows = np.floor(returns / BIN).astype(int)
    counts = {low: int((lows == low).sum()) for low in range(lows.min(), lows.max() + 1)}
    most = max(counts.values())
    return "\n".join(
        f"{low * BIN:6d} to {(low + 1) * BIN:5d} {count:5d} {'#' * -(-BAR * count // most)}"
        for low, count in counts.items()
    )


def make_policy(name: str) -> AnyPolicy:
    """The policy of an agent file, or what the function of `module:function` returns.

    Raises UserError if there is none of that name, or it makes no policy.
    """
    if name.endswith(".safetensors"):
        return Policy.load(name)
    module, colon, function = name.partition(":")
    if not (module and colon and function) or module.startswith("."):
        raise UserError(f"{name!r}: give module:function, or the file of an agent")
    sys.path.insert(0, "")  # the module may lie in this folder
    try:
        make: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{name!r}: {error}") from None
    if not callable(make):
        raise UserError(f"{name!r} is {make!r}, not a function that makes a policy")
    policy = make()
    if not callable(getattr(policy, "act", None)) or not callable(getattr(policy, "reset", None)):
        raise UserError(f"{name!r} returns {policy!r}, which has no reset() and act(observation)")
    return policy


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m worldmodels.interop.scoring", description=__doc__
    )
    parser.add_argument("policy", help="module:function that makes a policy, or an agent file")
    parser.add_argument("--tracks", type=int, default=TRACKS, help=f"default: {TRACKS}")
    parser.add_argument("--first", type=int, default=FIRST, help=f"test track; default: {FIRST}")
    parser.add_argument("--out", type=Path, help="a JSON file for the summary and all returns")
    options = parser.parse_args(arguments)
    found = score(make_policy(options.policy), options.tracks, options.first)
    told = found.summary
    print(histogram(found.returns))
    print(
        f"{told['mean']:.1f} ({told['ci_low']:.1f} to {told['ci_high']:.1f}, 95 % bootstrap "
        f"interval of the mean), std {told['std']:.1f}, worst {told['min']:.1f}, on "
        f"{told['episodes']} official test tracks from {found.tracks[0]} on"
    )
    if options.out:
        rows = [
            {"track": track, "return": total, "steps": int(steps)}
            for track, total, steps in zip(found.tracks, found.returns.tolist(), found.steps)
        ]
        write_json(options.out, {**told, "gymnasium": gymnasium.__version__, "drives": rows})


def run() -> None:
    """The command; a UserError, Ctrl-C or SIGTERM ends it with one line."""
    with user_errors("score"):
        main()


if __name__ == "__main__":
    run()
