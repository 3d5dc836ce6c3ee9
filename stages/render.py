"""Film two test episodes: the observation, V's reconstruction, M's prediction, C's actions.

models/{WORLD,ROUND}, results/ROUND/evaluate -> results/ROUND/render: episode.mp4 and still.png of
the track with the median return with our picture, lap.gif of that with the highest in Gymnasium's
own.
A third of a minute on one core.
Source: the figures of worldmodels.github.io.
"""

from pathlib import Path

import numpy as np
import torch
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.agent.agent import Agent
from worldmodels.environment.car_racing import DrawnCarRacing, make_official
from worldmodels.memory.mdnrnn import MDNRNN, expected_next, load_mdnrnn
from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, Natural, Part, Section, Seed
from worldmodels.reports.film import HEIGHT, WIDTH, Film, Shot, compose, write_gif
from worldmodels.reports.images import to_pictures, write_grid
from worldmodels.reports.play import play
from worldmodels.reports.results import read_columns
from worldmodels.runtime.progress import Progress
from worldmodels.vision.vae import VAE, load_vae, to_input


class RenderConfig(Section):
    every: Count
    still: Natural
    lap_every: Count
    lap_width: Count


class EvaluateConfig(Part):
    horizon: Count


class Round(Part):
    world: str


class Params(Part):
    seed: Seed
    machine: stage.Device
    evaluate: EvaluateConfig
    render: RenderConfig
    round: Round


class Onlooker:
    """Follows an episode with the whole of V and M, to show what each of them sees.

    `look` and `act` are called in turn, once per step.
    """

    def __init__(self, vae: VAE, memory: MDNRNN):
        self.vae, self.memory = vae, memory
        self.state = memory.initial_state(1)
        self.expected = torch.full((1, 3, 64, 64), 0.5)

    @torch.inference_mode()
    def look(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu [Z], V's reconstruction and M's prediction of this frame, both uint8 [64, 64, 3].

        Before the first step the prediction is grey.
        """
        self.mu, _ = self.vae.encode(to_input(torch.from_numpy(observation[None])))
        decoded = torch.cat([self.vae.decode(self.mu), self.expected])
        return self.mu[0].numpy(), *to_pictures(decoded)

    @torch.inference_mode()
    def act(self, action: np.ndarray) -> None:
        """Advance M by the last observation and `action` [3], and predict the next frame."""
        done = torch.from_numpy(action).float()[None, None]
        prediction, self.state = self.memory(self.mu[None], done, self.state)
        self.expected = self.vae.decode(expected_next(prediction)[0])


def film(agent: Agent, onlooker: Onlooker, track: int, params: Params, results: Path) -> None:
    """Film one track with our picture, a frame for every `every`-th step; keep one as a still."""
    config, env = params.render, DrawnCarRacing(render_mode="rgb_array")
    rate, horizon, stills = FPS / config.every, params.evaluate.horizon, []
    with (
        Film(results / "episode.mp4", rate, (WIDTH, HEIGHT)) as video,
        Progress("render", horizon, "steps") as progress,
    ):

        def look(observation: np.ndarray, action: np.ndarray, score: float, step: int) -> None:
            mu, reconstruction, expected = onlooker.look(observation)
            if step % config.every == 0:
                pictures = (env.official_picture(), observation, reconstruction, expected)
                picture = compose(Shot(*pictures, mu, action, score, step))
                video.add(picture)
                if step <= config.still:
                    stills.append(picture)
            onlooker.act(action)
            progress.advance()

        play(agent, env, track, params.seed, params.machine.device, horizon, look)
    env.close()
    write_grid(results / "still.png", stills[-1][None], 1)


def film_lap(agent: Agent, track: int, params: Params, path: Path) -> None:
    """Film one track of Gymnasium's own environment as a GIF, at the speed of the car."""
    config, env = params.render, make_official(render_mode="rgb_array")
    horizon, pictures = params.evaluate.horizon, []

    def look(_: np.ndarray, __: np.ndarray, ___: float, step: int) -> None:
        if step % config.lap_every == 0:
            pictures.append(np.asarray(env.render()))
        progress.advance()

    with Progress("render, best lap", horizon, "steps") as progress:
        play(agent, env, track, params.seed, params.machine.device, horizon, look)
    env.close()
    write_gif(path, pictures, config.lap_width, 1000 * config.lap_every // FPS)


def by_return(path: Path) -> list[int]:
    """The tracks of a table of returns, the lowest return first."""
    scored = read_columns(path, "track", "return")
    return scored["track"][np.argsort(scored["return"], kind="stable")].astype(int).tolist()


def main(name: str, params: Params) -> None:
    stage.prepare(params.machine.device)
    world, results = Path("models") / params.round.world, Path("results") / name
    agent = Agent.load(Path("models") / name / "agent.safetensors")
    vae, memory = load_vae(world / "vae.safetensors"), load_mdnrnn(world / "mdnrnn.safetensors")
    drawn, official = (
        by_return(results / "evaluate" / file) for file in ("drawn_returns.csv", "returns.csv")
    )
    Agent.of(agent.config, vae, memory, agent.parameters)  # refuses models of other sizes
    film(agent, Onlooker(vae, memory), drawn[len(drawn) // 2], params, results / "render")
    film_lap(agent, official[-1], params, results / "render/lap.gif")


if __name__ == "__main__":
    stage.run("render", Params, main)
