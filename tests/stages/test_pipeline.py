"""Every stage for real, end to end through DVC, at tiny sizes."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.stages.folders import dvc, metrics, params_of, say, tracks_tested
from worldmodels.agent.agent import Agent
from worldmodels.environment.car_racing import make_official
from worldmodels.pipeline.storage import read_csv, read_json
from worldmodels.reports.film import count_frames
from worldmodels.reports.play import play

pytestmark = pytest.mark.slow
OF_WORLDS = ["sample", "train_vae", "encode", "train_mdnrnn", "world_figures", "world_card"]
OF_ROUNDS = ["train_controller", "evaluate", "render", "figures", "card"]


def test_quick_names_its_results_and_leaves_the_workspace_alone(quick, pipeline, root):
    places = re.findall(r"^(\w+): +(\S+)", quick.stdout, re.MULTILINE)
    assert [name for name, _ in places] == ["metrics", "plots", "figures", "video"]
    for _, place in places:
        assert [*pipeline.glob(str(Path(place).relative_to(pipeline)))], place
    assert root not in pipeline.parents
    assert "results/second/evaluate/metrics.json" in quick.stdout


def test_every_stage_of_every_round_has_run_and_all_is_up_to_date(tracked):
    lock = yaml.safe_load((tracked / "dvc.lock").read_text())["stages"]
    params = params_of(tracked)
    expected = {f"{stage}@{name}" for stage in OF_WORLDS for name in params["worlds"]}
    assert set(lock) == expected | {
        f"{stage}@{name}" for stage in OF_ROUNDS for name in params["rounds"]
    }
    assert "up to date" in dvc(tracked, "repro").stdout
    assert "up to date" in dvc(tracked, "status").stdout


def test_metrics_agree_with_the_returns_and_the_params(pipeline):
    evaluate = metrics(pipeline, "evaluate")
    assert set(evaluate) >= {"mean", "std", "sem", "ci_low", "ci_high", "iqm", "min", "max"}
    assert evaluate["episodes"] == 2 and evaluate["horizon"] == 60
    assert evaluate["environment"] == "CarRacing-v3" and evaluate["gymnasium"]
    returns = read_csv(pipeline / "results/second/evaluate/returns.csv")
    assert [int(row["track"]) for row in returns] == tracks_tested(pipeline)
    assert sum(float(row["return"]) for row in returns) / 2 == pytest.approx(evaluate["mean"])
    params = params_of(pipeline)
    inputs = params["vae"]["latent_size"] + params["mdnrnn"]["hidden_size"]
    assert metrics(pipeline, "train_controller")["controller_parameters"] == 3 * (inputs + 1)
    by_agent = 1 - params["worlds"]["second"]["exploration_share"]
    assert metrics(pipeline, "sample")["share_by_agent"] == pytest.approx(by_agent, abs=0.02)
    assert set(metrics(pipeline, "train_mdnrnn")) >= {"baseline_same_nll", "val_nll"}
    assert len(read_csv(pipeline / "results/second/train_controller/curve.csv")) == 2


def test_the_metrics_say_how_c_was_trained_and_on_how_many_real_steps(pipeline):
    def found(name: str, stage: str) -> dict:
        return read_json(pipeline / "results" / name / stage / "metrics.json")

    own = {
        name: found(name, "train_controller")["env_steps"]
        for name in params_of(pipeline)["rounds"]
    }
    expected = {
        "first": ("cma-es", "real", 1200, own["first"]),
        "second": ("ppo", "real", 2400, own["first"] + own["second"]),
        "dream": ("ppo", "dream", 1200 + own["dream"], 0),
        "cma": ("cma-es", "real", 1200 + own["dream"], own["cma"]),
        "dream-cma": ("cma-es", "dream", 1200 + own["dream-cma"], 0),
    }
    assert set(expected) == set(own)
    for name, values in expected.items():
        keys = ("method", "learned_in", "recorded_steps", "trained_steps")
        assert tuple(found(name, "evaluate")[key] for key in keys) == values


def test_the_record_has_exactly_the_frames_asked_for(pipeline):
    assert metrics(pipeline, "sample")["frames"] == 1200


def test_figures_a_video_and_a_gif_are_written(pipeline):
    second = pipeline / "results/second"
    pictures = [*second.glob("figures/*.png"), *second.glob("train_vae/*.png")]
    assert len(pictures) == 8 and all(p.read_bytes()[:4] == b"\x89PNG" for p in pictures)
    assert b"ftyp" in (second / "render/episode.mp4").read_bytes()[:16]
    assert count_frames(second / "render/episode.mp4") == 30  # of 60 steps, every second
    with Image.open(second / "render/lap.gif") as gif:
        assert gif.n_frames == 10 and gif.size == (300, 200)


def test_the_returns_of_all_rounds_are_drawn_over_their_real_steps(copy):
    done = say(copy, sys.executable, "-m", "stages.efficiency")
    assert done.returncode == 0, done.stderr
    assert (copy / "results/efficiency.png").read_bytes()[:4] == b"\x89PNG"


def test_an_official_track_driven_alone_gives_the_return_in_the_table(pipeline):
    agent = Agent.load(pipeline / "models/second/agent.safetensors")
    (first, *_) = read_csv(pipeline / "results/second/evaluate/returns.csv")
    seen = []
    driven = play(
        agent,
        make_official(),
        int(first["track"]),
        1,
        "cpu",
        60,
        lambda *moment: seen.append(moment),
    )
    assert driven == (pytest.approx(float(first["return"]), abs=1e-6), int(first["steps"]))
    assert [step for *_, step in seen] == list(range(60)) and seen[0][2] == 0


def test_the_results_table_shows_every_round_and_the_paper(pipeline):
    shown = say(pipeline, sys.executable, "-m", "commands.table").stdout
    assert "ours, round first" in shown and "ours, round second" in shown and "906" in shown


def test_the_best_agent_drives_any_track(copy):
    done = say(copy, sys.executable, "-m", "commands.drive", "--seed", "5")
    assert "on track 5: score" in done.stdout and "in 60 steps" in done.stdout, done.stderr
    assert (copy / "drives/track-5.mp4").stat().st_size > 1000
