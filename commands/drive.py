"""Let the trained agent drive one track of Gymnasium's own CarRacing-v3.

Prints the score and writes a video, or shows a window.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import torch
from gymnasium.envs.box2d.car_racing import FPS, VIDEO_H, VIDEO_W

from worldmodels.agent.agent import Agent
from worldmodels.environment.car_racing import make_official
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, read_yaml
from worldmodels.reports.film import Film
from worldmodels.reports.play import play
from worldmodels.reports.results import read_metrics


def best_agent() -> Path:
    """The agent of the round that did best on the validation tracks, of those that have run."""
    path = "results/{}/train_controller/metrics.json"
    rounds = {name: Path(path.format(name)) for name in read_yaml(PARAMS)["rounds"]}
    there = {name: path for name, path in rounds.items() if path.exists()} or rounds
    scores = {
        name: read_metrics(path, "validation_mean")["validation_mean"]
        for name, path in there.items()
    }
    return Path("models") / max(scores, key=scores.__getitem__) / "agent.safetensors"


def drive(agent: Agent, seed: int, film: Film | None) -> tuple[float, int]:
    """Drive the track `seed` to its end: (return, steps). `film` None: show a window instead."""
    env = make_official(render_mode="rgb_array" if film else "human")
    torch.set_num_threads(1)

    def look(*_: Any) -> None:
        if film:
            film.add(np.asarray(env.render()))

    params = read_yaml(PARAMS)
    horizon = params["evaluate"]["horizon"]
    outcome = play(agent, env, seed, params["seed"], "cpu", horizon, look)
    env.close()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the track, 0 or more")
    parser.add_argument(
        "--agent",
        type=Path,
        help="an agent file; default: the best on validation",
    )
    parser.add_argument("--watch", action="store_true", help="show a window, write no video")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: a track's seed is 0 or more")
    try:
        path = options.agent or best_agent()
        agent = Agent.load(path)
        video = Path("drives") / f"track-{options.seed}.mp4"
        with nullcontext() if options.watch else Film(video, FPS, (VIDEO_W, VIDEO_H)) as film:
            score, steps = drive(agent, options.seed, film)
    except UserError as error:
        sys.exit(str(error))
    except pygame.error as error:
        sys.exit(f"no window could be opened ({error}): run without --watch for a video")
    print(f"{path} on track {options.seed}: score {score:.1f} in {steps} steps")
    if not options.watch:
        print(f"video: {video}")


if __name__ == "__main__":
    main()
