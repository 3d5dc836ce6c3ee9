"""The list of variants, and how what they gave is compared."""

import numpy as np
import pytest

from commands.variants import Variant, forget, is_done, rows_of, variants
from stages import compare
from stages.compare import VARIANTS
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import PARAMS, leaves, read_yaml
from worldmodels.pipeline.storage import read_csv, write_csv


def test_every_variant_changes_what_is_there_and_has_a_name_of_its_own(root):
    tree = read_yaml(root / PARAMS)
    known = set(leaves(tree))
    found = list(variants(read_yaml(root / VARIANTS), tree))
    assert len({variant.experiment for variant in found}) == len(found)
    for variant in found:
        changed = {word.split("=")[0] for word in variant.command if "=" in word}
        assert changed <= known, variant.name
        assert f"rounds.{variant.round}.trial" in changed and variant.round in tree["rounds"]


def test_a_group_is_compared_with_a_variant_that_there_is(root):
    tree = read_yaml(root / VARIANTS)
    names = {name for group in tree.values() for name in group["variants"]}
    assert {group["beside"] for group in tree.values()} <= names


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


def rows(variant, trial, returns, first=0):
    known = {"variant": variant, "trial": str(trial)}
    return [
        known | {"track": str(first + track), "return": str(value), "steps": "9"}
        for track, value in enumerate(returns)
    ]


def test_differences_are_of_the_trials_mean_on_common_tracks():
    returns = [
        *rows("recipe", 1, [900, 800, 700]),
        *rows("recipe", 2, [920, 820, 700]),
        *rows("other", 1, [850, 690, 1], first=1),
    ]
    recipe, other = (compare.read(name, returns, []) for name in ("recipe", "other"))
    assert compare.read("none", returns, []) is None
    assert other.less(recipe).tolist() == [850 - 810, 690 - 700]
    line = compare.line(compare.compare(other, recipe, 1000))
    assert line.startswith("| other | 514 | 514 | 1 to 850 | +15 (-10 to +40) |")
    assert line.endswith("| 1 | 3 |")
    line = compare.line(compare.compare(recipe, recipe, 1000))
    assert line == "| recipe | 800, 813 | 807 | 700 to 910 |  | 105 | 700 | 3 |"


def test_trials_on_other_tracks_and_variants_without_common_ones_are_refused():
    uneven = [*rows("recipe", 1, [900, 800]), *rows("recipe", 2, [900, 800, 700])]
    with pytest.raises(UserError, match="'recipe' were not driven on the same tracks"):
        compare.read("recipe", uneven, [])
    apart = [*rows("recipe", 1, [900]), *rows("other", 1, [900], first=5)]
    with pytest.raises(UserError, match="share no test tracks"):
        compare.read("other", apart, []).less(compare.read("recipe", apart, []))


def test_every_group_gets_a_table_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "variants.yaml").write_text(
        "ablations: {beside: recipe, variants: {recipe: {}, other: {}, not run yet: {}}}\n"
        "later: {beside: recipe, variants: {third: {}}}\n"
        "none yet: {beside: recipe, variants: {fourth: {}}}\n"
    )
    rng = np.random.default_rng(1)
    returns = [*rows("recipe", 1, rng.normal(900, 9, 40)), *rows("other", 1, [800.0] * 40)]
    returns += rows("third", 1, [850.0] * 40)
    curve = {"variant": "recipe", "trial": "1", "env_steps": "5", "validation": "7.5"}
    params = compare.Params(evaluate=compare.Resamples(resamples=100))
    with pytest.raises(UserError, match=r"returns\.csv: no such file"):
        compare.main(params)
    write_csv(compare.RECORD / "returns.csv", returns)
    write_csv(compare.RECORD / "curves.csv", [curve])
    compare.main(params)
    numbers = read_csv(compare.RESULTS / "ablations.csv")
    assert float(numbers[1]["less_mean"]) == pytest.approx(-100, abs=5)
    table = (compare.RESULTS / "ablations.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["recipe", "other"]
    table = (compare.RESULTS / "later.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["recipe", "third"]
    assert "| less recipe, 95 % |" in table[0]
    assert not (compare.RESULTS / "none yet.md").exists()
    first = (compare.RESULTS / "ablations.png").read_bytes()
    compare.main(params)
    assert (compare.RESULTS / "ablations.png").read_bytes() == first and len(first) > 5000
