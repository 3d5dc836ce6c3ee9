"""A wrong value in params.yaml is refused before any work starts, by its name."""

import shutil

import pytest
import yaml

from stages.train_controller import Params as ControllerParams
from stages.train_vae import Params as VAEParams
from worldmodels.errors import UserError
from worldmodels.params import load, read_yaml


@pytest.fixture
def change(root, tmp_path, monkeypatch):
    """A function that sets dotted keys in a copy of params.yaml; None removes one."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(root / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def apply(key, value):
        tree = yaml.safe_load((tmp_path / "params.yaml").read_text())
        *parents, last = key.split(".")
        inner = tree
        for part in parents:
            inner = inner.setdefault(part, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))

    return apply


def test_the_committed_params_are_accepted(change):
    assert load(ControllerParams, "second").controller.population >= 2


def phase(start, hard=0, sigma=None):
    counts = {"from_generation": start, "tracks": 1, "hard": hard}
    return {**counts, "sigma": sigma, "compress_beyond": None}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("controller.population", 1, "controller.population is 1"),
        ("controller.horizon", 0, "controller.horizon is 0"),
        ("controller.horizon", True, "controller.horizon is True"),
        ("controller.sigma", "big", "controller.sigma is 'big'"),
        ("controller.sigma", float("nan"), "controller.sigma is nan"),
        ("controller.inputs", "h", "controller.inputs is 'h'"),
        ("rounds.first.optimiser", "adam", "rounds.first.optimiser is 'adam'"),
        ("ppo.noise", [0.3], "ppo.noise is [0.3]"),
        ("ppo.noise", [0.3, 0.0], "ppo.noise.1 is 0.0"),
        ("controller.sigma", None, "controller.sigma is missing"),
        ("rounds.first.schedule", [], "rounds.first.schedule is []"),
        ("rounds.first.schedule", [phase(3)], "from_generation 0"),
        ("rounds.first.schedule", [phase(0, sigma=0.1)], "controller.sigma is where"),
        ("rounds.first.schedule", [phase(0, hard=1)], "no generation comes before"),
        ("rounds.first.schedule", [phase(0), phase(2, hard=2)], "the one before drives 1 tracks"),
        ("rounds.first.schedule", [phase(0), phase(2, hard=-1)], "schedule.1.hard is -1"),
        ("rounds.first.schedule", [phase(0), phase(2, sigma=0.0)], "schedule.1.sigma is 0.0"),
        ("controller.simple_es.elite_share", 1.5, "elite_share is 1.5"),
        ("seed", 0, "seed is 0"),
        ("machine.threads", 2.5, "machine.threads is 2.5"),
        ("rounds.first.generations", None, "rounds.first.generations is missing"),
        ("rounds.first.generations", -1, "rounds.first.generations is -1"),
        ("controller.sigmaa", 1.0, "unknown key 'controller.sigmaa'"),
        ("rounds.first.frame", 1, "unknown key 'rounds.first.frame'"),
        ("extra", 1, "unknown key 'extra'"),
    ],
)
def test_a_wrong_value_is_named(change, key, value, said):
    change(key, value)
    with pytest.raises(UserError) as error:
        load(ControllerParams, "first")
    assert said in str(error.value) and "params.yaml" in str(error.value)


def test_numbers_as_dvc_writes_them_are_numbers(change, tmp_path):
    change("vae.learning_rate", "PLACE")
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("PLACE", "1e-05"))
    assert load(VAEParams, "first").vae.learning_rate == 1e-5


def test_an_unknown_round_is_named_with_those_there_are(change):
    with pytest.raises(UserError, match=r"no round 'third'.*first.*second"):
        load(VAEParams, "third")


@pytest.mark.parametrize("content", ["seed: [", "- 1\n", "", "seed: \x00"])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_yaml(path)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="root of the repository"):
        read_yaml(tmp_path / "params.yaml")
