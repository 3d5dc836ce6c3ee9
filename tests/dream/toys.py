"""A small M that dreams, moments to dream from, and drives to learn from."""

from dataclasses import replace

import numpy as np
import torch

from tests.agents import make_agent
from worldmodels.dream.disturbances import HasteConfig, TakeoverConfig
from worldmodels.dream.environment import Dream
from worldmodels.dream.model import DreamModel, DreamModelConfig
from worldmodels.dream.moments import Moments
from worldmodels.dream.record import Drive, Record
from worldmodels.dream.recording import RecordSegmentJob
from worldmodels.dream.rules import MEANS
from worldmodels.driving.limits import Limits
from worldmodels.environment.frames import MOTION_SIZE, POSE_DTYPE
from worldmodels.records.scenes import Episode

LATENTS, MEMORY, HIDDEN = 8, 16, 12
DREAM_LATENTS = LATENTS + MOTION_SIZE
RULES = replace(MEANS, sampled=True, horizon=6, lost_cost=50.0, lost_at=0.9)
HASTE = HasteConfig(lesson=0, share=0.5, steps=8, most=[0.0, 0.8, -0.2])

TAKEOVERS = TakeoverConfig(
    **{
        "cars": 0.5,
        "c_steps": [2, 4],
        "explorer_steps": [1, 3],
        "exploration": {
            "correlation": 4,
            "steering_std": [0.1, 0.5],
            "gas_mean": [0.0, 0.5],
            "gas_std": 0.3,
            "brake_mean": [-0.5, 0.0],
            "brake_std": 0.3,
        },
    }
)


def make_model(seed=1) -> DreamModel:
    torch.manual_seed(seed)
    config = DreamModelConfig(hidden_size=HIDDEN, mixtures=3, min_sigma=0.02)
    model = DreamModel(config, torch.randn(DREAM_LATENTS), torch.rand(DREAM_LATENTS) + 0.5)
    return model.requires_grad_(False)


def make_memory():
    return make_agent(latent_size=LATENTS, hidden_size=MEMORY).memory


def make_moments(count=5) -> Moments:
    draw = torch.Generator().manual_seed(3)
    widths = (DREAM_LATENTS, DREAM_LATENTS, MEMORY, MEMORY, HIDDEN, HIDDEN)
    return Moments(*(torch.randn(count, width, generator=draw) for width in widths))


def make_dream(num_envs=3, rules=RULES, threads=1, model=None, errors=None) -> Dream:
    moments = make_moments()
    return Dream(model or make_model(), make_memory(), moments, rules, num_envs, threads, errors)


def make_drive(steps, lost=False, by_c=False, tile_every=3, seed=0) -> Drive:
    """A drive with a tile every `tile_every` steps; the last 12 of a lost one have none."""
    rng = np.random.default_rng(seed)
    rewards = np.where(np.arange(steps) % tile_every == 0, 3.0, -0.1).astype(np.float32)
    if lost:
        rewards[-12:] = -0.1
    actions = rng.uniform(size=(steps, 3)).astype(np.float32)
    scene = Episode(
        track_seed=1,
        driver="agent",
        poses=np.zeros(steps, POSE_DTYPE),
        actions=actions.astype(np.float16),
        rewards=rewards,
        terminated=False,
        touched_at=np.zeros(4, np.uint16),
    )
    return Drive(
        mu=rng.normal(size=(steps, LATENTS)).astype(np.float32),
        motion=(rng.uniform(-1, 1, (steps, MOTION_SIZE)) * [100, 10, 3]).astype(np.float32),
        actions=actions,
        rewards=rewards,
        off_road=rng.choice(np.array([0, 0, 0, 0.5, 1], np.float32), steps),
        by_c=np.full(steps, by_c),
        over=True,
        lost=lost,
        scene=scene if by_c else None,
    )


def make_record() -> Record:
    """Two drives of the explorer, one of them lost, and two of C, one of them lost."""
    explored = [make_drive(30, lost=True, seed=1), make_drive(20, seed=2)]
    driven = [make_drive(40, lost=True, by_c=True, seed=3), make_drive(25, by_c=True, seed=4)]
    driven[0].until, driven[1].until = 40, 65
    return Record([*explored, *driven], explored=2, steps={0: 65})


def record_segments(
    count, steps=30, envs=2, agent=None, patience=20, haste=HASTE, undisturbed=0.0, noise=0.1
):
    """A record of `count` segments of a small agent, without an explorer's drives."""
    agent = agent or make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    record, group = Record([], explored=0), None
    for number in range(count):
        job = RecordSegmentJob(
            agent=agent,
            envs=envs,
            steps=steps,
            undisturbed=undisturbed,
            hold=4,
            noise=noise,
            limits=Limits(50, patience),
            rng=np.random.default_rng(number),
            tracks=[1, 2, 3],
            haste=haste,
            takeovers=TAKEOVERS,
            group=group,
            device="cpu",
            title="",
        )
        segment, group = job.run()
        record.add(segment, 0)
    return record
