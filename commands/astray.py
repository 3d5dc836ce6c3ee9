"""Drive badly from recorded moments, in the dream and on the track, and compare what each pays.

Writes results/page/astray.csv, the table in docs/page.md. Dreams take the mean of M's mixtures.
Some minutes.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from worldmodels.dream.environment import Dream
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.frames import MOTION_SIZE, motion, speed_of
from worldmodels.interop.page import TRACK, TRACKS, chosen_steps, load_models
from worldmodels.interop.trained import TrainedRound, round_that_dreams
from worldmodels.memory.step import MemoryStep
from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.storage import write_csv
from worldmodels.reports.dreaming import TO_THE_END, Lap, moments_of

RESULT = Path("results/page/astray.csv")
STEPS = 75  # one and a half seconds
BEGINNING = 25  # steps, in which the car is still about where it was
WAYS: dict[str, Callable[[int], tuple[float, float, float]]] = {  # actions by step
    "hard left, full gas": lambda step: (-1.0, 1.0, 0.0),
    "straight on, full gas": lambda step: (0.0, 1.0, 0.0),
    "left and right by turns, gas": lambda step: (1.0 if step // 8 % 2 else -1.0, 0.7, 0.0),
    "hard left, no gas": lambda step: (-1.0, 0.0, 0.0),
    "brake": lambda step: (0.0, 0.0, 0.8),
}


class Outcome(NamedTuple):
    """What STEPS of driving brought: points in all, those after BEGINNING, and the last speed in
    m/s."""

    points: float
    later: float
    speed: float


def on_the_track(lap: Lap, track: int, start: int, actions: np.ndarray) -> Outcome:
    """Drive the lap again up to the step `start`, and then by `actions` [STEPS, A]."""
    env = DrawnCarRacing()
    env.reset(seed=track)
    rewards, poses = [], []
    for action in [*lap.actions[:start], *actions]:
        poses.append(env.pose.copy())
        _, reward, terminated, truncated, _ = env.step(action)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    poses.append(env.pose.copy())
    env.close()
    speed = float(speed_of(motion(np.stack(poses[-2:]))[1]))
    return Outcome(sum(rewards[start:]), sum(rewards[start + BEGINNING :]), speed)


def in_the_dream(dream: Dream, start: int, actions: np.ndarray) -> tuple[Outcome, float]:
    """Dream on from the moment `start` by `actions`; also M's probability that the car is lost."""
    dream.reset(options={"moments": [start], "seeds": [1]})
    told = [dream.step(action[None]) for action in actions]
    rewards = [float(reward[0]) for _, reward, *_ in told]
    speed = float(speed_of(dream.latents[0, -MOTION_SIZE:].numpy()))
    return Outcome(sum(rewards), sum(rewards[BEGINNING:]), speed), float(told[-1][-1]["lost"][0])


class Compared(NamedTuple):
    """A way to drive badly from one moment: on the track, in the dream, and M's probability, at
    the end of the dream, that the car is lost."""

    real: Outcome
    dreamt: Outcome
    lost: float


def compare(models: TrainedRound) -> dict[str, list[Compared]]:
    """For each way to drive badly, what it brings from each moment at which the page begins."""
    memory = MemoryStep.of(models.memory)
    rules = replace(TO_THE_END, horizon=STEPS + 1)
    found: dict[str, list[Compared]] = {name: [] for name in WAYS}
    for track in range(TRACK, TRACK + TRACKS):
        lap = models.lap(track)
        moments = moments_of(lap, memory, models.dream)
        dream = Dream(models.dream, memory, moments, rules, num_envs=1)
        for start in chosen_steps(len(lap.rewards)):
            for name, action in WAYS.items():
                actions = np.array([action(step) for step in range(STEPS)], np.float32)
                dreamt, lost = in_the_dream(dream, int(start), actions)
                real = on_the_track(lap, track, int(start), actions)
                found[name].append(Compared(real, dreamt, lost))
    return found


def mean_row(name: str, found: list[Compared]) -> dict[str, str | float]:
    """The row of the table for a way to drive: means over the moments."""
    real, dreamt = (
        Outcome(*np.mean(outcomes, axis=0))
        for outcomes in ([one.real for one in found], [one.dreamt for one in found])
    )
    return {
        "driving": name,
        "moments": len(found),
        "points_real": round(real.points, 1),
        "points_dreamt": round(dreamt.points, 1),
        "later_real": round(real.later, 1),
        "later_dreamt": round(dreamt.later, 1),
        "speed_real": round(real.speed, 1),
        "speed_dreamt": round(dreamt.speed, 1),
        "lost": round(float(np.mean([one.lost for one in found])), 3),
    }


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The table in docs/page.md, of the rows of astray.csv."""
    head = f"| {STEPS} steps | points: track, dream | after {BEGINNING} | last speed | P(lost) |"
    lines = []
    for row in rows:
        points, later, speed = (
            f"{float(row[f'{name}_real']):.0f}, {float(row[f'{name}_dreamt']):.0f}"
            for name in ("points", "later", "speed")
        )
        lost = float(row["lost"])
        lines.append(f"| {row['driving']} | {points} | {later} | {speed} m/s | {lost:.2f} |")
    return "\n".join([head, "|---|---|---|---|---|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.astray")
    parser.add_argument("--round", help="whose C learnt in the dream; default: the first")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = compare(load_models(round_that_dreams(options.round)))
    rows = [mean_row(name, each) for name, each in found.items()]
    write_csv(RESULT, rows)
    print(table(rows))


if __name__ == "__main__":
    with user_errors("astray"):
        main()
