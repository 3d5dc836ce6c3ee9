"""Every kind of controller is trained and drives."""

import pytest

from tests.stages.folders import set_param
from worldmodels.agent.agent import Agent

pytestmark = pytest.mark.slow

SECTIONS = {"trainer": "rounds.first", "strategy": "evolution"}  # of others: controller
VARIANTS = [
    {"inputs": "z"},
    {"inputs": "z+hidden"},
    {"inputs": "z+hidden", "space": "raw"},
    {"space": "raw", "strategy": "simple-es"},
    {"memory": "untrained", "latent": "sample", "precision": "float32"},
    {"trainer": "ppo"},
    {"trainer": "ppo", "inputs": "z"},
    {"trainer": "ppo", "inputs": "z+hidden"},
    {"trainer": "ppo", "space": "raw", "latent": "sample"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_kind_of_controller_is_trained_and_drives(copy, run_stages, variant):
    for key, value in variant.items():
        set_param(copy, f"{SECTIONS.get(key, 'controller')}.{key}", value)
    set_param(copy, "evaluate.horizon", 10)
    trainer = variant.get("trainer", "evolution")
    done = run_stages(copy, f"train_controller_by_{trainer}", "evaluate")
    assert done.returncode == 0, done.stderr
    agent = Agent.load(copy / "models/first/agent.safetensors")
    assert agent.config.inputs == variant.get("inputs", "z+h")
