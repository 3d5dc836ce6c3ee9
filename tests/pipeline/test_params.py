"""A wrong value in params.yaml is refused before any work starts, by its name."""

import re
import shutil

import pytest
import yaml

from stages.train_controller_by_evolution_in_real import Params as EvolutionParams
from stages.train_controller_by_ppo_in_real import Params as PPOParams
from stages.train_vae import Params as VAEParams
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import load, read_params, read_yaml


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
    assert load(EvolutionParams, "second").real.evolution.population >= 2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("real.evolution.population", 1, "real.evolution.population is 1"),
        ("real.practice.horizon", 0, "real.practice.horizon is 0"),
        ("real.practice.horizon", True, "real.practice.horizon is True"),
        ("real.evolution.sigma", "big", "real.evolution.sigma is 'big'"),
        ("real.evolution.sigma", float("nan"), "real.evolution.sigma is nan"),
        ("controller.inputs", "h", "controller.inputs is 'h'"),
        ("rounds.first.trainer", "adam", "rounds.first.trainer is 'adam'"),
        ("real.evolution.strategy", "adam", "evolution.strategy is 'adam'"),
        ("real.ppo.noise", [0.3], "real.ppo.noise is [0.3]"),
        ("real.ppo.noise", [0.3, 0.0], "real.ppo.noise.1 is 0.0"),
        ("real.evolution.sigma", None, "real.evolution.sigma is missing"),
        ("real.evolution.schedule", [], "real.evolution.schedule is []"),
        ("real.evolution.schedule", [{"from_generation": 3, "tracks": 1}], "from_generation 0"),
        (
            "real.evolution.schedule",
            [{"from_generation": 0, "tracks": 0}],
            "schedule.0.tracks is 0",
        ),
        ("real.evolution.simple_es.elite_share", 1.5, "elite_share is 1.5"),
        ("seed", 0, "seed is 0"),
        ("machine.threads", 2.5, "machine.threads is 2.5"),
        ("rounds.first.iterations", None, "rounds.first.iterations is missing"),
        ("rounds.first.iterations", -1, "rounds.first.iterations is -1"),
        ("real.evolution.sigmaa", 1.0, "unknown key 'real.evolution.sigmaa'"),
        ("worlds.first.frame", 1, "unknown key 'worlds.first.frame'"),
        ("extra", 1, "unknown key 'extra'"),
    ],
)
def test_a_wrong_value_is_named(change, key, value, said):
    change(key, value)
    with pytest.raises(UserError) as error:
        load(PPOParams if key.startswith("real.ppo") else EvolutionParams, "first")
    assert said in str(error.value) and "params.yaml" in str(error.value)


def test_numbers_as_dvc_writes_them_are_numbers(change, tmp_path):
    change("vae.learning_rate", "PLACE")
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("PLACE", "1e-05"))
    assert load(VAEParams, "first").vae.learning_rate == 1e-5


def test_an_unknown_world_or_round_is_named_with_those_there_are(change):
    with pytest.raises(UserError, match=r"no world 'third' under worlds.*first.*second"):
        load(VAEParams, "third")
    with pytest.raises(UserError, match=r"no round 'third' under rounds.*first.*second"):
        load(PPOParams, "third")


@pytest.mark.parametrize(
    "name", ["2", "yes", "1.5", "null", "a.b", "a b", "a/b", "'2'", "-a", "a;b", "é", "''", "~"]
)
@pytest.mark.parametrize("one", ["world", "round"])
def test_an_impossible_name_is_refused_in_one_line(change, tmp_path, one, name):
    path = tmp_path / "params.yaml"
    head, section, tail = re.split(rf"(\n{one}s: .*\n)", path.read_text())
    path.write_text(head + section + tail.replace("  first:\n", f"  {name}:\n", 1))
    for read in (read_params, lambda: load(VAEParams, "second")):
        with pytest.raises(UserError, match=rf"params.yaml: a {one} is called .*rename it"):
            read()


@pytest.mark.parametrize("name", ["a", "third-round", "R_2"])
def test_other_names_work(change, tmp_path, name):
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("\n  first:\n", f"\n  {name}:\n"))
    tree = read_params()
    assert load(VAEParams, name).world.vae_frames == tree["worlds"][name]["vae_frames"]
    assert load(PPOParams, name).round.iterations == tree["rounds"][name]["iterations"]


@pytest.mark.parametrize("every", ["worlds", "rounds"])
@pytest.mark.parametrize("value", [["first"], "first", 3])
def test_entries_that_are_not_a_mapping_are_refused(change, every, value):
    change(every, value)
    with pytest.raises(UserError, match=f"{every} is not a mapping"):
        load(VAEParams, "first")


@pytest.mark.parametrize("content", ["seed: [", "- 1\n", "", "seed: \x00"])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_yaml(path)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="root of the repository"):
        read_yaml(tmp_path / "params.yaml")
