"""Every kind of controller is trained and drives."""

import numpy as np
import pytest

from tests.stages.folders import set_param
from worldmodels.agent.agent import Agent

pytestmark = pytest.mark.slow

# Of the other keys: controller
SECTIONS = {
    "trainer": "rounds.first",
    "learned_in": "rounds.first",
    "start": "rounds.first",
    "strategy": "real.evolution",
}
DREAMT = "models/dream/agent.safetensors"
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
    {"trainer": "ppo", "learned_in": "dream", "inputs": "z+hidden"},
    {"trainer": "ppo", "learned_in": "dream", "space": "raw"},
    {"learned_in": "dream", "inputs": "z"},
    {"trainer": "ppo", "start": DREAMT},
    {"learned_in": "dream", "start": DREAMT},
    {"trainer": "ppo", "learned_in": "dream", "start": DREAMT},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_kind_of_controller_is_trained_and_drives(copy, run_stages, variant):
    for key, value in variant.items():
        set_param(copy, f"{SECTIONS.get(key, 'controller')}.{key}", value)
    set_param(copy, "evaluate.horizon", 10)
    trainer, place = variant.get("trainer", "evolution"), variant.get("learned_in", "real")
    done = run_stages(copy, f"train_controller_by_{trainer}_in_{place}", "evaluate")
    assert done.returncode == 0, done.stderr
    agent = Agent.load(copy / "models/first/agent.safetensors")
    assert agent.config.inputs == variant.get("inputs", "z+h")


def test_a_search_that_starts_with_an_agent_begins_at_its_controller(copy, run_stages):
    """With steps of almost nothing, it ends there, too."""
    set_param(copy, "rounds.first.start", DREAMT)
    set_param(copy, "real.evolution.fine_tuning.sigma", 1e-12)
    done = run_stages(copy, "train_controller_by_evolution_in_real")
    assert done.returncode == 0, done.stderr
    found, start = (
        Agent.load(copy / f"models/{name}/agent.safetensors") for name in ("first", "dream")
    )
    np.testing.assert_allclose(found.parameters, start.parameters, atol=1e-6)
    assert np.abs(start.parameters).max() > 1e-3
