"""The table of results: which stages' minutes count for a round."""

from commands.table import OF_A_WORLD, row, training_of

PARAMS = {
    "worlds": {
        "first": {"policy": "worldmodels/policies/explorer.py"},
        "second": {"policy": "models/a/agent.safetensors"},
    },
    "rounds": {
        "a": {"world": "first", "trainer": "ppo", "learned_in": "real"},
        "b": {"world": "second", "trainer": "ppo", "learned_in": "real"},
        "c": {"world": "first", "trainer": "evolution", "learned_in": "dream"},
    },
}


def test_a_round_counts_its_world_and_the_rounds_whose_agents_drove_for_it():
    first = [(stage, "first") for stage in OF_A_WORLD]
    assert training_of("a", PARAMS) == [*first, ("train_controller", "a")]
    assert training_of("c", PARAMS) == [*first, ("train_controller", "c")]
    second = [(stage, "second") for stage in OF_A_WORLD]
    assert training_of("b", PARAMS) == [
        *training_of("a", PARAMS),
        *second,
        ("train_controller", "b"),
    ]


def test_a_row_says_how_c_was_trained_and_adds_up_the_minutes():
    metrics = {"mean": 900, "ci_low": 890, "ci_high": 910, "std": 20, "min": 700, "episodes": 200}
    common = {"processor": "X", "cores": "2"}
    runs = [
        {"stage": "sample", "round": "first", "seconds": "60"} | common,
        {"stage": "train_controller", "round": "c", "seconds": "120"} | common,
        {"stage": "train_controller", "round": "a", "seconds": "6000"} | common,
    ]
    said = row("c", PARAMS, metrics, runs)
    assert said.startswith("| ours, round c: evolution in the dream | 900 | 890 to 910 | 20 |")
    assert said.endswith("| 3 | X, 2 cores |")
