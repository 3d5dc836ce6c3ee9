"""Drive with noise, a segment at a time, and note what a policy gradient learns from.

A group of cars goes on from segment to segment, so that all parts of a track are practised. The
reward is the environment's, with prices of its own for what the return punishes late: a car that
is lost, and a tile that is left behind, without which no lap is whole. Tracks on which a car was
lost lately are driven more often than others (as by Jiang et al. 2021): what a car does not know
shows on one lap in hundreds.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from worldmodels.agent.agent import Agent, AgentDriver
from worldmodels.control.controller import ACTIONS, outputs, squash
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.episodes import STEP_COST
from worldmodels.environment.privileged import SITUATION, nearest_tile, situation
from worldmodels.environment.vector_env import VectorCarRacing

NEAR = 60  # tiles: one farther ahead is touched across the grass, from the road beside it
LATE = 5  # tiles behind the foremost, after which one that is not touched is left behind
COAST = 15  # steps without a new tile, after which a car is looked at for having come round

# How a decision ends. TRUNCATED: something comes after, but is out of view.
GOES_ON, TERMINATED, TRUNCATED = range(3)


class Rules(NamedTuple):
    """How a segment of `steps` is driven, and what counts in it, in points of return.

    Each `hold` steps, of which `steps` is a multiple, share their noise, whose standard deviation
    before the squashing is `noise`; `discount` is a step's. An episode ends after `horizon` steps,
    or `patience` steps without a new tile. So large a share of the episodes as `replay_share` is
    driven where a car was lost, in one of the latest `replay_tracks` losses of its group.
    """

    steps: int
    hold: int
    noise: float
    horizon: int
    patience: int
    discount: float
    lost_cost: float
    missed_cost: float
    replay_share: float
    replay_tracks: int


@dataclass
class Group:
    """N cars between two segments: M's state [N, H], and of each its episode so far [N]."""

    fleet: VectorCarRacing
    hidden: torch.Tensor
    cell: torch.Tensor
    steps: np.ndarray
    since_tile: np.ndarray  # steps
    returns: np.ndarray
    foremost: np.ndarray  # the tile that is the farthest touched
    missed: np.ndarray  # tiles left behind
    tracks: np.ndarray
    lost_on: deque[int]  # the tracks of the latest losses, one as often as it was lost on


class Rollout(NamedTuple):
    """What a segment teaches, by decision: noise held for some steps, D of them in N cars.

    `features` [D, N, K] are the actor's, their mean over the decision's steps, and `raw` [D, N, 3]
    the actions before the squashing, likewise: exact for a linear actor, and for one with a hidden
    layer nearly so, since its features hardly change within a decision. `critic_inputs` [D, N, L]
    are those at its start, with the car's situation, which C is not told: the critic only serves
    while C learns (Pinto et al. 2017). `reward` [D, N] is summed with the discount; `end` [D, N]
    is GOES_ON, TERMINATED or TRUNCATED; `counts` [D, N]: whether anything was driven that can be
    learnt from. `scores` [E] are those of the episodes that ended, as `driving.Outcome` has them,
    but with noise.
    """

    features: np.ndarray
    raw: np.ndarray
    critic_inputs: np.ndarray
    reward: np.ndarray
    end: np.ndarray
    counts: np.ndarray
    scores: np.ndarray


class Log:
    """Arrays [T, N] or [T, N, …] over the T steps of a segment, as `Rollout` has them by
    decision; `scores` of the episodes that ended in it."""

    def __init__(self, steps: int, cars: int, critic_inputs: int):
        self.critic_inputs = np.zeros((steps, cars, critic_inputs), dtype=np.float32)
        self.raw = np.zeros((steps, cars, ACTIONS), dtype=np.float32)
        self.reward = np.zeros((steps, cars))
        self.end = np.full((steps, cars), GOES_ON, dtype=np.int8)
        self.counts = np.ones((steps, cars), dtype=bool)
        self.scores: list[float] = []


def practise(
    agent: Agent,
    space: SearchSpace,
    actor_inputs: int,
    rules: Rules,
    tracks: list[int],
    rng: np.random.Generator,
    cars: int,
    group: Group | None,
    device: str = "cpu",
) -> tuple[Rollout, Group]:
    """Drive one segment; a plain function for a worker.

    `agent` has the one controller that is practised; the critic sees its features as `space` does,
    the actor the first `actor_inputs` of them. Episodes begin on `tracks`, as `rng` draws. `group`
    is None for the first segment, in which `cars` cars start.
    """
    driver = AgentDriver(agent, cars, int(rng.integers(1 << 31)), device)
    for slot in range(cars):
        driver.start(slot, 0, slot)
    group = group or _new_group(driver, tracks, rules, rng)
    driver.hidden, driver.cell = group.hidden, group.cell
    log = Log(rules.steps, cars, len(space.basis) + SITUATION)
    slots, ours = np.arange(cars), np.zeros(cars, dtype=np.int64)
    for step in range(rules.steps):
        if step % rules.hold == 0:
            held = rules.noise * rng.standard_normal((cars, ACTIONS))
        features = driver.features(slots, group.fleet.observations)
        told = situation(group.fleet, group.foremost)
        log.critic_inputs[step] = np.concatenate([space.view(features), told], axis=1)
        raw = outputs(agent.parameters, ours, features, driver.hidden_units) + held
        log.raw[step] = raw
        actions = squash(raw)
        driver.took(slots, actions)
        for slot in drive_step(group, log, step, actions, rules):
            _start(group, slot, tracks, rules, rng)
            driver.start(slot, 0, (step + 1) * cars + slot)
    group.hidden, group.cell = driver.hidden, driver.cell
    return _by_decision(log, rules, actor_inputs), group


def _new_group(
    driver: AgentDriver, tracks: list[int], rules: Rules, rng: np.random.Generator
) -> Group:
    """Cars at the start of their first episodes."""
    cars = len(driver.hidden)
    group = Group(
        fleet=VectorCarRacing(cars),
        hidden=driver.hidden,
        cell=driver.cell,
        steps=np.zeros(cars, dtype=np.int64),
        since_tile=np.zeros(cars, dtype=np.int64),
        returns=np.zeros(cars),
        foremost=np.zeros(cars, dtype=np.int64),
        missed=np.zeros(cars, dtype=np.int64),
        tracks=np.zeros(cars, dtype=np.int64),
        lost_on=deque(maxlen=rules.replay_tracks),
    )
    for slot in range(cars):
        _start(group, slot, tracks, rules, rng)
    return group


def _start(
    group: Group, slot: int, tracks: list[int], rules: Rules, rng: np.random.Generator
) -> None:
    """Begin an episode on one of the tracks, or on one where a car was lost."""
    if group.lost_on and rng.random() < rules.replay_share:
        track = group.lost_on[rng.integers(len(group.lost_on))]
    else:
        track = tracks[rng.integers(len(tracks))]
    group.tracks[slot] = track
    group.fleet.reset(slot, track)
    for array in (group.steps, group.since_tile, group.returns, group.foremost, group.missed):
        array[slot] = 0


def drive_step(group: Group, log: Log, step: int, actions: np.ndarray, rules: Rules) -> list[int]:
    """One step of all cars into the log; returns the slots of those whose episodes are over."""
    rewards, ended = group.fleet.step(np.arange(len(actions)), actions)
    group.steps += 1
    group.returns += rewards
    group.since_tile = np.where(rewards > 0, 0, group.since_tile + 1)
    log.reward[step] = rewards
    for slot in np.flatnonzero(rewards > 0).tolist():
        log.reward[step, slot] -= rules.missed_cost * take_missed(group, slot)
    hopeless = (group.since_tile >= rules.patience) & (rules.patience > 0)
    came_round = np.zeros_like(ended)
    for slot in np.flatnonzero(group.since_tile >= COAST).tolist():
        came_round[slot] = has_come_round(group, slot)
    over = ended | (group.steps >= rules.horizon) | hopeless | came_round
    for slot in np.flatnonzero(over).tolist():
        if came_round[slot]:
            _note_lap(log, group, step, slot, rules)
        elif hopeless[slot] or (ended[slot] and not group.fleet.visited(slot).all()):
            _note_loss(log, group, step, slot, bool(ended[slot]), rules)
        else:
            log.end[step, slot] = TRUNCATED
        left = 0 if ended[slot] else rules.horizon - group.steps[slot]
        log.scores.append(float(group.returns[slot] - STEP_COST * left))
    return np.flatnonzero(over).tolist()


def has_come_round(group: Group, slot: int) -> bool:
    """Whether the car has left the last tiles of its lap behind and passed the first ones."""
    tiles = len(group.fleet.visited(slot))
    at_the_end = group.foremost[slot] >= tiles - 1 - LATE
    return bool(at_the_end and nearest_tile(group.fleet, slot) < tiles / 2)


def take_missed(group: Group, slot: int) -> int:
    """How many more tiles have been left behind by the car in `slot`, which has touched one."""
    visited = group.fleet.visited(slot)
    front = group.foremost[slot]
    group.foremost[slot] = front + np.flatnonzero(visited[front : front + NEAR]).max(initial=0)
    missed = int((~visited[: max(group.foremost[slot] - LATE, 0)]).sum())
    more = max(missed - group.missed[slot], 0)
    group.missed[slot] = missed
    return more


def _note_lap(log: Log, group: Group, step: int, slot: int, rules: Rules) -> None:
    """The car came round with tiles missed; what it drove since its last one teaches nothing."""
    last = step - int(group.since_tile[slot])
    if last >= 0:
        missed = int((~group.fleet.visited(slot)).sum()) - group.missed[slot]
        log.reward[last, slot] -= rules.missed_cost * missed
        log.end[last, slot] = TRUNCATED
    log.end[step, slot] = TRUNCATED
    log.counts[max(last + 1, 0) : step + 1, slot] = False


def _note_loss(
    log: Log, group: Group, step: int, slot: int, off_playfield: bool, rules: Rules
) -> None:
    """The car is lost; our price stands in for the environment's for leaving the playfield."""
    if off_playfield:
        log.reward[step, slot] = 0
    log.reward[step, slot] -= rules.lost_cost
    log.end[step, slot] = TERMINATED
    group.lost_on.append(int(group.tracks[slot]))


def _by_decision(log: Log, rules: Rules, actor_inputs: int) -> Rollout:
    """Sum up the steps of each decision; those after an end within it are left out."""
    steps, cars = log.reward.shape
    shape = steps // rules.hold, rules.hold, cars
    ends = log.end.reshape(shape)
    before_end = np.cumsum(ends != GOES_ON, axis=1) - (ends != GOES_ON) == 0
    counted = before_end & log.counts.reshape(shape)
    count = np.maximum(counted.sum(axis=1), 1)[..., None]
    discounts = rules.discount ** np.arange(rules.hold)

    def mean(array: np.ndarray) -> np.ndarray:
        split = array.reshape(*shape, -1)
        return ((split * counted[..., None]).sum(axis=1) / count).astype(np.float32)

    end = (ends * before_end).max(axis=1)
    end[-1] = np.where(end[-1] == GOES_ON, TRUNCATED, end[-1])
    return Rollout(
        features=mean(log.critic_inputs[:, :, :actor_inputs]),
        raw=mean(log.raw),
        critic_inputs=log.critic_inputs[:: rules.hold],
        reward=np.einsum("dhn,h->dn", log.reward.reshape(shape) * counted, discounts),
        end=end,
        counts=counted.any(axis=1),
        scores=np.array(log.scores),
    )
