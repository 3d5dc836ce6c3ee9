"""Make CarRacing's environments: many in slots, drawn by us or by Gymnasium."""

from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np

from worldmodels.environment.car_racing import DrawnCarRacing, make_official
from worldmodels.environment.interface import SIZE, VectorEnv
from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.environment.picture.pose import POSE_DTYPE
from worldmodels.environment.privileged import Privileged, PrivilegedConfig
from worldmodels.environment.vector_env import VectorCarRacing

Picture = Literal["drawn", "official"]


class OneByOne:
    """Environments of Gymnasium as a `VectorEnv`, stepped one after the other.

    Only those that draw our picture have poses and can be recorded.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], slots: int):
        self.make_env = make_env
        self.envs: list[gymnasium.Env | None] = [None] * slots
        self.observations = np.zeros((slots, SIZE, SIZE, 3), dtype=np.uint8)
        self.poses = np.zeros(slots, dtype=POSE_DTYPE)

    def reset(self, slot: int, seed: int) -> None:
        """Begin the episode on the track of `seed`."""
        env = self.envs[slot] = self.envs[slot] or self.make_env()
        self.observations[slot], _ = env.reset(seed=seed)
        self._copy_pose(slot)

    def step(self, slots: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step the environments in `slots` [n] by `actions` [n, 3]; returns rewards [n] and ends,
        bool [n]."""
        rewards, ended = np.empty(len(slots)), np.empty(len(slots), dtype=bool)
        for n, (slot, action) in enumerate(zip(slots, actions)):
            env = self.envs[slot]
            assert env is not None
            self.observations[slot], rewards[n], ended[n], _, _ = env.step(action)
            self._copy_pose(slot)
        return rewards, ended

    def touched_at(self, slot: int) -> np.ndarray:
        """The frame [N] from which each tile looks touched."""
        return self._unwrapped(slot).touched_at.copy()

    def _copy_pose(self, slot: int) -> None:
        if isinstance(env := self._unwrapped(slot), DrawnCarRacing):
            self.poses[slot] = env.pose

    def _unwrapped(self, slot: int) -> Any:
        env = self.envs[slot]
        assert env is not None
        return env.unwrapped


def make_vector_env(picture: Picture, slots: int) -> VectorEnv:
    """`slots` environments with our picture ("drawn") or Gymnasium's ("official").

    Where Box2D rounds differently from our physics, it drives the drawn ones too.
    """
    if picture == "official":
        return OneByOne(make_official, slots)
    return VectorCarRacing(slots) if agrees_with_box2d() else OneByOne(DrawnCarRacing, slots)


def make_privileged(slots: int, config: PrivilegedConfig) -> Privileged:
    """`slots` environments with our picture and our physics, in `.env`, and what practice may know
    of them. Where Box2D rounds differently, the cars drive by our physics all the same."""
    return Privileged(VectorCarRacing(slots), config)
