"""Film a dream next to the real drive: from the same moment, with the same actions, and with C.

Four pictures: the track, what V makes of it, M's dream with the actions that were taken there, and
M's dream with C at the wheel. Prints the points that each brought, and writes a video.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

from commands.drive import parse_track
from worldmodels.pipeline.errors import UserError, user_errors

LENGTH = 150  # steps of the dream


def film(name: str, track: int, start: int, temperature: float, sampled: bool) -> Path:
    """Write the video of a round's dream next to the drive on `track`, from step `start`."""
    import torch
    from gymnasium.envs.box2d.car_racing import FPS

    from worldmodels.interop.trained import TrainedRound
    from worldmodels.pipeline.params import read_params
    from worldmodels.reports.dreaming import TO_THE_END, dream_along
    from worldmodels.reports.film import STRIP, Film, strip

    torch.set_num_threads(1)
    models = TrainedRound.load(name)
    lap = models.lap(track)
    rules = replace(TO_THE_END, temperature=temperature, sampled=sampled, horizon=LENGTH)
    video = Path("drives") / f"dream-{track}.mp4"
    seed = read_params()["seed"]
    sights = dream_along(lap, models.agent, models.dream, models.vae, start, rules, seed)
    with Film(video, FPS / 2, STRIP) as shown:
        for sight in sights:
            real, same, own = sight.points
            panels = [
                (f"the track: {real:.0f} points", sight.track),
                ("V reconstructs", sight.reconstruction),
                (f"M dreams, same actions: {same:.0f}, lost {sight.lost[0]:.0%}", sight.same),
                (f"M dreams, C drives: {own:.0f}, lost {sight.lost[1]:.0%}", sight.own),
            ]
            shown.add(strip(panels, f"{sight.step} steps after step {start} of track {track}"))
    print(f"track {track} from step {start}, {sight.step} steps: {real:.1f} points on the track")
    print(f"dreamt with the same actions: {same:.1f}; dreamt with C at the wheel: {own:.1f}")
    return video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m commands.dream")
    parser.add_argument("--round", help="whose C learnt in the dream; default: the first")
    parser.add_argument("--seed", default="7", help="of the track, 0 or more")
    parser.add_argument("--start", type=int, default=60, help="step from which M dreams")
    parser.add_argument("--temperature", type=float, help="draw the latents, at this temperature")
    options = parser.parse_args()
    from worldmodels.interop.trained import round_that_dreams

    name, track = round_that_dreams(options.round), parse_track(options.seed)
    if options.start < 0:
        raise UserError(f"--start {options.start}: a step is 0 or more")
    sampled = options.temperature is not None
    temperature = options.temperature if sampled else 1.0
    if not math.isfinite(temperature):
        raise UserError(f"--temperature {temperature}: give a finite one above 0")
    print(f"video: {film(name, track, options.start, temperature, sampled)}")


if __name__ == "__main__":
    with user_errors("dream"):
        main()
