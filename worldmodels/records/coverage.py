"""Statistics of a record of driving: speed, ground under the wheels, tiles visited."""

import numpy as np

from worldmodels.environment.frames import FRAMES_PER_SECOND
from worldmodels.environment.rewards import LAP_REWARD, STEP_COST
from worldmodels.pipeline.errors import UserError
from worldmodels.records.scenes import Scenes

STANDING = 1.0  # m/s; below it the picture hardly changes from frame to frame
SPINNING = 2.0  # rad/s: a full turn in three seconds, which no bend of a track asks for
# A fast bend, which M has to know and slow drivers never meet: 0.5 rad/s at 30 m/s is a radius of
# 60 m.
TURNING, AT_SPEED = 0.5, 30.0  # rad/s, m/s
SPEEDS = np.arange(0, 111, 5)  # m/s; the edges of the histogram


def coverage(scenes: Scenes) -> tuple[dict[str, float], list[dict[str, int]]]:
    """Return statistics of the record, and the histogram of its speeds per kind of ground.

    Speeds are differences of poses, so the last frame of an episode has none. The histogram has a
    row per 5 m/s: its lower edge `speed_m_per_s`, and how many frames are on road (four wheels on
    tiles), edge and grass (none). Raises UserError if no episode has two frames.
    """
    hull = scenes.poses["hull"]
    same = np.diff(scenes.episode_of) == 0
    if not same.any():
        raise UserError("no episode of two frames or more was recorded: raise worlds.*.frames")
    speed = np.linalg.norm(np.diff(hull[:, :2], axis=0), axis=1)[same] * FRAMES_PER_SECOND
    turn = np.abs(np.diff(hull[:, 2]))[same] * FRAMES_PER_SECOND
    on_road = scenes.poses["on_road"][:-1][same]
    grounds = {
        "on_road": on_road == 4,
        "on_edge": (on_road > 0) & (on_road < 4),
        "on_grass": on_road == 0,
    }
    visited = share_of_tiles(scenes)
    by_agent = np.repeat(scenes.drivers, scenes.lengths).tolist().count("agent")
    fast_bend = (turn > TURNING) & (speed > AT_SPEED) & (on_road > 0)
    metrics = {
        "frames": len(scenes),
        "episodes": len(scenes.lengths),
        "share_by_agent": float(by_agent) / len(scenes),
        "speed_mean_m_per_s": float(speed.mean()),
        "speed_p95_m_per_s": float(np.percentile(speed, 95)),
        "share_standing": float((speed < STANDING).mean()),
        "share_spinning": float((turn > SPINNING).mean()),
        "share_turning_at_speed": float(fast_bend.mean()),
        **{f"share_{name}": float(where.mean()) for name, where in grounds.items()},
        "tiles_visited_mean": float(visited.mean()),
        "tiles_visited_max": float(visited.max()),
    }
    counts = {name: np.histogram(speed[where], SPEEDS)[0] for name, where in grounds.items()}
    rows = [
        {"speed_m_per_s": int(low), **{name: int(counts[name][i]) for name in grounds}}
        for i, low in enumerate(SPEEDS[:-1])
    ]
    return metrics, rows


def share_of_tiles(scenes: Scenes) -> np.ndarray:
    """Return the share of its track's tiles that each episode visited, [episodes].

    Counted from the rewards, since `touched_at` also knows the tiles that only the hull touched.
    A last reward of -100 for leaving the playfield hides the tiles of that step.
    """
    tiles = np.array([len(touched) for touched in scenes.touched_at])
    gained = np.maximum(scenes.rewards, -STEP_COST) + STEP_COST
    visits = np.rint(gained * tiles[scenes.episode_of] / LAP_REWARD)
    return np.bincount(scenes.episode_of, visits) / tiles
