"""onnxruntime computes what torch does: whole laps, and their scores."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from worldmodels.agent.agent import Agent
from worldmodels.dream.model import load_dream_model
from worldmodels.dream.step import DreamStep
from worldmodels.environment.car_racing import make_official
from worldmodels.interop.onnx import export, modules_of
from worldmodels.interop.policy import Policy
from worldmodels.interop.vector_env import CarRacingVectorEnv
from worldmodels.memory.mdnrnn import load_mdnrnn
from worldmodels.runtime.seeds import tracks_for_validation
from worldmodels.vision.vae import load_vae

ROUND = "dream"
LATENT_TOLERANCE = 1e-4  # of mu, logvar and h, over a lap
PIXEL_TOLERANCE = 1e-4  # of 1
TRACKS = 20


class Files:
    """The files of a round, each a session of onnxruntime on one thread."""

    def __init__(self, folder: Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.sessions = {
            path.stem: onnxruntime.InferenceSession(path, options)
            for path in folder.glob("*.onnx")
        }

    def __call__(self, name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        session = self.sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs)))


@pytest.fixture(scope="module")
def files(tmp_path_factory, published) -> Files:
    folder = tmp_path_factory.mktemp("exports")
    for name, module in modules_of(ROUND).items():
        export(module, folder / f"{name}.onnx")
    return Files(folder)


@pytest.fixture(scope="module")
def published():
    """Run where the published models are: in the repository, after `dvc pull`."""
    if not Path("models", ROUND, "agent.safetensors").exists():
        pytest.fail("the published models are not here: run `make` first")


class OnnxPolicy:
    """The agent from its files alone, in `count` environments."""

    def __init__(self, files: Files, count: int):
        self.files = files
        self.hidden = self.cell = np.zeros((count, 256), np.float32)

    def act(self, observations: np.ndarray) -> np.ndarray:
        self.seen = self.files("encoder", frames=observations)
        z = self.seen["mu"]
        action = self.files("controller", z=z, hidden=self.hidden)["action"]
        told = self.files("memory", z=z, action=action, hidden=self.hidden, cell=self.cell)
        self.hidden, self.cell = told["hidden_after"], told["cell_after"]
        return action


def agent() -> Agent:
    return Agent.load(Path("models", ROUND, "agent.safetensors"))


def test_the_files_take_any_number_of_rows(files):
    for n in (1, 2, 7):
        frames = np.random.default_rng(n).integers(0, 255, (n, 64, 64, 3), dtype=np.uint8)
        seen = files("encoder", frames=frames)
        assert seen["mu"].shape == (n, 32)
        assert files("decoder", z=seen["mu"])["frames"].shape == (n, 64, 64, 3)


def test_a_lap_agrees_with_torch_step_by_step(files):
    """From the same inputs in each step; a difference would grow if each ran on its own."""
    policy, mine = OnnxPolicy(files, 1), agent()
    memory = load_mdnrnn(Path("models/first/mdnrnn.safetensors"))
    vae = load_vae(Path("models/first/vae.safetensors"))
    state = memory.initial_state(1)
    env = make_official()
    observation, _ = env.reset(seed=7)
    worst, over, steps = {"mu": 0.0, "logvar": 0.0, "h": 0.0, "frame": 0.0}, False, 0
    while not over:
        action = policy.act(observation[None])[0]
        with torch.inference_mode():
            frames = torch.from_numpy(observation[None].copy()).permute(0, 3, 1, 2).float() / 255
            mu, logvar = mine.encoder(frames)
            z = torch.from_numpy(policy.seen["mu"])
            _, state = memory(z[None], torch.from_numpy(action)[None, None], state)
            picture = vae.decode(mu).permute(0, 2, 3, 1).numpy()
        drawn = files("decoder", z=mu.numpy())["frames"]
        differences = {
            "mu": policy.seen["mu"] - mu.numpy(),
            "logvar": policy.seen["logvar"] - logvar.numpy(),
            "h": policy.hidden - state.hidden[0].numpy(),
            "frame": drawn - picture,
        }
        worst = {key: max(worst[key], abs(d).max()) for key, d in differences.items()}
        observation, _, terminated, truncated, _ = env.step(action)
        over, steps = terminated or truncated, steps + 1
    assert steps > 500
    assert max(worst["mu"], worst["logvar"], worst["h"]) < LATENT_TOLERANCE, worst
    assert worst["frame"] < PIXEL_TOLERANCE, worst


def test_the_m_that_dreams_agrees_with_its_step(files):
    model = load_dream_model(Path("data", ROUND, "practice/dream.safetensors"))
    step, rng = DreamStep(model), np.random.default_rng(1)
    Z, H = model.latent_size, model.config.hidden_size
    centre, scale = model.centre.numpy(), model.scale.numpy()
    latents = (centre + scale * rng.normal(size=(4, Z))).astype(np.float32)
    before, hidden, cell = latents, np.zeros((4, H), np.float32), np.zeros((4, H), np.float32)
    for _ in range(200):
        action = rng.uniform([-1, 0, 0], 1, (4, 3)).astype(np.float32)
        inputs = {"latents": latents, "before": before, "action": action}
        told = files("dream", **inputs, hidden=hidden, cell=cell)
        with torch.inference_mode():
            arrays = [torch.from_numpy(a) for a in (latents, before, action, hidden, cell)]
            h, c = step.remember(*arrays)
            following = step.means(h, arrays[0]).numpy()
            outcome = step.outcome(h)
        mean = (np.exp(told["log_weights"]) * told["means"]).sum(axis=2)
        close = {"rtol": 1e-4, "atol": 1e-4}
        assert np.allclose(told["hidden_after"], h.numpy(), **close)
        assert np.allclose(told["cell_after"], c.numpy(), **close)
        assert np.allclose(mean * told["scale"] + told["centre"], following, **close)
        assert np.allclose(told["reward"], outcome.reward, **close)
        assert np.allclose(1 / (1 + np.exp(-told["lost_logit"])), outcome.lost, **close)
        before, latents = latents, following
        hidden, cell = told["hidden_after"], told["cell_after"]


def returns_of(policy) -> np.ndarray:
    """The returns of a policy with our picture on the first validation tracks."""
    envs = CarRacingVectorEnv(TRACKS)
    observations, _ = envs.reset(seed=tracks_for_validation(TRACKS))
    total, over = np.zeros(TRACKS), np.zeros(TRACKS, dtype=bool)
    while not over.all():
        observations, rewards, terminated, truncated, _ = envs.step(policy.act(observations))
        total += rewards * ~over
        over |= terminated | truncated
    return total


def test_the_scores_are_those_of_the_agent_but_for_what_bfloat16_makes(files):
    mine, theirs = returns_of(Policy(agent())), returns_of(OnnxPolicy(files, TRACKS))
    print(f"bfloat16 {mine.mean():.1f}, onnxruntime {theirs.mean():.1f}")
    print("differences", np.sort(theirs - mine).round(1).tolist())
    assert np.median(abs(mine - theirs)) < 5  # a car that is lost on one side alone costs hundreds
    assert abs(np.median(mine) - np.median(theirs)) < 5
