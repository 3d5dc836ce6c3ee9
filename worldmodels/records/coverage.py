"""What a record of driving shows: speed, ground under the wheels, tiles visited."""

import numpy as np
from gymnasium.envs.box2d.car_racing import FPS

from worldmodels.records.scenes import Scenes


def coverage(scenes: Scenes) -> tuple[dict[str, float], list[dict[str, int]]]:
    """What the record shows: figures, and a histogram of the speed on road, edge and grass."""
    hull = scenes.poses["hull"]
    same = np.diff(scenes.episode_of) == 0
    speed = np.linalg.norm(np.diff(hull[:, :2], axis=0), axis=1)[same] * FPS
    turn = np.abs(np.diff(hull[:, 2]))[same] * FPS
    on_road = scenes.poses["on_road"][:-1][same]
    tiles = np.array([len(touched) for touched in scenes.touched_at])
    visits = np.rint((np.maximum(scenes.rewards, -0.1) + 0.1) * tiles[scenes.episode_of] / 1000)
    visited = np.bincount(scenes.episode_of, visits) / tiles
    grounds = {
        "on_road": on_road == 4,
        "on_edge": (on_road > 0) & (on_road < 4),
        "on_grass": on_road == 0,
    }
    metrics = {
        "frames": len(scenes),
        "episodes": len(tiles),
        "share_by_agent": float(np.repeat(scenes.drivers, scenes.lengths).tolist().count("agent"))
        / len(scenes),
        "speed_mean_m_per_s": float(speed.mean()),
        "speed_p95_m_per_s": float(np.percentile(speed, 95)),
        "share_standing": float((speed < 1).mean()),
        "share_spinning": float((turn > 2).mean()),
        "share_turning_at_speed": float(((turn > 0.5) & (speed > 30) & (on_road > 0)).mean()),
        **{f"share_{name}": float(where.mean()) for name, where in grounds.items()},
        "tiles_visited_mean": float(visited.mean()),
        "tiles_visited_max": float(visited.max()),
    }
    edges = np.arange(0, 111, 5)
    counts = {name: np.histogram(speed[where], edges)[0] for name, where in grounds.items()}
    rows = [
        {"speed_m_per_s": int(low), **{name: int(counts[name][i]) for name in grounds}}
        for i, low in enumerate(edges[:-1])
    ]
    return metrics, rows
