"""The browser computes what torch does with the page's rounded weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.page.conftest import ROUND
from worldmodels.control.controller import act
from worldmodels.dream.environment import Dream
from worldmodels.dream.moments import Moments
from worldmodels.dream.rules import MEANS
from worldmodels.dream.sampling import _uniform
from worldmodels.interop.page import Models, load_models
from worldmodels.memory.step import MemoryStep

STEPS = 200
START = 8  # the moment from which all dreams here begin
TOLERANCE = 1e-4  # of h, reward, action and the chance of a loss, from the same state
Z_TOLERANCE = 1e-3  # of the latents that are drawn then, at unit variance
FREE_STEPS, FREE_TOLERANCE = 100, 0.01  # of z and h: rounding grows tenfold every 20 to 30 steps
RETURN_TOLERANCE = 0.1  # points, of about 200


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    return load_models(ROUND)


def read(site: Path, name: str) -> np.ndarray:
    """An array of the page's numbers."""
    place = json.loads((site / "data/contents.json").read_text())["arrays"][name]
    content = (site / "data/numbers.bin").read_bytes()
    count = int(np.prod(place["shape"]))
    return np.frombuffer(content, np.float32, count, place["offset"]).reshape(place["shape"])


def read_moments(site: Path) -> Moments:
    """The moments at which the page's dreams begin."""
    arrays = [read(site, f"moment_{name}").copy() for name in Moments._fields]
    return Moments(*map(torch.from_numpy, arrays))


def dream_of(models: Models, site: Path, **rules) -> Dream:
    """The dream in Python, one, at the moment START."""
    memory = MemoryStep.of(models.memory)
    made = Dream(models.dream, memory, read_moments(site), replace(MEANS, **rules), num_envs=1)
    made.reset(options={"moments": [START], "seeds": [1]})
    return made


def state_of(dream: Dream) -> dict[str, list[float]]:
    """All that a dream knows, as the page names it."""
    arrays = {
        "latents": dream.latents,
        "before": dream.before,
        "hidden": dream.hidden,
        "cell": dream.cell,
        "memory": dream.state.hidden,
        "memoryCell": dream.state.cell,
    }
    return {name: array[0].tolist() for name, array in arrays.items()}


def noise_of(dream: Dream) -> dict[str, list[float]]:
    """The noise of a dream's next step, as `draw_next` draws it from its key."""
    key, step, Z = dream.keys[0], int(dream.steps[0]), dream.model.latent_size
    draws = [[_uniform(key, (step * Z + n) * 3 + m) for m in range(3)] for n in range(Z)]
    normal = [np.sqrt(-2 * np.log(one)) * np.cos(2 * np.pi * two) for _, one, two in draws]
    return {"pick": [pick for pick, _, _ in draws], "normal": [float(x) for x in normal]}


def chosen_by_c(models: Models, dream: Dream) -> np.ndarray:
    """C's action in a dream [1, A]."""
    features = dream._observations()[:, : models.agent.config.features].astype(np.float64)
    one = np.zeros(1, dtype=np.int64)
    return act(models.agent.parameters, one, features, models.agent.hidden_units)


def unit(dream: Dream, latents) -> np.ndarray:
    """Latents at unit variance."""
    return (np.asarray(latents) - dream.model.centre.numpy()) / dream.model.scale.numpy()


FOLLOW = """async ({ states, actions, noises, options }) => {
  const { dream: { constructor: Dream } } = window.page.driving, { loaded } = window.page;
  const dream = new Dream(loaded.models, loaded.numbers), found = [];
  for (let n = 0; n < states.length; n++) {
    for (const name in states[n]) dream[name] = Float32Array.from(states[n][name]);
    const chosen = await dream.act();
    await dream.step(actions[n], options, noises[n]);
    found.push({ action: [...chosen], latents: [...dream.latents], hidden: [...dream.hidden],
                 memory: [...dream.memory], reward: dream.reward, lost: dream.lost });
  }
  return found;
}"""


def test_the_same_states_and_noise_lead_to_the_same_next_ones(page, site, models):
    dream = dream_of(models, site, sampled=True, temperature=0.8, horizon=1000, lost_at=2.0)
    rng = np.random.default_rng(1)
    states, actions, noises, expected = [], [], [], []
    for _ in range(STEPS):
        states.append(state_of(dream))
        noises.append(noise_of(dream))
        by_c = chosen_by_c(models, dream)
        action = (by_c + rng.normal(0, 0.1, by_c.shape)).clip([-1, 0, 0], 1).astype(np.float32)
        _, rewards, *_, infos = dream.step(action)
        actions.append(action[0].tolist())
        expected.append((by_c[0], state_of(dream), rewards[0], infos["lost"][0]))
    options = {"sampled": True, "temperature": 0.8}
    given = {"states": states, "actions": actions, "noises": noises, "options": options}
    found = page.evaluate(FOLLOW, given)
    worst = dict.fromkeys(("action", "z", "hidden", "memory", "reward", "lost"), 0.0)
    for (action, state, reward, lost), theirs in zip(expected, found, strict=True):
        differences = {
            "action": np.subtract(action, theirs["action"]),
            "z": unit(dream, state["latents"]) - unit(dream, theirs["latents"]),
            "hidden": np.subtract(state["hidden"], theirs["hidden"]),
            "memory": np.subtract(state["memory"], theirs["memory"]),
            "reward": np.array(reward - theirs["reward"]),
            "lost": np.array(lost - theirs["lost"]),
        }
        worst = {key: max(worst[key], float(abs(d).max())) for key, d in differences.items()}
    print("largest differences from the same states:", worst)
    assert worst.pop("z") < Z_TOLERANCE
    assert max(worst.values()) < TOLERANCE, worst


FREE = """async ({ start, actions }) => {
  const { dream: { constructor: Dream } } = window.page.driving, { loaded } = window.page;
  const dream = new Dream(loaded.models, loaded.numbers);
  dream.begin(start);
  for (const action of actions) {
    await dream.step(action ?? (await dream.act()), { sampled: false, temperature: 1 });
  }
  return { latents: [...dream.latents], memory: [...dream.memory], points: dream.points };
}"""


def test_with_mean_z_they_agree_running_freely(page, site, models):
    dream = dream_of(models, site, horizon=1000, lost_at=2.0)
    actions = []
    for _ in range(FREE_STEPS):
        actions.append(chosen_by_c(models, dream).astype(np.float32)[0].tolist())
        dream.step(np.array([actions[-1]], np.float32))
    found = page.evaluate(FREE, {"start": START, "actions": actions})
    state = state_of(dream)
    z = abs(unit(dream, state["latents"]) - unit(dream, found["latents"])).max()
    h = abs(np.subtract(state["memory"], found["memory"])).max()
    print(f"after {FREE_STEPS} free steps: z {z:.1e}, h {h:.1e}")
    assert max(z, h) < FREE_TOLERANCE


def test_c_at_the_wheel_collects_the_same_return(page, site, models):
    dream = dream_of(models, site, horizon=1000, lost_at=2.0)
    total = 0.0
    for _ in range(STEPS):
        total += float(dream.step(chosen_by_c(models, dream).astype(np.float32))[1][0])
    found = page.evaluate(FREE, {"start": START, "actions": [None] * STEPS})
    print(f"C in the dream, {STEPS} steps: Python {total:.2f}, the page {found['points']:.2f}")
    assert abs(total - found["points"]) < RETURN_TOLERANCE
    assert total > 100  # it does drive


def test_m_expects_more_of_the_lap_than_that_nothing_changes(site):
    mu, expected = read(site, "lap_mu"), read(site, "lap_expected")
    assert mu.shape == expected.shape
    error, change = np.square(mu[1:] - expected[1:]).mean(), np.square(np.diff(mu, axis=0)).mean()
    print(f"squared error of M {error:.5f}, of the latents before {change:.5f}")
    assert error < 0.8 * change
