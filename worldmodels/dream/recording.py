"""Record the real track while C learns in the dream: a segment at a time, with C's noise.

Groups of environments go on from segment to segment, so that all parts of a track are recorded and
C's newest mistakes with them. In a share of the cars the explorer takes the wheel now and then: a
record in which C corrects whatever happens teaches M that cars stay on the road, whatever the
wheel does. Nothing here changes C.
"""

from dataclasses import dataclass

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.agent.driver import AgentDriver
from worldmodels.control.controller import outputs
from worldmodels.dream.disturbances import HasteConfig, TakeoverConfig, Takeovers
from worldmodels.driving.limits import Limits, idle_steps
from worldmodels.environment.actions import squash
from worldmodels.environment.frames import POSE_DTYPE
from worldmodels.environment.interface import ACTION_SIZE, VectorEnv
from worldmodels.environment.make import make_vector_env
from worldmodels.environment.rewards import LAP_REWARD, STEP_COST
from worldmodels.memory.step import MemoryState

LEVELS = 8  # of noise
LAP = 0.9  # share of the tiles, after which a car has finished its lap


def has_come_round(returned: float, steps: int) -> bool:
    """True if a car has visited the share LAP of the tiles or more, by its return after `steps`.

    A car that missed tiles goes round again, and is paid nothing for tiles that it visited before.
    """
    return (returned + STEP_COST * steps) / LAP_REWARD >= LAP


@dataclass
class RecordingGroup:
    """N environments between two segments, their memories, and the state of each episode [N]."""

    env: VectorEnv
    memory: MemoryState
    tracks: np.ndarray
    steps: np.ndarray
    idle: np.ndarray  # steps without a new tile
    returns: np.ndarray
    takeovers: Takeovers


@dataclass(frozen=True)
class EpisodeEnd:
    """The end of an episode in slot `slot`, with step `step` of the segment as its last.

    `terminated`: the environment ended it. `lost`: the car left the playfield, or was cut off for
    its idle steps before it had finished its lap; `came_round`: cut off for them after its lap, on
    road that it had driven before. `score` as `Limits.score`; `track` and `touched_at` as in
    `records.Episode`.
    """

    slot: int
    step: int
    terminated: bool
    lost: bool
    came_round: bool
    score: float
    track: int
    touched_at: np.ndarray


@dataclass(frozen=True)
class Segment:
    """T steps of N environments, [T, N, ...]: what each showed (`poses`, and its latents `mu`
    float32), the `actions` float16 then applied, their `rewards`, and the `ends` of
    episodes. `by_c`: C decided the step, with its noise if any, without haste or the explorer.

    `tracks` [N] and `touched_at` are those of the episodes under way at the end.
    """

    poses: np.ndarray
    mu: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    by_c: np.ndarray
    ends: list[EpisodeEnd]
    tracks: np.ndarray
    touched_at: list[np.ndarray]


@dataclass(frozen=True)
class RecordSegmentJob:
    """Drive `steps` steps in `envs` environments with the one controller of `agent`.

    C alone drives the share `undisturbed` of the cars, as it will be judged. In some of the others
    the explorer takes the wheel now and then, see `takeovers`. In the rest, Gaussian noise, before
    the action map, is held for `hold` steps; its std rises from 0 to `noise` over every LEVELS
    cars. By `haste`, some of these are driven faster than C would: M learns what that is like
    before C does. Episodes begin on one of `tracks`, drawn by `rng`, and end at the `limits`.
    `takeovers` is for new groups; `group` is None for the first segment.
    """

    agent: Agent
    envs: int
    steps: int
    undisturbed: float
    hold: int
    noise: float
    limits: Limits
    rng: np.random.Generator
    tracks: list[int]
    haste: HasteConfig
    takeovers: TakeoverConfig
    group: RecordingGroup | None
    device: str
    title: str

    def __str__(self) -> str:
        return self.title

    @property
    def disturbed(self) -> int:
        """The number of cars that C does not drive alone."""
        return round((1 - self.undisturbed) * self.envs)

    def run(self) -> tuple[Segment, RecordingGroup]:
        """The segment, and the group as it leaves it."""
        envs, rng = self.envs, self.rng
        driver = AgentDriver(self.agent, envs, int(rng.integers(1 << 31)), self.device)
        for slot in range(envs):  # seeds the samples of z; the memories come from the group
            driver.start(slot, 0, slot)
        group = self.group or self._new_group(driver)
        driver.memory = group.memory
        shape = self.steps, envs
        poses, rewards = np.zeros(shape, POSE_DTYPE), np.zeros(shape, np.float32)
        latents = self.agent.config.latent_size
        mu = np.zeros((*shape, latents), np.float32)
        taken = np.zeros((*shape, ACTION_SIZE), np.float16)
        by_c = np.zeros(shape, bool)
        ends: list[EpisodeEnd] = []
        slots, candidates = np.arange(envs), np.zeros(envs, dtype=np.int64)
        perturbed = ((slots >= group.takeovers.cars) & (slots < self.disturbed))[:, None]
        noise = self.noise * perturbed * (slots % LEVELS / (LEVELS - 1))[:, None]
        for step in range(self.steps):
            if step % self.haste.steps == 0:
                haste = perturbed * self.haste.draw(envs, rng)
            if step % self.hold == 0:
                held = noise * rng.standard_normal((envs, ACTION_SIZE))
            features = driver.features(slots, group.env.observations)
            raw = outputs(self.agent.parameters, candidates, features, driver.hidden_units)
            # Rounded, so that the record has exactly what was applied
            squashed = squash(raw + held + haste)
            actions = group.takeovers.step(squashed, rng).astype(np.float16)
            by_c[step] = ~(group.takeovers.by_explorer(envs) | haste.any(axis=1))
            poses[step], mu[step], taken[step] = (
                group.env.poses,
                features[:, :latents],
                actions,
            )
            driver.remember(slots, actions.astype(np.float32))
            rewards[step], over = self._step(group, step, actions.astype(np.float32), ends)
            for slot in over:
                self._start(group, slot)
                driver.start(slot, 0, (step + 1) * envs + slot)
        group.memory = driver.memory
        touched = [group.env.touched_at(slot) for slot in range(envs)]
        tracks = group.tracks.copy()
        return Segment(poses, mu, taken, rewards, by_c, ends, tracks, touched), group

    def _step(
        self, group: RecordingGroup, step: int, actions: np.ndarray, ends: list[EpisodeEnd]
    ) -> tuple[np.ndarray, list[int]]:
        """Step all environments; add the episodes that end to `ends`. Returns the rewards and the
        slots whose episodes are over."""
        rewards, ended = group.env.step(np.arange(len(actions)), actions)
        group.steps += 1
        group.returns += rewards
        group.idle = idle_steps(group.idle, rewards)
        hopeless = self.limits.hopeless(group.idle)
        over = np.flatnonzero(ended | hopeless | (group.steps >= self.limits.horizon)).tolist()
        for slot in over:
            terminated, steps = bool(ended[slot]), int(group.steps[slot])
            returned = float(group.returns[slot])
            came_round = bool(hopeless[slot]) and has_come_round(returned, steps)
            ends.append(
                EpisodeEnd(
                    slot=slot,
                    step=step,
                    terminated=terminated,
                    lost=(bool(hopeless[slot]) and not came_round)
                    or (terminated and rewards[slot] < 0),
                    came_round=came_round,
                    score=float(self.limits.score(returned, steps, terminated)),
                    track=int(group.tracks[slot]),
                    touched_at=group.env.touched_at(slot),
                )
            )
        return rewards, over

    def _new_group(self, driver: AgentDriver) -> RecordingGroup:
        envs = self.envs
        group = RecordingGroup(
            env=make_vector_env("drawn", envs),
            memory=driver.memory,
            tracks=np.zeros(envs, dtype=np.int64),
            steps=np.zeros(envs, dtype=np.int64),
            idle=np.zeros(envs, dtype=np.int64),
            returns=np.zeros(envs),
            takeovers=Takeovers(self.takeovers, self.disturbed, self.rng),
        )
        for slot in range(envs):
            self._start(group, slot)
        return group

    def _start(self, group: RecordingGroup, slot: int) -> None:
        """Begin an episode in a slot, on a track drawn at random."""
        track = self.tracks[int(self.rng.integers(len(self.tracks)))]
        group.env.reset(slot, track)
        group.tracks[slot] = track
        group.steps[slot] = group.idle[slot] = 0
        group.returns[slot] = 0.0
