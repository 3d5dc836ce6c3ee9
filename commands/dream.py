"""Film a dream beside the real drive: from the same moment, with the same actions, and with C.

Four pictures: the track, what V makes of it, M's dream with the actions that were taken there, and
M's dream with C at the wheel. Prints the points that each brought, and writes a video.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from commands.drive import parse_track
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.stage import user_errors

LENGTH = 150  # steps of the dream


def dreamer(name: str | None) -> str:
    """The round whose C learnt in the dream: `name`, or the first there is.

    Raises UserError for a round that there is not, or that dreamt nothing.
    """
    from worldmodels.pipeline.params import read_params

    rounds = read_params()["rounds"]
    dreamers = [name for name, entry in rounds.items() if entry["learned_in"] == "dream"]
    if not dreamers:
        raise UserError(
            "no round of params.yaml learns in the dream: add one with `learned_in: dream`, and "
            "run `dvc repro`"
        )
    if name is not None and name not in dreamers:
        raise UserError(f"no round {name!r} learns in the dream; there are {dreamers}")
    return name or dreamers[0]


def film(name: str, track: int, start: int, temperature: float, sampled: bool) -> Path:
    """Write the video of a round's dream beside the drive on `track`, from step `start`."""
    import torch
    from gymnasium.envs.box2d.car_racing import FPS

    from worldmodels.agent.agent import Agent
    from worldmodels.dream.model import load_dream_model
    from worldmodels.dream.rules import MEANS
    from worldmodels.pipeline.params import read_params
    from worldmodels.reports.dreaming import dream_beside, drive_lap
    from worldmodels.reports.film import STRIP, Film, strip
    from worldmodels.vision.vae import load_vae

    torch.set_num_threads(1)
    params = read_params()
    world = params["rounds"][name]["world"]
    agent = Agent.load(Path("models") / name / "agent.safetensors")
    vae = load_vae(Path("models") / world / "vae.safetensors")
    model = load_dream_model(Path("data") / name / "practice" / "dream.safetensors")
    lap = drive_lap(agent, vae, track, params["seed"], params["evaluate"]["horizon"])
    rules = replace(MEANS, temperature=temperature, sampled=sampled, horizon=LENGTH)
    video = Path("drives") / f"dream-{track}.mp4"
    sights = dream_beside(lap, agent, model, vae, start, rules, params["seed"])
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
    name, track = dreamer(options.round), parse_track(options.seed)
    if options.start < 0:
        raise UserError(f"--start {options.start}: a step is 0 or more")
    sampled = options.temperature is not None
    temperature = options.temperature if sampled else 1.0
    print(f"video: {film(name, track, options.start, temperature, sampled)}")


if __name__ == "__main__":
    with user_errors("dream"):
        main()
