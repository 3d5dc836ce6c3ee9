"""The table of results: a row for each round."""

from commands.table import row
from worldmodels.reports.lineage import OF_A_WORLD

PARAMS = {
    "worlds": {
        "first": {"policy": "worldmodels/policies/explorer.py"},
    },
    "rounds": {
        "a": {"world": "first", "start": "worldmodels/control/zeros.py"},
        "c": {"world": "first", "start": "worldmodels/control/zeros.py"},
        "d": {"world": "first", "start": "models/c/agent.safetensors"},
    },
}


def test_a_row_says_how_c_was_trained_and_adds_up_the_minutes():
    metrics = {"mean": 900, "ci_low": 890, "ci_high": 910, "std": 20, "min": 700, "episodes": 200}
    metrics |= {"recorded_steps": 470000, "trained_steps": 0}
    common = {"processor": "X", "cores": "2"}
    runs = [{"stage": stage, "round": "first", "seconds": "15"} | common for stage in OF_A_WORLD]
    runs += [
        {"stage": "train_controller", "round": "c", "seconds": "120"} | common,
        {"stage": "train_controller", "round": "a", "seconds": "6000"} | common,
    ]
    said = row("c", PARAMS, metrics, "CMA-ES in the dream", runs)
    assert said.startswith("| ours, round c: CMA-ES in the dream | 900 | 890 to 910 | 20 |")
    assert said.endswith("| 470,000 | 0 | 3 | X, 2 cores |")
    less = row("c", PARAMS, metrics, "CMA-ES in the dream", runs[1:])  # a stage was not timed
    assert less.endswith("| 470,000 | 0 |  |  |")


def test_a_row_names_the_agent_whose_c_training_began_with():
    metrics = {"mean": 900, "ci_low": 890, "ci_high": 910, "std": 20, "min": 700, "episodes": 200}
    metrics |= {"recorded_steps": 470000, "trained_steps": 5000}
    said = row("d", PARAMS, metrics, "CMA-ES on the track", [])
    assert said.startswith("| ours, round d: CMA-ES on the track, from round c | 900 |")
