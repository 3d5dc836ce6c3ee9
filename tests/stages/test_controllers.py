"""Every kind of controller is trained and drives."""

import pytest

from tests.stages.folders import BY_EVOLUTION, BY_PPO, set_param
from worldmodels.agent.agent import Agent

pytestmark = pytest.mark.slow

VARIANTS = [
    {"inputs": "z"},
    {"inputs": "z+hidden"},
    {"inputs": "z+hidden", "space": "raw"},
    {"space": "raw", "optimiser": "simple-es"},
    {"memory": "untrained", "latent": "sample", "precision": "float32"},
    {"optimiser": "ppo"},
    {"optimiser": "ppo", "inputs": "z"},
    {"optimiser": "ppo", "inputs": "z+hidden"},
    {"optimiser": "ppo", "space": "raw", "latent": "sample"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_kind_of_controller_can_be_trained_and_then_drives(copy, run_stages, variant):
    for key, value in variant.items():
        section = "rounds.first" if key == "optimiser" else "controller"
        set_param(copy, f"{section}.{key}", value)
    set_param(copy, "evaluate.horizon", 10)
    stage = BY_PPO if variant.get("optimiser") == "ppo" else BY_EVOLUTION
    done = run_stages(copy, stage, "evaluate")
    assert done.returncode == 0, done.stderr
    agent = Agent.load(copy / "models/first/agent.safetensors")
    assert agent.config.inputs == variant.get("inputs", "z+h")
