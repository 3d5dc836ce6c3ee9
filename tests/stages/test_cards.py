"""The cards of the models of the tiny pipeline: true to the results, and of use."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.stages.folders import metrics, params_of, say

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def cards(folder: Path) -> list[Path]:
    """The cards of all models."""
    found = sorted(folder.glob("models/*/*.md"))
    models = sorted(folder.glob("models/*/*.safetensors"))
    assert [path.with_suffix("") for path in found] == [path.with_suffix("") for path in models]
    return found


def test_an_agents_card_has_the_scores_and_steps_of_its_round(pipeline):
    said = (pipeline / "models/second/agent.md").read_text()
    evaluated = metrics(pipeline, "evaluate")
    assert f"| mean return | {evaluated['mean']:.1f} |" in said
    assert f"| {evaluated['ci_low']:.1f} to {evaluated['ci_high']:.1f} |" in said
    assert (
        f"{evaluated['trained_steps']:,} were driven to train a controller on their rewards"
        in said
    )
    assert "PPO on the track, starting from zeros" in said
    begun = (pipeline / "models/cma/agent.md").read_text()
    assert "CMA-ES on the track, starting from the C of round dream" in begun


def test_a_worlds_cards_say_what_was_recorded_and_how_well_it_is_known(pipeline):
    world = params_of(pipeline)["worlds"]["second"]
    vae, memory = (pipeline / f"models/second/{name}.md" for name in ("vae", "mdnrnn"))
    assert f"{world['frames']:,} frames of" in vae.read_text()
    assert "driven by the agent of round first, 20% of it by blind exploration" in vae.read_text()
    error = metrics(pipeline, "train_vae")["val_squared_error"]
    assert f"| squared error per picture | {error:.2f} |" in vae.read_text()
    nll = metrics(pipeline, "train_mdnrnn")["val_nll"]
    assert f"nats | {nll:.3f} |" in memory.read_text()


def test_a_card_names_its_model_by_the_md5_that_dvc_gives_it(pipeline):
    lock = yaml.safe_load((pipeline / "dvc.lock").read_text())["stages"]
    known = {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}
    for card in cards(pipeline):
        md5 = known[card.with_suffix(".safetensors").relative_to(pipeline).as_posix()]
        assert f"artifacts/files/md5/{md5[:2]}/{md5[2:]} " in card.read_text()


def test_the_code_of_each_kind_of_card_runs(pipeline):
    pictures = "import torch\npictures = torch.zeros(2, 3, 64, 64)\n"
    for name in ("first/agent", "first/vae", "first/mdnrnn"):
        (block,) = BLOCK.findall((pipeline / f"models/{name}.md").read_text())
        done = say(pipeline, sys.executable, "-c", pictures + block)
        assert done.returncode == 0, done.stderr
