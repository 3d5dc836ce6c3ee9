"""The params that a stage depends on, through all the stages before it."""

import pytest

from commands.dependencies import expand, look_up, params_behind, with_settings
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, PIPELINE, read_yaml

TREE = {
    "seed": 1,
    "ppo": {"clip": 0.2},
    "evolution": {"population": 4},
    "rounds": {
        "first": {"trainer": "ppo", "frames": 5, "policy": "explorer.py"},
        "second": {"trainer": "evolution", "frames": 6, "policy": "models/first/agent"},
    },
    "width": 9,
}
PIPE = {
    "stages": {
        "sample": {
            "foreach": "${rounds}",
            "do": {
                "deps": ["${item.policy}"],
                "params": ["rounds.${key}.frames"],
                "outs": ["data/${key}"],
            },
        },
        "train": {
            "foreach": "${rounds}",
            "do": {
                "deps": ["data/${key}/scenes", "train_by_${item.trainer}.py"],
                "params": ["seed", "${item.trainer}"],
                "outs": [{"models/${key}/agent": {"cache": False}}],
            },
        },
        "show": {"deps": ["models/first"], "params": ["width"], "metrics": ["shown.json"]},
    }
}


def test_templates_are_filled_in_for_every_round():
    stages = expand(PIPE, TREE)
    assert set(stages) == {"sample@first", "sample@second", "train@first", "train@second", "show"}
    assert stages["train@second"].deps == ["data/second/scenes", "train_by_evolution.py"]
    assert stages["train@second"].params == ["seed", "evolution"]
    assert stages["train@second"].outs == ["models/second/agent"]


def test_a_stage_depends_on_its_params_and_those_of_earlier_stages():
    assert params_behind("train@first", PIPE, TREE) == {
        "seed": 1,
        "ppo": {"clip": 0.2},
        "rounds.first.frames": 5,
    }
    second = params_behind("train@second", PIPE, TREE)
    assert set(second) == {
        "seed",
        "ppo",
        "evolution",
        "rounds.first.frames",
        "rounds.second.frames",
    }
    assert "width" in params_behind("show", PIPE, TREE)


def test_another_policy_or_trainer_alters_what_a_stage_depends_on():
    alone = with_settings(TREE, {"rounds.second.policy": "explorer.py"})
    found = params_behind("train@second", PIPE, alone)
    assert set(found) == {"seed", "evolution", "rounds.second.frames"}
    other = with_settings(TREE, {"rounds.first.trainer": "evolution"})
    assert "ppo" not in params_behind("train@first", PIPE, other)


def test_a_stage_or_a_param_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no stage 'train@third'"):
        params_behind("train@third", PIPE, TREE)
    with pytest.raises(UserError, match=r"rounds\.first\.frame is missing"):
        look_up(TREE, "rounds.first.frame")
    with pytest.raises(UserError, match=r"sed is missing"):
        with_settings(TREE, {"sed": 1})


def test_settings_are_read_as_dvc_reads_them_and_leave_the_recipe_alone():
    changed = with_settings(TREE, {"ppo.clip": "[{a: 1}]", "seed": 2})
    assert changed["ppo"] == {"clip": [{"a": 1}]} and changed["seed"] == 2
    assert TREE["ppo"] == {"clip": 0.2} and TREE["seed"] == 1


def test_scores_depend_on_params_of_training_and_not_of_reports(root):
    found = params_behind("evaluate@second", read_yaml(root / PIPELINE), read_yaml(root / PARAMS))
    assert {"seed", "vae", "mdnrnn", "controller", "evaluate", "worlds.first.frames"} <= set(found)
    assert not any(name.startswith("render") for name in found)
    assert "rounds.first.test_tracks" not in found  # the second round needs no score of the first
