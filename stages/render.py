"""Film one test episode: what the car sees, what V makes of it, what M expects, what C does.

models/ROUND -> results/ROUND/render/episode.mp4, still.png
Half a minute on one core.
Source: the figures of worldmodels.github.io.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels import stage
from worldmodels.agent import Agent, AgentDriver
from worldmodels.driving import refuse_nan
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.film import HEIGHT, WIDTH, Film, Shot, compose
from worldmodels.images import write_grid
from worldmodels.mdnrnn import MDNRNN, expected_next, load_mdnrnn
from worldmodels.params import Count, Natural, Part, Section, Seed
from worldmodels.progress import Progress
from worldmodels.seeds import tracks_for_test
from worldmodels.vae import VAE, load_vae


class RenderConfig(Section):
    track: Natural
    steps: Count
    every: Count
    still: Natural


class Params(Part):
    seed: Seed
    machine: stage.Machine
    render: RenderConfig


class Onlooker:
    """Follows an episode with the whole of V and M, for show."""

    def __init__(self, vae: VAE, memory: MDNRNN):
        self.vae, self.memory = vae, memory
        self.state = memory.initial_state(1)
        self.expected = torch.full((1, 3, 64, 64), 0.5)

    @torch.inference_mode()
    def look(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu [Z], V's reconstruction and what M had expected here, uint8 [64, 64, 3]."""
        x = torch.from_numpy(observation)[None].permute(0, 3, 1, 2).float() / 255
        self.mu, _ = self.vae.encode(x)
        return self.mu[0].numpy(), to_picture(self.vae.decode(self.mu)), to_picture(self.expected)

    @torch.inference_mode()
    def act(self, action: np.ndarray) -> None:
        """Let M take in what was seen last and what is done now, and expect the next frame."""
        done = torch.from_numpy(action).float()[None, None]
        prediction, self.state = self.memory(self.mu[None], done, self.state)
        self.expected = self.vae.decode(expected_next(prediction)[0])


def to_picture(x: torch.Tensor) -> np.ndarray:
    """[1, 3, 64, 64] in [0, 1] to uint8 [64, 64, 3]."""
    return (x[0].permute(1, 2, 0) * 255).round().byte().numpy()


def episode(agent: Agent, onlooker: Onlooker, params: Params) -> Iterator[Shot]:
    """Drive one test track; a shot of every `every`-th step."""
    env = DrawnCarRacing(render_mode="rgb_array")
    driver = AgentDriver(agent, 1, params.seed, params.machine.device)
    track = tracks_for_test(params.render.track + 1)[-1]
    observation, _ = env.reset(seed=track)
    slot = np.array([0])
    driver.start(0, 0, track)
    score, terminated, step = 0.0, False, 0
    with Progress("render", params.render.steps, "steps") as progress:
        while step < params.render.steps and not terminated:
            mu, reconstruction, expected = onlooker.look(observation)
            action = driver.act(slot, observation[None])[0]
            driver.took(slot, action[None])
            refuse_nan(action, 0, track, step)
            if step % params.render.every == 0:
                pictures = (env.official_picture(), observation, reconstruction, expected)
                yield Shot(*pictures, mu, action, score, step)
            onlooker.act(action)
            observation, reward, terminated, _, _ = env.step(action)
            score, step = score + float(reward), step + 1
            progress.advance()
    env.close()


def main(name: str, params: Params) -> None:
    stage.prepare(params.machine.device, params.machine.threads)
    models = Path("models") / name
    agent = Agent.load(models / "agent.safetensors")
    vae, memory = load_vae(models / "vae.safetensors"), load_mdnrnn(models / "mdnrnn.safetensors")
    results = Path("results") / name / "render"
    with Film(results / "episode.mp4", FPS / params.render.every, (WIDTH, HEIGHT)) as film:
        for shot in episode(agent, Onlooker(vae, memory), params):
            picture = compose(shot)
            film.add(picture)
            if shot.step <= params.render.still:
                still = picture
    write_grid(results / "still.png", still[None], 1)


if __name__ == "__main__":
    stage.run("render", Params, main)
