"""The record that M learns from: the explorer's episodes first, then what C drives."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from worldmodels.dream.recording import Segment, has_come_round
from worldmodels.environment.frames import motion
from worldmodels.environment.rewards import LEFT_PLAYFIELD, STEP_COST, off_road
from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Episode

# Of a drive, one row per step
SERIES = ("mu", "motion", "actions", "rewards", "off_road", "by_c")


@dataclass
class Drive:
    """An episode as M learns from it, of T frames so far.

    `mu` [T, Z] and `motion` [T, MOTION_SIZE] of the frames (see `environment.frames`), `actions`
    [T, A], `rewards` [T], float32; `off_road` float32 [T]: how far the car is off the road after
    each step, see `environment.rewards`; `by_c` [T]: C decided the step, see `Segment`. `over`:
    nothing more will follow; `lost`: it ended with the car lost. `scene`: from which it can be
    drawn again; None for the explorer's, which are in the world's record. `until`: the number of
    steps that its environment had recorded by its last frame.
    """

    mu: np.ndarray
    motion: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    off_road: np.ndarray
    by_c: np.ndarray
    over: bool
    lost: bool
    scene: Episode | None
    until: int = 0

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def latents(self) -> np.ndarray:
        """The latents of the M that dreams, [T, Z + MOTION_SIZE]: mu and motion."""
        return np.concatenate([self.mu, self.motion], axis=1)

    @property
    def moved(self) -> np.ndarray:
        """The motion in each step [T, MOTION_SIZE]; in the last one: as in the one before it."""
        return np.concatenate([self.motion[1:], self.motion[-1:]])

    def end_with_the_last_tile(self) -> None:
        """Drop what a car drove after its lap: that road paid for tiles before and pays nothing
        now, and no picture shows the difference."""
        end = int(np.flatnonzero(self.rewards > 0)[-1]) + 1
        self.until -= len(self) - end
        for name in SERIES:
            setattr(self, name, getattr(self, name)[:end])

    def lost_from(self, delay: int) -> int:
        """The first step after which the car counts as lost: `delay` steps after the last tile, if
        it is lost at all, else the length."""
        if not self.lost:
            return len(self)
        tiles = np.flatnonzero(self.rewards > 0)
        return min((int(tiles[-1]) if len(tiles) else 0) + delay, len(self))


@dataclass
class Record:
    """All drives: the explorer's, of which there are `explored`, then those of C.

    `slots` has, for each recorded environment, the drive that is under way in it, if any, and
    `steps` the steps that it has recorded.
    """

    drives: list[Drive]
    explored: int
    slots: dict[int, int] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of_explorer(cls, latents: Latents, poses: np.ndarray, patience: int) -> "Record":
        """The explorer's episodes, those of lost cars cut `patience` steps after the last tile;
        `poses` [frames] are those of the latents' scenes.

        Raises UserError if no car is lost in them: M could not learn what a loss is.
        """
        drives = []
        starts = np.cumsum(latents.lengths) - latents.lengths
        for start, length in zip(starts, latents.lengths):
            rows = slice(start, start + length)
            rewards = latents.rewards[rows]
            terminated = bool(latents.terminated[start + length - 1])
            tiles = np.flatnonzero(rewards > 0)
            idle = int(length - 1 - (tiles[-1] if len(tiles) else -1))
            left_playfield = terminated and bool(rewards[-1] < 0)
            came_round = idle >= patience and has_come_round(float(rewards.sum()), int(length))
            lost = left_playfield or (idle >= patience and not came_round)
            end = int(length - max(idle - patience, 0)) if lost else int(length)
            rows = slice(start, start + end)
            drive = Drive(
                mu=latents.mu[rows].astype(np.float32),
                motion=motion(poses[rows]),
                actions=latents.actions[rows].astype(np.float32),
                rewards=as_driven(latents.rewards[rows]),
                off_road=off_road(poses[rows]),
                by_c=np.zeros(end, bool),
                over=True,
                lost=lost,
                scene=None,
            )
            if came_round:
                drive.end_with_the_last_tile()
            drives.append(drive)
        if not any(drive.lost for drive in drives):
            raise UserError(
                "no car is lost in the record, so that M could not learn what a loss is: record "
                "more frames, or raise sample.horizon"
            )
        return cls(drives, explored=len(drives))

    def add(self, segment: Segment, first_slot: int) -> None:
        """Add a segment, whose environments are the slots from `first_slot` on."""
        steps, envs = segment.rewards.shape
        begun = [0] * envs
        for end in segment.ends:
            part = slice(begun[end.slot], end.step + 1)
            begun[end.slot] = end.step + 1
            drive = self._extend(first_slot + end.slot, segment, end.slot, part, end.track)
            drive.over, drive.lost = True, end.lost
            if end.came_round:
                drive.end_with_the_last_tile()
            assert drive.scene is not None
            drive.scene = replace(
                drive.scene, terminated=end.terminated, touched_at=end.touched_at
            )
            del self.slots[first_slot + end.slot]
        for slot, start in enumerate(begun):
            if start < steps:
                part, track = slice(start, steps), int(segment.tracks[slot])
                drive = self._extend(first_slot + slot, segment, slot, part, track)
                assert drive.scene is not None
                drive.scene = replace(drive.scene, touched_at=segment.touched_at[slot])

    def _extend(self, slot: int, segment: Segment, column: int, part: slice, track: int) -> Drive:
        """Add steps of a segment to the drive under way in a slot, or to a new one."""
        self.steps[slot] = self.steps.get(slot, 0) + part.stop - part.start
        mu, taken = segment.mu[part, column], segment.actions[part, column]
        rewards, poses = segment.rewards[part, column], segment.poses[part, column]
        under_way = self.drives[self.slots[slot]] if slot in self.slots else None
        driven = under_way.scene if under_way is not None else None
        before = driven.poses[-1] if driven is not None else None
        more = Drive(
            mu=mu.copy(),
            motion=motion(poses, before),
            actions=taken.astype(np.float32),
            rewards=as_driven(rewards),
            off_road=off_road(poses),
            by_c=segment.by_c[part, column].copy(),
            over=False,
            lost=False,
            scene=Episode(track, "agent", poses.copy(), taken, rewards, False, np.zeros(0)),
            until=self.steps[slot],
        )
        if under_way is None:
            self.slots[slot] = len(self.drives)
            self.drives.append(more)
            return more
        drive = under_way
        drive.until = more.until
        assert drive.scene is not None and more.scene is not None
        for name in SERIES:
            joined = np.concatenate([getattr(drive, name), getattr(more, name)])
            setattr(drive, name, joined)
        scenes = drive.scene, more.scene
        drive.scene = replace(
            drive.scene,
            poses=np.concatenate([scene.poses for scene in scenes]),
            actions=np.concatenate([scene.actions for scene in scenes]),
            rewards=np.concatenate([scene.rewards for scene in scenes]),
        )
        return drive

    def scenes(self) -> list[Episode]:
        """The episodes that C drove, to be drawn again."""
        return [drive.scene for drive in self.drives if drive.scene is not None]

    def chosen(self, indices: list[int]) -> list[Drive]:
        """Drives to learn from, of two steps or more."""
        return [self.drives[index] for index in indices if len(self.drives[index]) > 1]

    def newest(self, frames: int) -> list[int]:
        """The drives of C that were under way in its last `frames` frames; all, if it has fewer.

        By when they ended: of those that began last, most are still short.
        """
        by_c = range(self.explored, len(self.drives))
        since = self._since(frames)
        return [index for index in by_c if self.drives[index].until > since]

    def newest_from(self, index: int, frames: int) -> int:
        """The first step of a drive that is among C's last `frames` frames."""
        drive = self.drives[index]
        return max(math.ceil(self._since(frames)) - (drive.until - len(drive)), 0)

    def _since(self, frames: int) -> float:
        """The steps that every environment had recorded before C's last `frames` frames."""
        return max(self.steps.values(), default=0) - frames / max(len(self.steps), 1)


def as_driven(rewards: np.ndarray) -> np.ndarray:
    """Rewards float32 without the one for leaving the playfield, which `lost_cost` stands for."""
    return np.where(rewards <= LEFT_PLAYFIELD, -STEP_COST, rewards).astype(np.float32)
