"""A vector environment of Gymnasium as Stable-Baselines3 wants one."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import VecEnv


class StableBaselinesVecEnv(VecEnv):
    """`envs`, whose autoreset is `SAME_STEP`: what follows an end is the next episode's first
    observation, and `infos[i]["terminal_observation"]` is the last one of the episode that ended.
    """

    def __init__(self, envs: gymnasium.vector.VectorEnv):
        """Raises ValueError for environments with another mode of autoreset."""
        if envs.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError(
                'Stable-Baselines3 expects autoreset_mode="SameStep": make the environments so'
            )
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """The first observations, on the tracks of the seeds that `seed` gave, if any."""
        seeds = [None if seed is None else int(seed) for seed in self._seeds]
        observations, _ = self.envs.reset(seed=None if None in seeds else seeds)  # type: ignore[arg-type]
        self._reset_seeds()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Note the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step by the actions that were noted."""
        observations, rewards, terminated, truncated, told = self.envs.step(self.actions)
        over = terminated | truncated
        final = told.get("final_info", {})
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(over):
            infos[index] = {
                "terminal_observation": told["final_obs"][index],
                "TimeLimit.truncated": bool(truncated[index] and not terminated[index]),
            }
            if terminated[index] and "lap_finished" in final:  # CarRacing tells
                infos[index]["lap_finished"] = bool(final["lap_finished"][index])
        return observations, rewards.astype(np.float32), over, infos

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute of the vector environment, for each of the `indices`."""
        if attr_name == "render_mode":
            return [None for _ in self._chosen(indices)]
        return [getattr(self.envs, attr_name) for _ in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the environments have no attributes of their own."""
        raise NotImplementedError(f"{attr_name}: the environments share one object")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refused: the environments have no methods of their own."""
        raise NotImplementedError(f"{method_name}: the environments share one object")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """False for each of the `indices`."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: Any) -> Sequence[int]:
        return list(self._get_indices(indices))
