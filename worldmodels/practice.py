"""Drive with noise, a segment at a time, and note what a policy gradient learns from.

A group of cars goes on from segment to segment, so that all parts of a track are practised. The
reward is the environment's, with prices of its own for what the return punishes late: a car that
is lost, and a tile that is left behind, without which no lap is whole.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from worldmodels.agent import Agent, AgentDriver
from worldmodels.controller import ACTIONS
from worldmodels.environment.fleet import SITUATION, Fleet

LAP = 0.9  # of the tiles: who has so many and finds no more has come round, and is not lost
NEAR = 60  # tiles: one farther ahead is touched across the grass, from the road beside it
LATE = 5  # tiles behind the foremost, after which one that is not touched is left behind

# How a decision ends. CUT: what comes after is not seen, but comes.
GOES_ON, LOST, CUT = range(3)


class Rules(NamedTuple):
    """How a segment of `steps` is driven, and what counts in it, in points of return.

    Each `hold` steps share their noise, whose standard deviation before the squashing is `noise`;
    an episode ends after `horizon` steps, or `patience` steps without a new tile.
    """

    steps: int
    hold: int
    noise: float
    horizon: int
    patience: int
    discount: float
    lost_cost: float
    missed_cost: float


@dataclass
class Group:
    """Cars on their way between two segments, with M's state and their episodes so far."""

    fleet: Fleet
    hidden: torch.Tensor
    cell: torch.Tensor
    steps: np.ndarray
    since_tile: np.ndarray  # steps
    returns: np.ndarray
    foremost: np.ndarray  # the tile that is the farthest touched
    missed: np.ndarray  # tiles left behind


class Experience(NamedTuple):
    """What a segment teaches, by decision: noise held for some steps, D of them in N cars.

    `features` [D, N, K] are the actor's, their mean over the decision's steps, and `raw` [D, N, 3]
    the actions before the squashing, likewise. `seen` [D, N, L] are the critic's, at its start,
    with the car's situation, which C is not told: the critic only serves while C learns (Pinto et
    al. 2017). `reward` [D, N] is summed with the discount; `end` [D, N] is GOES_ON, LOST or CUT;
    `counts` [D, N]: whether anything was driven that can be learnt from. `returns` [E] are those
    of the episodes that ended, with noise and not charged for the frames after a cut.
    """

    features: np.ndarray
    raw: np.ndarray
    seen: np.ndarray
    reward: np.ndarray
    end: np.ndarray
    counts: np.ndarray
    returns: np.ndarray


class View(NamedTuple):
    """Features f are seen as basis (f - centre): `basis` [K, F], `centre` [F]."""

    basis: np.ndarray
    centre: np.ndarray

    def of(self, features: np.ndarray) -> np.ndarray:
        """Features [n, F] as they are seen, [n, K]."""
        return (features - self.centre) @ self.basis.T


class Log:
    """Arrays over the steps [T] of a segment."""

    def __init__(self, steps: int, cars: int, actor: int, critic: int):
        self.features = np.zeros((steps, cars, actor), dtype=np.float32)
        self.seen = np.zeros((steps, cars, critic), dtype=np.float32)
        self.raw = np.zeros((steps, cars, ACTIONS), dtype=np.float32)
        self.reward = np.zeros((steps, cars))
        self.end = np.full((steps, cars), GOES_ON, dtype=np.int8)
        self.counts = np.ones((steps, cars), dtype=bool)


def squash(raw: np.ndarray) -> np.ndarray:
    """The actions [n, 3] of C's outputs [n, 3] before the squashing; see `controller.act`."""
    out = np.tanh(raw)
    out[:, 1] = (out[:, 1] + 1) / 2
    return np.clip(out, [-1, 0, 0], 1).astype(np.float32)


def practise(
    agent: Agent,
    views: tuple[View, View],
    rules: Rules,
    tracks: list[int],
    rng: np.random.Generator,
    cars: int,
    group: Group | None,
    device: str = "cpu",
) -> tuple[Experience, Group]:
    """Drive one segment; a plain function for a worker.

    `agent` has the one controller that is practised, `views` what actor and critic see of its
    features. Episodes begin on `tracks`, as `rng` draws. `group` is None for the first segment, in
    which `cars` cars start.
    """
    driver = AgentDriver(agent, cars, int(rng.integers(1 << 31)), device)
    for slot in range(cars):
        driver.start(slot, 0, slot)
    group = group or _new_group(driver, cars, tracks, rng)
    driver.hidden, driver.cell = group.hidden, group.cell
    actor, critic = views
    log = Log(rules.steps, cars, len(actor.basis), len(critic.basis) + SITUATION)
    weights = agent.parameters[0][:-ACTIONS].reshape(ACTIONS, -1)
    bias = agent.parameters[0][-ACTIONS:]
    slots, returns = np.arange(cars), []
    for step in range(rules.steps):
        if step % rules.hold == 0:
            held = rules.noise * rng.standard_normal((cars, ACTIONS))
        features = driver.features(slots, group.fleet.observations)
        situation = group.fleet.situation(group.foremost)
        log.features[step] = actor.of(features)
        log.seen[step] = np.concatenate([critic.of(features), situation], axis=1)
        log.raw[step] = raw = features @ weights.T + bias + held
        actions = squash(raw)
        driver.took(slots, actions)
        for slot in drive_step(group, log, step, actions, rules):
            returns.append(group.returns[slot])
            _start(group, slot, tracks, rng)
            driver.start(slot, 0, (step + 1) * cars + slot)
    group.hidden, group.cell = driver.hidden, driver.cell
    return _by_decision(log, rules, np.array(returns)), group


def _new_group(
    driver: AgentDriver, cars: int, tracks: list[int], rng: np.random.Generator
) -> Group:
    """Cars at the start of their first episodes."""
    steps, since_tile, foremost, missed = np.zeros((4, cars), dtype=np.int64)
    motion = Fleet(cars), driver.hidden, driver.cell
    group = Group(*motion, steps, since_tile, np.zeros(cars), foremost, missed)
    for slot in range(cars):
        _start(group, slot, tracks, rng)
    return group


def _start(group: Group, slot: int, tracks: list[int], rng: np.random.Generator) -> None:
    """Begin an episode on one of the tracks."""
    group.fleet.reset(slot, tracks[rng.integers(len(tracks))])
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
    over = np.flatnonzero(ended | (group.steps >= rules.horizon) | hopeless).tolist()
    for slot in over:
        _note_end(log, group, step, slot, bool(ended[slot]), bool(hopeless[slot]), rules)
    return over


def take_missed(group: Group, slot: int) -> int:
    """How many more tiles have been left behind by the car in `slot`, which has touched one."""
    visited = group.fleet.visited(slot)
    front = group.foremost[slot]
    group.foremost[slot] = front + np.flatnonzero(visited[front : front + NEAR]).max(initial=0)
    missed = int((~visited[: max(group.foremost[slot] - LATE, 0)]).sum())
    more = max(missed - group.missed[slot], 0)
    group.missed[slot] = missed
    return more


def _note_end(
    log: Log, group: Group, step: int, slot: int, ended: bool, hopeless: bool, rules: Rules
) -> None:
    """Write into the log how the episode in `slot` ended at `step`."""
    visited = group.fleet.visited(slot)
    came_round = visited.sum() > LAP * len(visited)
    if ended and not visited.all():  # off the playfield
        log.end[step, slot] = LOST
        log.reward[step, slot] = -rules.lost_cost
    elif ended or not hopeless:
        log.end[step, slot] = CUT
    elif came_round:  # what it drove since its last tile had nothing left to find
        last = max(step - group.since_tile[slot], 0)
        log.end[[last, step], slot] = CUT
        log.counts[last : step + 1, slot] = False
    else:
        log.end[step, slot] = LOST
        log.reward[step, slot] -= rules.lost_cost


def _by_decision(log: Log, rules: Rules, returns: np.ndarray) -> Experience:
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
    end[-1] = np.where(end[-1] == GOES_ON, CUT, end[-1])
    return Experience(
        features=mean(log.features),
        raw=mean(log.raw),
        seen=log.seen[:: rules.hold],
        reward=np.einsum("dhn,h->dn", log.reward.reshape(shape) * counted, discounts),
        end=end,
        counts=counted.any(axis=1),
        returns=returns,
    )
