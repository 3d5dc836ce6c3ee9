"""The list of variants, and how what they gave is compared."""

from commands.variants import Variant, forget, is_done, rows_of, variants
from stages import compare
from stages.compare import VARIANTS
from worldmodels.pipeline.params import PARAMS, leaves, read_yaml
from worldmodels.pipeline.storage import write_csv


def test_every_variant_changes_what_is_there_and_has_a_name_of_its_own(root):
    tree = read_yaml(root / PARAMS)
    known = set(leaves(tree))
    found = list(variants(read_yaml(root / VARIANTS), tree))
    assert len({variant.experiment for variant in found}) == len(found)
    for variant in found:
        changed = {word.split("=")[0] for word in variant.command if "=" in word}
        assert changed <= known, variant.name
        assert f"rounds.{variant.round}.trial" in changed and variant.round in tree["rounds"]


def test_the_baseline_of_every_group_is_a_variant(root):
    tree = read_yaml(root / VARIANTS)
    names = {name for group in tree.values() for name in group["variants"]}
    assert {group["baseline"] for group in tree.values()} <= names


def test_the_command_of_a_variant_is_what_a_person_would_type():
    variant = Variant("CMA-ES, raw", 2, "first", {"rounds.ROUND.env_steps": 9, "seed": 3}, {})
    assert variant.experiment.startswith("cma-es-raw-trial-2-")
    said = f"dvc exp run --temp --name {variant.experiment} -S rounds.first.env_steps=9 -S seed=3"
    assert " ".join(variant.command) == f"{said} -S rounds.first.trial=2 evaluate@first"


def test_what_other_params_or_settings_gave_is_not_taken_for_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"rounds.ROUND.env_steps": 9}
    ran = Variant("plain", 1, "first", settings, {"seed": 1})
    other = {"variant": "other", "trial": "1", "command": "its own"}
    row = {"variant": "plain", "trial": "1", "command": " ".join(ran.command)}
    write_csv(compare.RECORD / "runs.csv", [other, row])
    assert is_done(ran) and is_done(Variant("plain", 1, "first", dict(settings), {"seed": 1}))
    assert not is_done(ran._replace(recipe={"seed": 2}))
    assert not is_done(ran._replace(settings={"rounds.ROUND.env_steps": 8}))
    forget([ran._replace(recipe={"seed": 2})])
    assert rows_of("runs") == [other]
    forget([ran._replace(name="other")])
    assert rows_of("runs") == []


def test_a_group_shares_settings_and_a_variant_may_have_a_round_of_its_own():
    group = {"round": "first", "trials": [1, 2], "common": {"a": 1}}
    group["variants"] = {"plain": {}, "later": {"round": "second", "b": 2}}
    found = list(variants({"group": group}, {}))
    assert [(variant.name, variant.trial) for variant in found] == [
        ("plain", 1),
        ("later", 1),
        ("plain", 2),
        ("later", 2),
    ]
    assert found[1].round == "second" and found[1].settings == {"a": 1, "b": 2}
    assert found[0].round == "first" and found[0].settings == {"a": 1}
