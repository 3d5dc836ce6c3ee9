"""Measure everything in one run; write `results/benchmark.json` and `results/benchmark.png`."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import agents, cluster, dream, environments, memory, networks, vector
from commands.verify import machine
from worldmodels.pipeline.errors import user_errors
from worldmodels.pipeline.params import read_params
from worldmodels.pipeline.storage import write_json
from worldmodels.reports.plotting import save_figure
from worldmodels.runtime.cores import worker_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULT, CHART = Path("results/benchmark.json"), Path("results/benchmark.png")


def measure(round_name: str, dreamer: str | None) -> dict[str, Any]:
    """Return everything that is written, in one dictionary.

    Raises UserError if the round that learnt on the real track, or the one that learnt in the
    dream, has not been trained.
    """
    world = read_params()["rounds"][round_name]["world"]
    agent, scenes, latents = networks.load_round(round_name, world)
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "machine": machine() | {"cores": worker_count()},
        "round": round_name,
        "env_steps_per_s_per_core": environments.steps_per_second(5),
        "env_steps_per_s_through_gymnasium": vector.steps_per_second(3),
        "agent_steps_per_s": agents.steps_per_second(agent, 5),
        "agent_steps_per_s_of_one_worker_by_environments": agents.rates_by_environments(agent, 2),
        "agent_steps_per_s_by_workers": agents.rates_by_workers(agent, 3),
        "microseconds_per_agent_step": agents.where_time_goes(agent),
        "resets_per_s": environments.resets_per_second(3),
        "megabytes_per_environment": memory.measured(),
        "scenes_drawn_per_s_per_core": environments.drawing(scenes, 5),
        "encoded_frames_per_s_per_core": networks.encoding(agent, 5),
        "vae_training_frames_per_s": networks.training_vae(scenes, world, 3),
        "mdnrnn_training_steps_per_s": networks.training_mdnrnn(latents, world, 3),
    }
    found["search_generation"] = cluster.measure(agent)
    if dreamer is not None:
        found["dream_steps_per_s"] = dream.speeds(dreamer, 3, worker_count())
    speed = {
        str(dtype).removeprefix("torch."): networks.matrix_speed(dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    found["matrix_gigaflop_per_s_per_core"] = {name: s / 1e9 for name, s in speed.items()}
    found["encoder_microseconds_at_best"] = {
        name: networks.FLOP_PER_FRAME / s * 1e6 for name, s in speed.items()
    }
    steps, whole = found["env_steps_per_s_per_core"], found["agent_steps_per_s"]
    spent = found["microseconds_per_agent_step"]
    found["ratios"] = {
        "env_step_to_gymnasium": steps["ours"] / steps["gymnasium"],
        "env_step_to_envpool": steps["ours"] / steps["envpool"],
        "agent_step_to_usual_loop": whole["ours"] / whole["gymnasium"],
        "agent_step_to_envpool": whole["ours"] / whole["envpool"],
        "share_of_V": spent["V"] / sum(spent.values()),
    }
    return rounded(found)


def last_of_each_place() -> tuple[str, str | None]:
    """The last round that learns on the real track, and the last that learns in the dream, if
    any."""
    rounds = read_params()["rounds"].items()
    last = {entry["learned_in"]: name for name, entry in rounds}
    return last["real"], last.get("dream")


def rounded(value: Any) -> Any:
    """Round every float to four significant digits."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def plot(figure: "Figure", found: dict[str, Any]) -> None:
    """Plot the written numbers: speeds compared, the effect of batching, time spent."""
    left, middle, right = figure.subplots(1, 3)
    systems = ("gymnasium", "envpool", "ours")
    for offset, (key, label) in enumerate(
        [
            ("env_steps_per_s_per_core", "environment, one core"),
            ("agent_steps_per_s", f"agent, {found['machine']['cores']} cores"),
        ]
    ):
        places = [place + 0.4 * offset for place in range(3)]
        bars = left.bar(places, [found[key][name] for name in systems], 0.4, label=label)
        left.bar_label(bars, fmt="{:,.0f}", fontsize=8)
    left.set(yscale="log", ylabel="steps per s", title="Speed compared")
    left.set_ylim(top=3 * max(found["env_steps_per_s_per_core"].values()))  # room for a number
    left.set_xticks([0.2, 1.2, 2.2], systems)
    left.legend(loc="upper left", fontsize=8)
    batches = found["agent_steps_per_s_of_one_worker_by_environments"]
    middle.plot([int(envs) for envs in batches], list(batches.values()), "o-")
    middle.set(xlabel="environments of one worker", ylabel="agent steps per s", xscale="log")
    middle.set(title="Effect of batching", ylim=(0, None))
    spent = found["microseconds_per_agent_step"]
    right.barh(list(spent)[::-1], list(spent.values())[::-1])
    at_best = found["encoder_microseconds_at_best"]["bfloat16"]
    right.axvline(at_best, ls="--", color="0.4", label="V at the speed of matrix products")
    right.set(xlabel="µs per agent step, one core", title="Where the time goes")
    right.legend(fontsize=8)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, prog="make benchmark").parse_args()
    started = time.monotonic()
    found = measure(*last_of_each_place())
    write_json(RESULT, found)
    save_figure(CHART, (12, 3.6), lambda figure: plot(figure, found))
    for key, value in found.items():
        print(key, value)
    print(f"written: {RESULT}, {CHART}, in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    with user_errors("benchmark"):
        main()
