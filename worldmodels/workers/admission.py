"""What a machine must have in common with this one, for its results to be the same bytes."""

import hashlib
import os
import platform
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.environment.make import make_vector_env
from worldmodels.pipeline.portability import SETTINGS
from worldmodels.pipeline.provenance import processor, versions
from worldmodels.policies.random_networks import random_agent
from worldmodels.runtime.cores import one_thread

PACKAGE = Path(__file__).resolve().parent.parent
STEPS, TRACKS = 20, (1, 2)  # of the reference drive


@dataclass(frozen=True)
class Identity:
    """Everything about a machine that results depend on: versions, code, and the bits of a
    reference drive, by precision of V."""

    versions: dict[str, str]
    code: str
    bits: dict[str, str]
    processor: str

    @property
    def mark(self) -> str:
        """A digest of all but the processor, which differs where results do not."""
        alike = (sorted(self.versions.items()), self.code, sorted(self.bits.items()))
        return hashlib.sha256(repr(alike).encode()).hexdigest()[:12]

    def differences(self, other: "Identity") -> list[str]:
        """What the `other` machine has that this one has not, in words; empty if it may join."""
        found = [
            f"{name} {other.versions.get(name, 'missing')}, not {version}"
            for name, version in self.versions.items()
            if other.versions.get(name) != version
        ]
        if other.code != self.code:
            found.append("other code in worldmodels: check out the same commit there")
        if found:  # other bits follow from those
            return found
        return [
            f"its processor ({other.processor}) computes other bits in {precision}: set "
            "machine.portable to true, and start the workers with "
            + " ".join(f"{name}='{value}'" for name, value in SETTINGS.items())
            for precision, digest in self.bits.items()
            if other.bits.get(precision) != digest
        ]


@cache
def identity() -> Identity:
    """That of this machine. The first call in a process drives for a second, or for a minute
    where the environment is yet to be compiled."""
    kinds = ("float32",) if is_portable() else ("float32", "bfloat16")
    return Identity(
        versions=versions() | {"python": platform.python_version()},
        code=code_digest(),
        bits={kind: reference_bits(kind) for kind in kinds},
        processor=processor(),
    )


def is_portable() -> bool:
    """True if this process runs under the settings of `machine.portable`."""
    return all(os.environ.get(name) == value for name, value in SETTINGS.items())


def code_digest(package: Path = PACKAGE) -> str:
    """A digest of all code of `package`."""
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return total.hexdigest()


@one_thread()
def reference_bits(precision: str) -> str:
    """A digest of all that an agent of random weights sees, remembers and does in a short drive.

    It passes through the physics, the picture, V in `precision`, M and C, on one thread, as jobs
    do.
    """
    agent = reference_agent(precision)
    env, slots = make_vector_env("drawn", len(TRACKS)), np.arange(len(TRACKS))
    driver = AgentDriver(agent, len(TRACKS), noise_seed=1, device="cpu")
    for slot, track in enumerate(TRACKS):
        env.reset(slot, track)
        driver.start(slot, candidate=0, episode=track)
    total = hashlib.sha256()
    for _ in range(STEPS):
        actions = driver.act(slots, env.observations)
        driver.remember(slots, actions)
        rewards, _ = env.step(slots, actions)
        for bits in (driver.z.numpy(), actions, rewards, env.poses, env.observations):
            total.update(bits.tobytes())
    return total.hexdigest()


def reference_agent(precision: str) -> Agent:
    """An agent of random weights, the same everywhere, whose V sees in `precision`."""
    with torch.random.fork_rng(devices=[]):  # building networks draws from torch's generator
        agent = random_agent(np.random.default_rng(1))
    return replace(agent, config=agent.config.model_copy(update={"precision": precision}))
