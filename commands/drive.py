"""Let the trained agent drive one track of Gymnasium's own CarRacing-v3.

Prints the score and writes a video, or shows a window.
"""

import argparse
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldmodels.pipeline.errors import UserError, user_errors

if TYPE_CHECKING:
    from worldmodels.agent.agent import Agent
    from worldmodels.reports.film import Film

# The other imports are inside the functions: they take seconds, during which Ctrl-C must also end
# the command with one line.


def best_agent() -> Path:
    """The path of the agent of the round with the highest mean on validation tracks."""
    from worldmodels.pipeline.params import read_params
    from worldmodels.reports.results import read_metrics

    path = "results/{}/train_controller/metrics.json"
    every = {name: Path(path.format(name)) for name in read_params()["rounds"]}
    trained = {name: path for name, path in every.items() if path.exists()} or every
    means = {
        name: read_metrics(path, "validation_mean")["validation_mean"]
        for name, path in trained.items()
    }
    return Path("models") / max(means, key=means.__getitem__) / "agent.safetensors"


def agent_of(name: str) -> Path:
    """The path of the agent of a round. Raises UserError for a round that there is not."""
    from worldmodels.pipeline.params import read_params

    if name not in (rounds := read_params()["rounds"]):
        raise UserError(f"--round {name!r}: no such round; there are {list(rounds)}")
    return Path("models") / name / "agent.safetensors"


def require_display() -> None:
    """Raise UserError where no window can be shown."""
    import pygame

    try:
        pygame.display.set_mode((1, 1))
        driver = pygame.display.get_driver()
    except pygame.error as error:
        driver = str(error)
        shown = False
    else:
        shown = driver not in ("offscreen", "dummy")  # SDL's last resorts, that show nothing
    pygame.display.quit()
    if not shown:
        raise UserError(f"no window can be shown here ({driver}): run without --watch for a video")


def drive(agent: "Agent", track: int, film: "Film | None") -> tuple[float, int]:
    """Drive `track` until the episode ends; returns the return and the number of steps.

    Without a `film` it shows a window.
    """
    import numpy as np
    import torch

    from worldmodels.environment.car_racing import make_official
    from worldmodels.pipeline.params import read_params
    from worldmodels.reports.play import play

    env = make_official(render_mode="rgb_array" if film else "human")
    torch.set_num_threads(1)

    def look(*_: Any) -> None:
        if film:
            film.add(np.asarray(env.render()))

    params = read_params()
    horizon = params["evaluate"]["horizon"]
    score, steps = play(agent, env, track, params["seed"], "cpu", horizon, look)
    env.close()
    return score, steps


def parse_track(text: str) -> int:
    """The track's number. Raises UserError for anything but a whole number, 0 or more."""
    if not text.isdecimal():
        raise UserError(f"--seed {text!r}: the seed of a track is a whole number, 0 or more")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.drive")
    parser.add_argument("--seed", default="1", help="of the track, 0 or more")
    agents = parser.add_mutually_exclusive_group()
    agents.add_argument("--round", help="whose agent drives; default: the best on validation")
    agents.add_argument("--agent", type=Path, help="an agent file, of any round or none")
    parser.add_argument("--watch", action="store_true", help="show a window, write no video")
    options = parser.parse_args()
    track = parse_track(options.seed)
    if options.watch:
        require_display()

    from gymnasium.envs.box2d.car_racing import FPS, VIDEO_H, VIDEO_W

    from worldmodels.agent.agent import Agent
    from worldmodels.reports.film import Film

    path = options.agent or (agent_of(options.round) if options.round else best_agent())
    agent = Agent.load(path)
    video = Path("drives") / f"track-{track}.mp4"
    with nullcontext() if options.watch else Film(video, FPS, (VIDEO_W, VIDEO_H)) as film:
        score, steps = drive(agent, track, film)
    print(f"{path} on track {track}: score {score:.1f} in {steps} steps")
    if not options.watch:
        print(f"video: {video}")


if __name__ == "__main__":
    with user_errors("drive"):
        main()
