"""The browser computes what torch does with the page's rounded weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.page.conftest import ROUND
from worldmodels.control.controller import act
from worldmodels.dream.environment import Dream
from worldmodels.dream.moments import Moments
from worldmodels.dream.sampling import _uniform
from worldmodels.interop.page import COLUMNS, load_models, modules_to_export
from worldmodels.interop.trained import TrainedRound
from worldmodels.memory.step import MemoryStep
from worldmodels.reports.dreaming import TO_THE_END

STEPS = 200
LOST_AT, STRANGE_AT = 0.9, 20  # as in dream.js
START = 8  # the moment from which dreams here begin, and
STARTS = (0, 8, 15, 22)  # those of returns
TOLERANCE = 1e-4  # of h, reward, action and the chance of a loss, from the same state
Z_TOLERANCE = 1e-3  # of the latents that are drawn then, at unit variance
FREE_STEPS, FREE_TOLERANCE = 100, 0.01  # of z and h: rounding grows tenfold every 20 to 30 steps
RETURN_TOLERANCE = 0.1  # points, of about 200


@pytest.fixture(scope="module")
def models() -> TrainedRound:
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


def dream_of(models: TrainedRound, site: Path, **rules) -> Dream:
    """The dream in Python, one, at the moment START."""
    memory = MemoryStep.of(models.memory)
    changed = replace(TO_THE_END, **rules)
    made = Dream(models.dream, memory, read_moments(site), changed, num_envs=1)
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


def chosen_by_c(models: TrainedRound, dream: Dream) -> np.ndarray:
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
    dream = dream_of(models, site, sampled=True, temperature=0.8, horizon=1000)
    rng = np.random.default_rng(1)
    states, actions, noises, expected = [], [], [], []
    for step in range(STEPS):
        states.append(state_of(dream))
        noises.append(noise_of(dream))
        by_c = chosen_by_c(models, dream)
        action = (by_c + rng.normal(0, 0.1, by_c.shape)).clip([-1, 0, 0], 1).astype(np.float32)
        _, rewards, *_, infos = dream.step(action)
        actions.append(action[0].tolist())
        expected.append((by_c[0], state_of(dream), rewards[0], infos["lost"][0]))
        # Where M knows nothing, latents grow without end
        strange = abs(unit(dream, expected[-1][1]["latents"])).max() > STRANGE_AT
        if strange or infos["lost"][0] > LOST_AT:
            dream.reset(options={"moments": [START], "seeds": [step + 2]})
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
    dream = dream_of(models, site, horizon=1000)
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
    dream = dream_of(models, site, horizon=1000)
    for start in STARTS:
        dream.reset(options={"moments": [start], "seeds": [1]})
        total = 0.0
        for _ in range(STEPS):
            total += float(dream.step(chosen_by_c(models, dream).astype(np.float32))[1][0])
        found = page.evaluate(FREE, {"start": start, "actions": [None] * STEPS})
        print(f"C from {start}, {STEPS} steps: Python {total:.2f}, page {found['points']:.2f}")
        assert abs(total - found["points"]) < RETURN_TOLERANCE
        assert total > 100  # it does drive


PIXELS = """(id) => {
  const canvas = document.getElementById(id), { data } =
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [...data].filter((_, n) => n % 4 < 3);
}"""


def pixels(page, canvas: str) -> np.ndarray:
    """What a canvas shows, int [64, 64, 3]."""
    return np.array(page.evaluate(PIXELS, canvas)).reshape(64, 64, 3)


def test_the_pictures_are_those_that_v_decodes_and_the_track_that_was_driven(page, site, models):
    page.click("#pause")
    decoder = modules_to_export(models)["decoder"]
    step = 300
    before = pixels(page, "expected")
    page.locator("#step").fill(str(step))
    while (pixels(page, "expected") == before).all():  # the last of the three
        page.wait_for_timeout(50)
    for canvas, name in (("seen", "lap_mu"), ("expected", "lap_expected")):
        with torch.inference_mode():
            frames = decoder(torch.from_numpy(read(site, name)[step : step + 1].copy()))
        assert abs(pixels(page, canvas) - 255 * frames[0].numpy()).max() <= 1, canvas
    strip = np.array(Image.open(site / "data/lap.png").convert("RGB")).astype(int)
    row, column = divmod(step, COLUMNS)
    driven = strip[64 * row : 64 * (row + 1), 64 * column : 64 * (column + 1)]
    assert (pixels(page, "track") == driven).all()


def test_the_noise_is_uniform_and_normal(page):
    found = page.evaluate("""async () => {
      const { drawNoise } = await import(new URL("src/dream.js", location.href).href);
      const { pick, normal } = drawNoise(20000);
      return { pick: [...pick], normal: [...normal] };
    }""")
    pick, normal = np.array(found["pick"]), np.array(found["normal"])
    assert pick.min() > 0 and pick.max() < 1
    assert abs(pick.mean() - 0.5) < 0.02 and abs(pick.var() - 1 / 12) < 0.005
    assert abs(normal.mean()) < 0.05 and abs(normal.var() - 1) < 0.1


def test_m_expects_more_of_the_lap_than_that_nothing_changes(site):
    mu, expected = read(site, "lap_mu"), read(site, "lap_expected")
    assert mu.shape == expected.shape
    error, change = np.square(mu[1:] - expected[1:]).mean(), np.square(np.diff(mu, axis=0)).mean()
    print(f"squared error of M {error:.5f}, of the latents before {change:.5f}")
    assert error < 0.8 * change
