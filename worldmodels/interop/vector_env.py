"""Many cars of CarRacing as Gymnasium's `VectorEnv`, for other projects' training loops."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.seeding import np_random as seeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from worldmodels.environment.actions import HIGHEST, LOWEST
from worldmodels.environment.interface import SIZE
from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.environment.picture.track import track_drawn_by, track_of
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.pipeline.errors import UserError


class CarRacingVectorEnv(gymnasium.vector.VectorEnv):
    """`num_envs` of `WorldModels/CarRacing-v3`, bit for bit as in Gymnasium's `SyncVectorEnv`.

    `gymnasium.make_vec("worldmodels.environment:WorldModels/CarRacing-v3", num_envs=64,
    vectorization_mode="vector_entry_point")` makes one. Observation uint8 [n, 64, 64, 3], action
    float32 [n, 3], reward float64 [n], as `DrawnCarRacing` says; `truncated` after
    `max_episode_steps`. `infos["lap_finished"]` is as CarRacing tells it, where an episode ends by
    itself.

    `reset(seed=s)` gives environment i the seed s + i; a list gives each its own. Later episodes
    drive on tracks that the environment's generator draws, as Gymnasium's do, which takes 5 ms
    each; or, faster, on tracks that it picks from the seeds in `tracks`. All three autoreset modes
    work; when it is disabled, `options={"reset_mask": ended}` resets where `ended` is true.

    `threads` step a share of the environments each; no result depends on their number.
    """

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int = 1000,
        tracks: Sequence[int] | None = None,
        threads: int = 1,
    ):
        """Raises UserError for no tracks, and where Box2D rounds differently from our physics."""
        if not agrees_with_box2d():
            raise UserError(
                "Box2D of this machine rounds differently from the fast physics: use Gymnasium's "
                "AsyncVectorEnv of WorldModels/CarRacing-v3"
            )
        if tracks is not None and not len(tracks):
            raise UserError("tracks is empty: name the seeds of some, or leave it out")
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        low, high = LOWEST.astype(np.float32), HIGHEST.astype(np.float32)
        self.single_action_space = gymnasium.spaces.Box(low, high)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.max_episode_steps, self.tracks = max_episode_steps, tracks
        self.shards = [Shard(part) for part in np.array_split(np.arange(num_envs), threads)]
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.generators = [seeded(None)[0] for _ in range(num_envs)]
        self.steps = np.full(num_envs, -1)  # before the first reset
        self.over = np.zeros(num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes, or those that `options["reset_mask"]`, bool [n], chooses.

        Raises ValueError for a mask of another kind, or that chooses none, and for another number
        of seeds.
        """
        n, seeds = self.num_envs, _one_each(seed, self.num_envs)
        chosen = np.asarray((options or {}).get("reset_mask", np.ones(n, dtype=bool)))
        if chosen.shape != (n,) or chosen.dtype != bool or not chosen.any():
            raise ValueError(f"reset_mask {chosen!r}: give bool [{n}], true where to reset")
        for index in np.flatnonzero(chosen).tolist():
            if seeds[index] is not None:
                self.generators[index] = seeded(seeds[index])[0]
        self._begin(chosen, np.array([one is not None for one in seeds]))
        return self._observations(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every environment by `actions` [n, 3].

        Raises ResetNeeded before the first reset of an environment, and ValueError for actions of
        another shape, for one that is not finite, and where autoreset is disabled, for an
        environment whose episode is over.
        """
        if (self.steps < 0).any():
            raise ResetNeeded(
                f"the environments {np.flatnonzero(self.steps < 0).tolist()} have not been reset"
            )
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions {actions.shape}: give {self.action_space.shape}")
        mode, begun = self.autoreset_mode, self.over.copy()
        if mode is AutoresetMode.DISABLED and begun.any():
            raise ValueError(
                f"the episodes of {np.flatnonzero(begun).tolist()} are over: reset them by "
                'options={"reset_mask": …} before the next step'
            )
        rewards, terminated = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        self._run(lambda shard: shard.step(~begun, actions, rewards, terminated))
        self.steps[~begun] += 1
        truncated = (self.steps >= self.max_episode_steps) & ~begun
        self.over = terminated | truncated
        infos: dict[str, Any] = {}
        told = {index: self._told(index) for index in np.flatnonzero(terminated).tolist()}
        if mode is AutoresetMode.NEXT_STEP and begun.any():
            self._begin(begun)
        if mode is AutoresetMode.SAME_STEP and self.over.any():
            last = self._observations()
            for index in np.flatnonzero(self.over).tolist():
                final = {"final_obs": last[index], "final_info": told.get(index, {})}
                infos = self._add_info(infos, final, index)
            self._begin(self.over.copy())
        else:
            for index, info in told.items():
                infos = self._add_info(infos, info, index)
        return self._observations(), rewards, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if self.pool is not None:
            self.pool.shutdown()

    def _begin(self, chosen: np.ndarray, own_track: np.ndarray | None = None) -> None:
        """Begin the episodes of the environments `chosen` [n]; where `own_track` [n] is true, on
        the track that the environment's generator draws, whatever `tracks` says."""

        def begin(shard: "Shard") -> None:
            for slot, index in enumerate(shard.indices):
                if not chosen[index]:
                    continue
                rng = self.generators[index]
                if self.tracks is not None and not (own_track is not None and own_track[index]):
                    track = track_of(int(self.tracks[rng.integers(len(self.tracks))]))
                else:
                    track = track_drawn_by(rng)
                shard.cars.begin_on(slot, track)

        self._run(begin)
        self.steps[chosen], self.over[chosen] = 0, False

    def _run(self, work: Callable[["Shard"], None]) -> None:
        """Let each shard do its work, in threads if there are several."""
        run = map if self.pool is None else self.pool.map
        list(run(work, self.shards))

    def _told(self, index: int) -> dict[str, Any]:
        """What CarRacing says of an episode that it terminated itself."""
        return {"lap_finished": any(shard.lap_finished(index) for shard in self.shards)}

    def _observations(self) -> np.ndarray:
        return np.concatenate([shard.cars.observations for shard in self.shards])


class Shard:
    """The environments `indices` [m] of a vector environment, stepped by one thread."""

    def __init__(self, indices: np.ndarray):
        self.indices = indices
        self.cars = VectorCarRacing(len(indices))

    def step(
        self, going: np.ndarray, actions: np.ndarray, rewards: np.ndarray, ended: np.ndarray
    ) -> None:
        """Step those that are `going` [n]; writes their `rewards` [n] and `ended` [n]."""
        slots = np.flatnonzero(going[self.indices])
        if len(slots):
            chosen = self.indices[slots]
            rewards[chosen], ended[chosen] = self.cars.step(slots, actions[chosen])

    def lap_finished(self, index: int) -> bool:
        """True if the environment `index` is here, and all of its tiles are visited."""
        (slots,) = np.nonzero(self.indices == index)
        return len(slots) == 1 and bool(self.cars.visited(int(slots[0])).all())


def _one_each(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """A seed for each of `count` environments; None leaves it its generator.

    Raises ValueError for a list of another length.
    """
    if seed is None:
        return [None] * count
    if isinstance(seed, int | np.integer):
        return [int(seed) + index for index in range(count)]
    if len(seed) != count:
        raise ValueError(f"{len(seed)} seeds for {count} environments: give one for each")
    return list(seed)
