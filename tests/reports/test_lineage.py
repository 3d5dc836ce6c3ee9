"""What led to an agent: stages, rounds, and real steps."""

import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import write_json
from worldmodels.reports.lineage import OF_A_WORLD, agent_in_words, origin, training_of
from worldmodels.training.setup import ZERO

PPO, DREAM = {"trainer": "ppo", "learned_in": "real"}, {"trainer": "ppo", "learned_in": "dream"}
PARAMS = {
    "worlds": {
        "first": {"policy": "worldmodels/policies/explorer.py", "frames": 100},
        "second": {"policy": "models/a/agent.safetensors", "frames": 50},
    },
    "rounds": {
        "a": {"world": "first", "start": ZERO, **PPO},
        "b": {"world": "second", "start": ZERO, **PPO},
        "c": {"world": "first", "start": ZERO, **DREAM},
        "d": {
            "world": "first",
            "start": "models/c/agent.safetensors",
            "trainer": "evolution",
            "learned_in": "real",
        },
    },
    "real": {"evolution": {"strategy": "cma-es"}},
}


def test_a_round_counts_its_world_and_the_rounds_whose_agents_it_needed():
    first = [(stage, "first") for stage in OF_A_WORLD]
    assert training_of("a", PARAMS) == [*first, ("train_controller", "a")]
    assert training_of("c", PARAMS) == [*first, ("train_controller", "c")]
    assert training_of("d", PARAMS) == [*training_of("c", PARAMS), ("train_controller", "d")]
    second = [(stage, "second") for stage in OF_A_WORLD]
    assert training_of("b", PARAMS) == [
        *training_of("a", PARAMS),
        *second,
        ("train_controller", "b"),
    ]


@pytest.mark.parametrize(
    ("name", "method", "place", "recorded", "trained"),
    [
        ("a", "ppo", "real", 100, 1000),
        ("b", "ppo", "real", 150, 3000),
        ("c", "ppo", "dream", 100 + 4000, 0),
        ("d", "cma-es", "real", 100 + 4000, 8000),
    ],
)
def test_real_steps_add_up_over_all_that_led_to_an_agent(
    tmp_path, name, method, place, recorded, trained
):
    for number, done in enumerate("abcd"):
        path = tmp_path / done / "train_controller/metrics.json"
        write_json(path, {"env_steps": 1000 * 2**number})
    assert origin(name, PARAMS, tmp_path) == {
        "method": method,
        "learned_in": place,
        "recorded_steps": recorded,
        "trained_steps": trained,
    }


def test_a_training_without_metrics_is_refused(tmp_path):
    write_json(tmp_path / "a/train_controller/metrics.json", {})
    with pytest.raises(UserError, match="a/train_controller/metrics"):
        origin("a", PARAMS, tmp_path)


def test_an_agent_of_no_round_is_left_out_and_one_of_a_lost_round_is_refused():
    rounds = PARAMS["rounds"]
    foreign = PARAMS | {"rounds": rounds | {"d": rounds["d"] | {"start": "mine.safetensors"}}}
    first = [(stage, "first") for stage in OF_A_WORLD]
    assert training_of("d", foreign) == [*first, ("train_controller", "d")]
    assert "steps are not counted" in agent_in_words("mine.safetensors")
    lost = PARAMS | {"rounds": {name: rounds[name] for name in "abd"}}
    with pytest.raises(UserError, match="there is no round 'c'"):
        training_of("d", lost)
