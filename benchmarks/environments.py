"""Steps of the environment alone: Gymnasium's, EnvPool's, ours, on one core."""

from collections.abc import Callable

import envpool
import gymnasium
import numpy as np

from benchmarks.timing import Work, rates
from worldmodels.driving.jobs import ENVS_PER_WORKER
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.picture.track import track_of
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.records.scenes import Scenes

TRACK = 7
ENVPOOL_CARS = 8  # a batch, in one thread


def driving(steps: int) -> np.ndarray:
    """Actions [steps, 3] that accelerate, steer to and fro, and brake now and then."""
    time = np.arange(steps)
    steer, brake = 0.4 * np.sin(time / 15), np.where(time % 40 > 36, 0.6, 0.0)
    return np.stack([steer, np.full(steps, 0.3), brake], axis=1).astype(np.float32)


def stepping(env: gymnasium.Env, steps: int) -> Work:
    """Drives `env` for so many steps, from where it stopped before."""
    actions = driving(steps)
    env.reset(seed=TRACK)

    def work() -> float:
        for action in actions:
            env.step(action)
        return steps

    return work


def stepping_envpool(steps: int) -> Work:
    """Drives `ENVPOOL_CARS` of EnvPool's for so many steps each."""
    pool = envpool.make_gymnasium(
        "CarRacing-v3", num_envs=ENVPOOL_CARS, num_threads=1, max_episode_steps=10**6
    )
    pool.reset()
    actions = np.repeat(driving(steps)[:, None], ENVPOOL_CARS, axis=1)

    def work() -> float:
        for action in actions:
            pool.step(action)
        return steps * ENVPOOL_CARS

    return work


def stepping_vector_env(steps: int) -> Work:
    """Drives a worker's cars for so many steps each, from where they stopped before."""
    env, slots = VectorCarRacing(ENVS_PER_WORKER), np.arange(ENVS_PER_WORKER)
    for slot in range(ENVS_PER_WORKER):
        env.reset(slot, TRACK + slot)
    actions = np.repeat(driving(steps)[:, None], ENVS_PER_WORKER, axis=1)

    def work() -> float:
        for action in actions:
            env.step(slots, action)
        return steps * ENVS_PER_WORKER

    return work


def steps_a_second(rounds: int) -> dict[str, float]:
    """Environment steps a second on one core, picture and all."""
    return rates(
        {
            "gymnasium": stepping(gymnasium.make("CarRacing-v3").unwrapped, 60),
            "envpool": stepping_envpool(30),
            "ours": stepping_vector_env(60),
            "ours_one_by_one": stepping(DrawnCarRacing(), 300),
        },
        rounds,
    )


def resets_a_second(rounds: int) -> dict[str, float]:
    """Resets a second: Gymnasium's with its first picture, ours on new and on known tracks."""
    gym, ours = gymnasium.make("CarRacing-v3").unwrapped, VectorCarRacing(1)

    def resetting(reset: Callable[[int], object], known: bool) -> Work:
        def work() -> float:
            if not known:
                track_of.cache_clear()
            for seed in range(20):
                reset(seed)
            return 20

        return work

    works = {
        "gymnasium": resetting(lambda seed: gym.reset(seed=seed), True),
        "ours_new_track": resetting(lambda seed: ours.reset(0, seed), False),
        "ours_known_track": resetting(lambda seed: ours.reset(0, seed), True),
    }
    return rates(works, rounds)


def drawing(scenes: Scenes, rounds: int) -> dict[str, float]:
    """Recorded scenes drawn to 64x64, frames a second on one core, in order and at random."""
    frames = np.random.default_rng(1).integers(0, len(scenes), 3000)

    def work(order: np.ndarray) -> Work:
        def draw() -> float:
            scenes.draw(order)
            return len(order)

        return draw

    return rates({"in_order": work(np.sort(frames)), "at_random": work(frames)}, rounds)
