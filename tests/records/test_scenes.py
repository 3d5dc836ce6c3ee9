"""Records: their frames drawn again, their files, their latents and M's windows."""

import numpy as np
import pytest

from worldmodels.driving.episodes import Drive, drive_all
from worldmodels.driving.limits import Limits
from worldmodels.environment.car_racing import DrawnCarRacing
from worldmodels.environment.picture.canvas import COLOURS, GROUND
from worldmodels.environment.picture.pose import POSE_DTYPE
from worldmodels.environment.vector_env import VectorCarRacing
from worldmodels.memory.windows import Sequences, with_rewards_ahead
from worldmodels.pipeline.errors import UserError
from worldmodels.policies.explorer import Exploration, ExplorationConfig
from worldmodels.policies.recording import Wandering
from worldmodels.records.latents import Latents, quantise
from worldmodels.records.scenes import Episode, Scenes
from worldmodels.records.split import held_out
from worldmodels.records.tables import read_table, write_table
from worldmodels.runtime.seeds import generator

CONFIG = ExplorationConfig(
    correlation=10,
    steering_std=[0.1, 0.6],
    gas_mean=[0.0, 0.6],
    gas_std=0.3,
    brake_mean=[-0.5, -0.1],
    brake_std=0.2,
)


class Watcher:
    """A driver that keeps every observation it is given."""

    def __init__(self, driver):
        self.driver, self.seen, self.at = driver, {}, {}

    def start(self, slot, candidate, track):
        self.at[slot] = track
        self.seen[track] = []
        self.driver.start(slot, candidate, track)

    def act(self, slots, observations):
        for slot, observation in zip(slots, observations):
            self.seen[self.at[slot]].append(observation.copy())
        return self.driver.act(slots, observations)

    def remember(self, slots, actions):
        self.driver.remember(slots, actions)


@pytest.fixture(scope="module")
def recorded():
    explorer = Wandering(None, lambda t: Exploration(CONFIG, generator(1, "test", t)), 4)
    watcher = Watcher(explorer)
    drives, env = [Drive(0, 100 + track) for track in range(6)], VectorCarRacing(4)
    results = drive_all(watcher, env, drives, Limits(130, 0), record_as="exploration")
    return Scenes([result.episode for result in results]), watcher.seen


def test_drawn_frames_equal_those_the_environment_showed(recorded):
    scenes, seen = recorded
    assert len(scenes) == 6 * 130
    frames = np.concatenate([np.stack(seen[100 + track]) for track in range(6)])
    np.testing.assert_array_equal(scenes.draw(np.arange(len(scenes))), frames)
    assert (frames[130 * 5] != frames[129]).any()


def test_draws_at_another_size_and_in_other_colours(recorded):
    scenes, _ = recorded
    frames = np.arange(0, len(scenes), 50)
    np.testing.assert_array_equal(scenes.draw_as(frames, 64, 64), scenes.draw(frames))
    large = scenes.draw_as(frames, 84, 96)
    assert large.shape == (len(frames), 84, 96, 3)
    assert scenes.draw_as(frames, 32, 40).shape == (len(frames), 32, 40, 3)
    blue = COLOURS.copy()
    blue[GROUND] = (0, 0, 255)
    painted = scenes.draw_as(frames, 84, 96, blue)
    ground = (large == (100, 202, 100)).all(axis=3)
    assert ground.mean() > 0.1 and (painted[ground] == (0, 0, 253)).all()
    assert (painted[(large == (253, 253, 253)).all(axis=3)] == 253).all()


def test_touched_tiles_change_their_shade_when_drawn_again(recorded):
    scenes, _ = recorded
    assert max((touched < 65535).sum() for touched in scenes.touched_at) > 3
    without = Scenes.__new__(Scenes)
    without.__dict__.update(scenes.__dict__)
    without.touched_at = [np.full_like(touched, 65535) for touched in scenes.touched_at]
    last = scenes.starts + scenes.lengths - 1
    assert (without.draw(last) != scenes.draw(last)).any()


def test_scenes_read_back_equal_and_take_40_bytes_per_frame(recorded, tmp_path):
    scenes, _ = recorded
    scenes.save(tmp_path)
    again = Scenes.load(tmp_path)
    for name in ("poses", "actions", "rewards", "track_seeds", "lengths", "ends", "frame_of"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scenes, name))
    order = np.random.default_rng(1).permutation(len(scenes))
    np.testing.assert_array_equal(again.draw(order[:50]), scenes.draw(order[:50]))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size < 40 * len(scenes)  # a raw frame is 12,288 bytes


def test_recorded_actions_reproduce_the_episode(recorded):
    scenes, _ = recorded
    env = DrawnCarRacing()
    env.reset(seed=int(scenes.track_seeds[2]))
    rows = slice(scenes.starts[2], scenes.starts[2] + scenes.lengths[2])
    rewards = [env.step(action.astype(np.float32))[1] for action in scenes.actions[rows]]
    np.testing.assert_array_equal(np.array(rewards, np.float32), scenes.rewards[rows])


def test_batches_yield_every_frame_in_order(recorded):
    scenes, _ = recorded
    order = np.arange(70)[::-1]
    batches = list(scenes.batches(order, 32, 2))
    assert [len(batch) for batch in batches] == [32, 32, 6]
    np.testing.assert_array_equal(np.concatenate(batches), scenes.draw(order))


@pytest.mark.parametrize("name", ["steps", "episodes", "tiles"])
def test_damaged_records_are_refused(recorded, tmp_path, name):
    recorded[0].save(tmp_path)
    path = tmp_path / f"{name}.parquet"
    whole, refused = path.read_bytes(), 0
    for place in np.linspace(0, len(whole) - 1, 60).astype(int):
        content = bytearray(whole)
        content[place] ^= 1 << int(place % 8)
        path.write_bytes(content)
        try:
            again = Scenes.load(tmp_path)
        except UserError as error:
            assert f"{name}.parquet: damaged" in str(error)
            refused += 1
        else:  # a byte that nothing is read from
            np.testing.assert_array_equal(again.poses, recorded[0].poses)
            np.testing.assert_array_equal(again.track_seeds, recorded[0].track_seeds)
            np.testing.assert_array_equal(again.touched_at[3], recorded[0].touched_at[3])
    assert refused > 20
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        Scenes.load(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="no such file"):
        Scenes.load(tmp_path)


def test_tables_keep_types_and_shapes_and_write_equal_bytes(tmp_path):
    rng = np.random.default_rng(1)
    columns = {
        "wide": rng.normal(size=(50, 12)).astype(np.float16),
        "flat": np.arange(50),
        "flag": np.arange(50) % 3 == 0,
    }
    write_table(tmp_path / "a", columns)
    write_table(tmp_path / "b", columns)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for name, array in read_table(tmp_path / "a").items():
        assert array.dtype == columns[name].dtype
        np.testing.assert_array_equal(array, columns[name])


def test_split_holds_out_whole_episodes_and_needs_two():
    chosen = held_out(np.full(40, 10), 0.1, 1)
    assert chosen.shape == (40,) and chosen.sum() == 4
    with pytest.raises(UserError, match="too few"):
        held_out(np.array([100]), 0.1, 1)


@pytest.fixture
def latents():
    frames = np.arange(30, dtype=np.float16)
    return Latents(
        mu=np.stack([frames, -frames], axis=1),
        logvar=np.full((30, 2), -20, np.float16),
        actions=np.stack([frames] * 3, axis=1),
        rewards=frames.astype(np.float32),
        terminated=np.isin(np.arange(30), [9, 29]),
        episode=np.repeat([0, 1, 2], [10, 5, 15]).astype(np.int32),
    )


def test_latents_read_back_equal(latents, tmp_path):
    latents.save(tmp_path / "l.parquet")
    again = Latents.load(tmp_path / "l.parquet")
    for name, array in vars(latents).items():
        np.testing.assert_array_equal(getattr(again, name), array)


def test_latents_refuse_a_table_of_something_else(tmp_path):
    write_table(tmp_path / "l.parquet", {"x": np.zeros(3)})
    with pytest.raises(UserError, match="not those of latents"):
        Latents.load(tmp_path / "l.parquet")


def test_quantised_values_are_few_and_within_half_a_step():
    values = np.random.default_rng(1).normal(size=10_000)
    coarse = quantise(values, 1 / 256)
    assert np.abs(coarse.astype(float) - values).max() < 0.5 / 256 + 0.002
    assert len(np.unique(coarse)) < 2500


def test_windows_stay_within_an_episode_and_align_their_columns(latents):
    sequences = Sequences(latents, np.array([True, False, True]))
    windows = sequences.windows(64, 8, np.random.default_rng(1))
    mu, action = windows["mu"][..., 0].numpy(), windows["action"][..., 0].numpy()
    np.testing.assert_array_equal(mu[:, :-1], action)
    np.testing.assert_array_equal(windows["reward"], action)
    steps, nexts = windows["is_step"].numpy() > 0, windows["has_next"].numpy() > 0
    assert not np.isin(mu[:, :-1][steps], [10, 11, 12, 13, 14]).any()
    np.testing.assert_array_equal(np.diff(mu, axis=1)[nexts], 1)
    assert (windows["terminated"].numpy() == np.isin(action, [9, 29]) * steps).all()


def test_episodes_are_whole_and_padded(latents):
    (windows,) = Sequences(latents, np.array([False, True, True])).episodes(10)
    assert windows["is_step"].sum(1).tolist() == [5, 15]
    assert windows["has_next"].sum(1).tolist() == [4, 14]
    assert windows["mu"].shape == (2, 16, 2)


def test_rewards_ahead_are_means_within_the_episode(latents):
    assert with_rewards_ahead(latents, 1) is latents
    ahead = with_rewards_ahead(latents, 4)
    for start, length in ((0, 10), (10, 5), (15, 15)):
        for step in range(start, start + length):
            remaining = latents.rewards[step : min(step + 4, start + length)]
            assert ahead.rewards[step] == pytest.approx(remaining.mean(), rel=1e-6)
    assert ahead.rewards.dtype == np.float32
    assert ahead.mu is latents.mu and latents.rewards[0] == 0


def test_windows_begin_at_the_first_step_more_often_than_by_chance(latents):
    sequences = Sequences(latents, np.array([False, False, True]))
    windows = sequences.windows(2000, 8, np.random.default_rng(1))
    first = (windows["mu"][:, 0, 0] == 15).float().mean().item()
    assert first == pytest.approx(5 / 12, abs=0.03)  # starts -4 to 7, all before 0 moved there


def test_a_record_of_another_track_is_refused():
    episode = Episode(
        track_seed=3,
        driver="agent",
        poses=np.zeros(1, dtype=POSE_DTYPE),
        actions=np.zeros((1, 3), np.float16),
        rewards=np.zeros(1, np.float32),
        terminated=False,
        touched_at=np.zeros(3, np.uint16),
    )
    with pytest.raises(UserError, match="3 tiles for track 3, which has"):
        Scenes([episode]).draw(np.arange(1))
