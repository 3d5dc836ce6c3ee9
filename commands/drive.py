"""Let the trained agent drive one track of Gymnasium's own CarRacing-v3.

Prints the score and writes a video, or shows a window.
"""

import argparse
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from worldmodels.agent import Agent, AgentDriver
from worldmodels.environment.car_racing import make_official
from worldmodels.errors import UserError
from worldmodels.params import PARAMS, read_yaml

FPS = 50


def newest_agent() -> Path:
    """The agent of the last round of params.yaml."""
    return Path("models") / list(read_yaml(PARAMS)["rounds"])[-1] / "agent.safetensors"


def drive(agent: Agent, seed: int, video: Path | None) -> tuple[float, int]:
    """Drive the track `seed` to its end: (return, steps). `video` None: show a window instead."""
    env = make_official(render_mode="rgb_array" if video else "human")
    driver = AgentDriver(agent, 1, seed, "cpu")
    observation, _ = env.reset(seed=seed)
    driver.start(0, 0, seed)
    writer = None
    if video:
        video.parent.mkdir(parents=True, exist_ok=True)
        writer = imageio_ffmpeg.write_frames(str(video), (600, 400), fps=FPS)
        writer.send(None)
    total, steps, over = 0.0, 0, False
    while not over:
        action = driver.act(np.array([0]), observation[None])[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        total, steps, over = total + float(reward), steps + 1, terminated or truncated
        if writer:
            writer.send(np.ascontiguousarray(env.render()))
    if writer:
        writer.close()
    env.close()
    return total, steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the track, 0 or more")
    parser.add_argument("--agent", type=Path, help="an agent file; default: the last round's")
    parser.add_argument("--watch", action="store_true", help="show a window, write no video")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: a track's seed is 0 or more")
    try:
        path = options.agent or newest_agent()
        video = None if options.watch else Path("drives") / f"track-{options.seed}.mp4"
        score, steps = drive(Agent.load(path), options.seed, video)
    except UserError as error:
        sys.exit(str(error))
    print(f"{path} on track {options.seed}: score {score:.1f} in {steps} steps")
    if video:
        print(f"video: {video}")


if __name__ == "__main__":
    main()
