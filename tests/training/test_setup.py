"""The setup of C's training: which agent it may begin with."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.agents import make_agent
from worldmodels.control.search_space import raw_space
from worldmodels.pipeline.errors import UserError
from worldmodels.training.setup import TrainingSetup


def test_an_agent_whose_c_has_another_hidden_layer_is_refused(tmp_path):
    path = tmp_path / "agent.safetensors"
    agent = make_agent(candidates=1, inputs="z+hidden")
    agent.save(path)
    params = SimpleNamespace(round=SimpleNamespace(start=str(path), world="first"))
    setup = TrainingSetup(agent, memory=None, latents=None, params=params)
    units, features = agent.hidden_units, agent.config.features
    same = setup.start(raw_space(units, features), "real.ppo.hidden_components")
    np.testing.assert_allclose(same, agent.parameters[0])
    for other in (units // 2, 2 * units):
        with pytest.raises(UserError, match=rf"{units} hidden units, .* of {other}: change"):
            setup.start(raw_space(other, features), "real.ppo.hidden_components")


def test_an_agent_whose_c_is_given_something_else_is_refused(
    tmp_path,
):
    path = tmp_path / "agent.safetensors"
    make_agent(candidates=1).save(path)
    params = SimpleNamespace(round=SimpleNamespace(start=str(path), world="first"))
    for name, value, said in [
        ("latent", "sample", "controller.latent of 'mu', params.yaml has 'sample'"),
        ("inputs", "z", "controller.inputs of 'z.h', params.yaml has 'z'"),
    ]:
        setup = TrainingSetup(make_agent(candidates=1, **{name: value}), None, None, params)
        with pytest.raises(UserError, match=said):
            setup.start(raw_space(0, setup.agent.config.features), "real.ppo.hidden_components")
    setup = TrainingSetup(make_agent(candidates=1, precision="bfloat16"), None, None, params)
    assert len(setup.start(raw_space(0, setup.agent.config.features), "key"))
