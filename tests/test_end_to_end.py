"""Every stage for real, end to end through DVC, at tiny sizes; then what can go wrong in it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from stages.sample import RANDOM
from worldmodels.agent.agent import Agent
from worldmodels.environment.car_racing import make_official
from worldmodels.pipeline.storage import read_csv
from worldmodels.reports.film import count_frames
from worldmodels.reports.play import play
from worldmodels.runtime.seeds import tracks_for_test

STAGES = [
    "sample",
    "train_vae",
    "encode",
    "train_mdnrnn",
    "train_controller",
    "evaluate",
    "render",
    "figures",
]


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return os.environ | {"DVC_NO_ANALYTICS": "1", "PATH": path} | more


def say(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory, root) -> subprocess.CompletedProcess:
    temporary = str(tmp_path_factory.mktemp("quick"))
    return say(root, sys.executable, "-m", "commands.quick", TMPDIR=temporary)


@pytest.fixture(scope="module")
def pipeline(quick) -> Path:
    assert quick.returncode == 0, quick.stderr
    (said,) = re.findall(r"ran in \d+ s, in (\S+)", quick.stdout)
    return Path(said)


def test_quick_says_where_its_results_are_and_leaves_the_workspace_alone(quick, pipeline, root):
    places = re.findall(r"^(\w+): +(\S+)", quick.stdout, re.MULTILINE)
    assert [name for name, _ in places] == ["metrics", "plots", "figures", "video"]
    for _, place in places:
        assert [*pipeline.glob(str(Path(place).relative_to(pipeline)))], place
    assert root not in pipeline.parents
    assert "results/second/evaluate/metrics.json" in quick.stdout


def set_param(folder: Path, key: str, value) -> None:
    tree = params_of(folder)
    *parents, last = key.split(".")
    inner = tree
    for part in parents:
        inner = inner[part]
    inner[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def params_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "params.yaml").read_text())


def tracks_tested(folder: Path) -> list[int]:
    """The tracks of the tiny recipe's test, two a round."""
    return tracks_for_test(2, params_of(folder)["evaluate"]["first_test_track"])


def metrics(folder: Path, stage: str) -> dict:
    return json.loads((folder / "results/second" / stage / "metrics.json").read_text())


def test_every_stage_of_both_rounds_has_run_and_nothing_is_left_to_do(pipeline):
    lock = yaml.safe_load((pipeline / "dvc.lock").read_text())["stages"]
    assert set(lock) == {f"{stage}@{name}" for stage in STAGES for name in ("first", "second")}
    assert "up to date" in say(pipeline, sys.executable, "-m", "dvc", "repro").stdout
    assert "up to date" in say(pipeline, sys.executable, "-m", "dvc", "status").stdout


def test_metrics_say_what_was_measured(pipeline):
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
    by_agent = 1 - params["rounds"]["second"]["exploration_share"]
    assert metrics(pipeline, "sample")["share_by_agent"] == pytest.approx(by_agent, abs=0.02)
    assert set(metrics(pipeline, "train_mdnrnn")) >= {"baseline_same_nll", "val_nll"}
    assert len(read_csv(pipeline / "results/second/train_controller/curve.csv")) == 2


def test_the_record_holds_just_the_frames_asked_for(pipeline):
    assert metrics(pipeline, "sample")["frames"] == 1200


def test_figures_a_video_and_a_gif_are_written(pipeline):
    second = pipeline / "results/second"
    pictures = [*second.glob("figures/*.png"), *second.glob("train_vae/*.png")]
    assert len(pictures) == 8 and all(p.read_bytes()[:4] == b"\x89PNG" for p in pictures)
    assert b"ftyp" in (second / "render/episode.mp4").read_bytes()[:16]
    assert count_frames(second / "render/episode.mp4") == 30  # of 60 steps, every second
    with Image.open(second / "render/lap.gif") as gif:
        assert gif.n_frames == 10 and gif.size == (300, 200)


def test_an_official_track_driven_alone_gives_the_return_of_the_table(pipeline):
    agent = Agent.load(pipeline / "models/second/agent.safetensors")
    (first, *_) = read_csv(pipeline / "results/second/evaluate/returns.csv")
    seen = []
    outcome = play(
        agent,
        make_official(),
        int(first["track"]),
        1,
        "cpu",
        60,
        lambda *moment: seen.append(moment),
    )
    assert outcome == (pytest.approx(float(first["return"]), abs=1e-6), int(first["steps"]))
    assert [step for *_, step in seen] == list(range(60)) and seen[0][2] == 0


def test_results_table_shows_every_round_and_the_paper(pipeline):
    shown = say(pipeline, sys.executable, "-m", "commands.table").stdout
    assert "ours, round first" in shown and "ours, round second" in shown and "906" in shown


def test_the_best_agent_drives_any_track(pipeline):
    done = say(pipeline, sys.executable, "-m", "commands.drive", "--seed", "5")
    assert "on track 5: score" in done.stdout and "in 60 steps" in done.stdout, done.stderr
    assert (pipeline / "drives/track-5.mp4").stat().st_size > 1000


@pytest.fixture
def copy(pipeline, tmp_path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(pipeline, folder, ignore=shutil.ignore_patterns(".dvc"))
    return folder


@pytest.fixture
def tracked(pipeline, tmp_path) -> Path:
    """A copy with its own DVC: cache, lock and all."""
    return shutil.copytree(pipeline, tmp_path / "tracked")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_row(path: Path) -> None:
    """Leave only the first cell of the last row."""
    *rows, last = path.read_text().splitlines()
    path.write_text("\n".join([*rows, last.split(",")[0]]))


RETURNS = "results/first/evaluate/returns.csv"
WRONG = [
    ("train_vae", lambda f: flip(f / "data/first/scenes/steps.parquet"), "steps.parquet: damaged"),
    ("encode", lambda f: truncate(f / "models/first/vae.safetensors"), "vae.safetensors: damaged"),
    ("encode", lambda f: (f / "models/first/vae.safetensors").unlink(), "dvc pull"),
    ("train_mdnrnn", lambda f: flip(f / "data/first/latents.parquet"), "latents.parquet: damaged"),
    ("train_controller", lambda f: set_param(f, "evolution.population", 1), "population is 1"),
    (
        "evaluate",
        lambda f: flip(f / "models/first/agent.safetensors"),
        "agent.safetensors: damaged",
    ),
    ("evaluate", lambda f: set_param(f, "evaluate.horizon", 0), "evaluate.horizon is 0"),
    (
        "figures",
        lambda f: cut_row(f / RETURNS),
        "returns.csv: damaged",
    ),
    (
        "render",
        lambda f: cut_row(f / RETURNS),
        "returns.csv: damaged",
    ),
    ("sample", lambda f: set_param(f, "rounds.first.exploration_share", 1.5), "exploration_share"),
    ("sample", lambda f: set_param(f, "rounds.first.exploration_share", 0.5), "make it 1.0"),
    ("sample", lambda f: set_param(f, "rounds.first.policy", RANDOM), "would drive nothing"),
    (
        "sample",
        lambda f: set_param(f, "exploration.gas_mean", [1.0, 0.0]),
        "lower end comes first",
    ),
    ("train_controller", lambda f: set_param(f, "evolution.hidden_components", 999), "256"),
    ("sample", lambda f: set_param(f, "machine.device", "cuda:999"), "machine.device"),
    ("train_vae", lambda f: set_param(f, "vae.learning_rate", 1e30), "lower vae.learning_rate"),
    ("train_mdnrnn", lambda f: set_param(f, "mdnrnn.learning_rate", 1e38), "mdnrnn.learning_rate"),
    ("train_vae", lambda f: (f / "params.yaml").unlink(), "params.yaml"),
]


@pytest.mark.parametrize(("stage", "damage", "said"), WRONG)
def test_what_the_user_did_wrong_is_said_in_one_message(copy, stage, damage, said):
    models = {path: path.read_bytes() for path in copy.rglob("models/**/*.safetensors")}
    damage(copy)
    done = say(copy, sys.executable, "-m", f"stages.{stage}", "first")
    assert done.returncode == 1
    assert said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not [*copy.rglob("*.part"), *copy.rglob(".part.*")]
    for path, content in models.items():
        assert not path.exists() or path.read_bytes() == content or path.name in said


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
def test_every_kind_of_controller_can_be_trained_and_then_drives(copy, variant):
    for key, value in variant.items():
        section = "rounds.first" if key == "optimiser" else "controller"
        set_param(copy, f"{section}.{key}", value)
    set_param(copy, "evaluate.horizon", 10)
    for stage in ("train_controller", "evaluate"):
        done = say(copy, sys.executable, "-m", f"stages.{stage}", "first")
        assert done.returncode == 0, done.stderr
    agent = Agent.load(copy / "models/first/agent.safetensors")
    assert agent.config.inputs == variant.get("inputs", "z+h")


def test_an_agent_gone_wrong_is_named_with_its_track(copy):
    path = copy / "models/first/agent.safetensors"
    agent = Agent.load(path)
    agent.parameters[:] = np.nan
    agent.save(path)
    done = say(copy, sys.executable, "-m", "stages.evaluate", "first")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    where = f"on track {tracks_tested(copy)[0]} at step 0"
    assert f"{where} is not finite" in " ".join(done.stderr.split())


def test_models_of_other_sizes_are_refused_by_name(copy):
    set_param(copy, "vae.latent_size", 4)
    assert say(copy, sys.executable, "-m", "stages.train_vae", "first").returncode == 0
    assert say(copy, sys.executable, "-m", "stages.encode", "first").returncode == 0
    done = say(copy, sys.executable, "-m", "stages.train_controller", "first")
    assert done.returncode == 1 and "M's latents: 32 where the agent has 4" in done.stderr


def test_a_record_too_short_to_learn_from_is_refused(copy):
    set_param(copy, "rounds.first.frames", 50)
    assert say(copy, sys.executable, "-m", "stages.sample", "first").returncode == 0
    done = say(copy, sys.executable, "-m", "stages.train_vae", "first")
    assert done.returncode == 1 and "raise rounds.*.frames" in done.stderr


def test_an_unknown_round_is_refused(copy):
    done = say(copy, sys.executable, "-m", "stages.sample", "third")
    assert done.returncode == 1 and "no round 'third'" in done.stderr


def test_a_second_repro_is_told_that_one_is_under_way(tracked):
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "sample@first"]
    first = subprocess.Popen(command, cwd=tracked, stdout=subprocess.PIPE, text=True)
    for line in first.stdout:
        if "Running stage" in line:
            break
    second = say(tracked, *command)
    first.communicate(timeout=300)
    assert second.returncode != 0 and "busy" in second.stderr and str(first.pid) in second.stderr
    assert first.returncode == 0
    assert "up to date" in say(tracked, sys.executable, "-m", "dvc", "status").stdout


def test_a_third_round_is_an_entry_more(tracked):
    path = tracked / "params.yaml"
    tree = yaml.safe_load(path.read_text())
    agent = "models/second/agent.safetensors"
    tree["rounds"]["third"] = tree["rounds"]["second"] | {"policy": agent}
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    done = say(tracked, sys.executable, "-m", "dvc", "repro", "figures@third")
    assert done.returncode == 0, done.stderr
    assert "sample@first' didn't change" in done.stdout
    assert (tracked / "results/third/figures/returns.png").exists()
    assert "round third" in say(tracked, sys.executable, "-m", "commands.table").stdout


def test_ctrl_c_ends_a_stage_and_its_workers_with_one_line_and_it_goes_on(copy):
    set_param(copy, "rounds.first.generations", 12)
    shutil.rmtree(copy / ".checkpoints")  # of the search that the copy has behind it
    command = [sys.executable, "-m", "stages.train_controller", "first"]
    running = subprocess.Popen(
        command,
        cwd=copy,
        env=environment(WM_CHECKPOINT_SECONDS="0"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: [*copy.glob(".checkpoints/train_controller/first/*/state")])
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 1 and "Traceback" not in said, said
    assert said.splitlines()[-1] == "train_controller@first: interrupted"
    until(lambda: not workers_of(running.pid))
    again = say(copy, *command)
    assert again.returncode == 0 and "continues from its checkpoint" in again.stderr


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def workers_of(group: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def test_a_damaged_object_of_the_cache_is_refused_when_it_is_read(tracked):
    path = "models/second/agent.safetensors"
    stages = yaml.safe_load((tracked / "dvc.lock").read_text())["stages"].values()
    (md5,) = [out["md5"] for stage in stages for out in stage["outs"] if out["path"] == path]
    stored = tracked / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    flip(stored)
    (tracked / path).unlink()
    dvc_said = say(tracked, sys.executable, "-m", "dvc", "checkout")
    told = say(tracked, sys.executable, "-m", "stages.evaluate", "second")
    assert told.returncode == 1 and path in told.stderr and "Traceback" not in told.stderr
    assert dvc_said.returncode != 0 or "damaged" in told.stderr


def test_variants_are_run_as_experiments_and_collected_once(tracked):
    settings = {"rounds.ROUND.optimiser": "simple-es"}
    group = {"round": "first", "baseline": "recipe", "trials": [1], "common": {}}
    group["variants"] = {"recipe": {}, "simple ES": settings, "not possible": {"seed": 0}}
    (tracked / "variants.yaml").write_text(yaml.safe_dump({"ablations": group}))
    config = tracked / ".dvc/config"
    config.write_text(config.read_text().replace("no_scm = True", ""))
    ignored = ["/data", "/models", "/.checkpoints", "__pycache__", "*.mp4", "/dvc_plots"]
    (tracked / ".gitignore").write_text("\n".join(ignored) + "\n")
    for command in (["init"], ["add", "-A"], ["commit", "-m", "all"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = say(tracked, "git", *who, *command)
        assert done.returncode == 0, done.stderr
    done = say(tracked, sys.executable, "-m", "commands.variants")
    assert done.returncode == 1
    assert re.search("not-possible-trial-1-[0-9a-f]{6} failed, see above", done.stderr)
    runs = read_csv(tracked / "results/variants/runs.csv")
    assert [run["variant"] for run in runs] == ["recipe", "simple ES"]
    returns = read_csv(tracked / "results/variants/returns.csv")
    assert len(returns) == 2 * 3 and len({row["return"] for row in returns}) > 3
    curves = (tracked / "results/variants/curves.csv").read_bytes()
    assert curves.count(b"simple ES") == 2  # generations
    again = say(tracked, sys.executable, "-m", "commands.variants")
    assert "recipe" not in again.stdout and "not-possible" in again.stdout
    assert read_csv(tracked / "results/variants/runs.csv") == runs
    (tracked / "results/variants/runs.csv").unlink()  # as if stopped before they were collected
    again = say(tracked, sys.executable, "-m", "commands.variants")
    assert read_csv(tracked / "results/variants/runs.csv") == runs
    assert read_csv(tracked / "results/variants/returns.csv") == returns
    assert (tracked / "results/variants/curves.csv").read_bytes() == curves
    done = say(tracked, sys.executable, "-m", "stages.compare")
    assert done.returncode == 0, done.stderr
    assert "simple ES" in (tracked / "results/compare/ablations.md").read_text()
