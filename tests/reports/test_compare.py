"""Variants are compared with the baseline of their group."""

import numpy as np
import pytest

from stages import compare
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import read_csv, write_csv


def rows(variant, trial, returns, first=0):
    known = {"variant": variant, "trial": str(trial)}
    return [
        known | {"track": str(first + track), "return": str(value), "steps": "9"}
        for track, value in enumerate(returns)
    ]


def test_a_difference_is_variant_minus_baseline_over_trials_on_shared_tracks():
    returns = [
        *rows("recipe", 1, [900, 800, 700]),
        *rows("recipe", 2, [920, 820, 700]),
        *rows("other", 1, [850, 690, 1], first=1),
    ]
    recipe, other = (compare.read_scores(name, returns, []) for name in ("recipe", "other"))
    assert compare.read_scores("none", returns, []) is None
    assert other.difference(recipe).tolist() == [850 - 810, 690 - 700]
    row = compare.table_row(compare.compare(other, recipe, 1000, 1))
    assert row.startswith("| other | 514 | 514 | 1 to 850 | +15 (-10 to +40) |")
    assert row.endswith("| 1 | 3 |")
    row = compare.table_row(compare.compare(recipe, recipe, 1000, 1))
    assert row == "| recipe | 800, 813 | 807 | 700 to 910 |  | 105 | 700 | 3 |"


def test_trials_on_different_tracks_and_variants_without_shared_tracks_are_refused():
    uneven = [*rows("recipe", 1, [900, 800]), *rows("recipe", 2, [900, 800, 700])]
    with pytest.raises(UserError, match="'recipe' were not driven on the same tracks"):
        compare.read_scores("recipe", uneven, [])
    apart = [*rows("recipe", 1, [900]), *rows("other", 1, [900], first=5)]
    with pytest.raises(UserError, match="share no test tracks"):
        compare.read_scores("other", apart, []).difference(
            compare.read_scores("recipe", apart, [])
        )


def test_every_group_that_has_run_gets_a_table_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "variants.yaml").write_text(
        "ablations: {baseline: recipe, variants: {recipe: {}, other: {}, not run yet: {}}}\n"
        "later: {baseline: recipe, variants: {third: {}}}\n"
        "none yet: {baseline: recipe, variants: {fourth: {}}}\n"
    )
    rng = np.random.default_rng(1)
    returns = [*rows("recipe", 1, rng.normal(900, 9, 40)), *rows("other", 1, [800.0] * 40)]
    returns += rows("third", 1, [850.0] * 40)
    curve = {"variant": "recipe", "trial": "1", "env_steps": "5", "validation": "7.5"}
    params = compare.Params(seed=1, evaluate=compare.EvaluateConfig(resamples=100))
    with pytest.raises(UserError, match=r"returns\.csv: no such file"):
        compare.main(params)
    write_csv(compare.COLLECTED / "returns.csv", returns)
    write_csv(compare.COLLECTED / "curves.csv", [curve])
    compare.main(params)
    numbers = read_csv(compare.RESULTS / "ablations.csv")
    assert float(numbers[1]["difference_mean"]) == pytest.approx(-100, abs=5)
    table = (compare.RESULTS / "ablations.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["recipe", "other"]
    table = (compare.RESULTS / "later.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == ["recipe", "third"]
    assert "| difference from recipe, 95 % |" in table[0]
    assert not (compare.RESULTS / "none yet.md").exists()
    first = (compare.RESULTS / "ablations.png").read_bytes()
    compare.main(params)
    assert (compare.RESULTS / "ablations.png").read_bytes() == first and len(first) > 5000


def test_intervals_follow_from_the_seed():
    returns = [*rows("recipe", 1, [900, 800, 700]), *rows("other", 1, [850, 690, 1])]
    recipe, other = (compare.read_scores(name, returns, []) for name in ("recipe", "other"))
    first, again, another = (compare.compare(other, recipe, 50, seed) for seed in (1, 1, 2))
    assert first == again != another and first["difference_mean"] == another["difference_mean"]
