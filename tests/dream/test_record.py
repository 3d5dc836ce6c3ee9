"""The record that grows: what is added, what counts as lost, where windows and dreams begin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.agents import make_agent
from tests.dream.toys import (
    HASTE,
    LATENTS,
    MEMORY,
    RULES,
    TAKEOVERS,
    make_drive,
    make_memory,
    make_model,
    make_record,
)
from worldmodels.dream.environment import DreamStep
from worldmodels.dream.moments import Weights, draw_moments, follow
from worldmodels.dream.record import Record, Windows
from worldmodels.dream.recording import (
    EpisodeEnd,
    HasteConfig,
    RecordSegmentJob,
    Segment,
    has_come_round,
)
from worldmodels.dream.values import paid_along, values_along
from worldmodels.driving.limits import Limits
from worldmodels.environment.frames import POSE_DTYPE
from worldmodels.environment.rewards import LAP_REWARD, LEFT_PLAYFIELD, STEP_COST
from worldmodels.pipeline.errors import UserError
from worldmodels.records.latents import Latents
from worldmodels.records.scenes import Scenes
from worldmodels.vision.encoder import BatchEncoder

DELAY = 4


def record_segments(
    count, steps=30, envs=2, agent=None, patience=20, haste=HASTE, undisturbed=0.0, noise=0.1
):
    """A record of `count` segments of a small agent, without an explorer's drives."""
    agent = agent or make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    record, group = Record([], explored=0), None
    for number in range(count):
        job = RecordSegmentJob(
            agent=agent,
            envs=envs,
            steps=steps,
            undisturbed=undisturbed,
            hold=4,
            noise=noise,
            limits=Limits(50, patience),
            rng=np.random.default_rng(number),
            tracks=[1, 2, 3],
            haste=haste,
            takeovers=TAKEOVERS,
            group=group,
            device="cpu",
            title="",
        )
        segment, group = job.run()
        record.add(segment, 0)
    return record


def test_drives_go_on_from_segment_to_segment_and_can_be_drawn_again():
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    record = record_segments(3, agent=agent)
    assert record.frames() == 3 * 30 * 2
    assert max(len(drive) for drive in record.drives) > 30  # longer than a segment
    over = [drive for drive in record.drives if drive.over]
    assert over and all(len(drive) <= 50 for drive in over)
    assert all(drive.lost == (len(drive) < 50) for drive in over)  # else at the horizon
    scenes = Scenes(record.scenes())
    assert len(scenes) == record.frames()
    pictures = scenes.draw(np.arange(32))
    mu, _ = BatchEncoder(agent.encoder, "float32", "cpu")(pictures)
    joined = np.concatenate([drive.mu for drive in record.drives])
    np.testing.assert_allclose(joined[:32], mu.numpy(), atol=1e-5)


def test_a_lost_car_counts_as_lost_some_steps_after_its_last_tile():
    drive = make_drive(40, lost=True)  # its last tile comes at step 27
    assert drive.lost_from(DELAY) == 31
    assert drive.lost_from(100) == 40
    assert make_drive(40).lost_from(DELAY) == 40


def test_the_newest_drives_are_those_under_way_last_not_those_that_began_last():
    record = record_segments(4, steps=20, envs=2, patience=8)
    ages = {  # steps since the last frame of each drive
        index: 80 - drive.until for index, drive in enumerate(record.drives)
    }
    assert sorted(ages.values())[:2] == [0, 0]  # under way in both environments
    for steps in (1, 15, 40, 80):
        assert record.newest(2 * steps) == [index for index, age in ages.items() if age < steps]
    assert record.newest(10_000) == list(ages)
    for steps in (15, 40, 80):  # the last frames of the newest drives are the last frames driven
        chosen = record.newest(2 * steps)
        fresh = [len(record.drives[i]) - record.newest_from(i, 2 * steps) for i in chosen]
        assert sum(fresh) == 2 * steps
    assert Record([make_drive(10, lost=True)], explored=1).newest(100) == []


def test_a_car_that_has_come_round_is_not_lost_where_it_drives_again():
    """It is given nothing for road that it has driven before, which looks like any road."""
    rewards = np.full(40, -STEP_COST, np.float32)
    rewards[[3, 9, 20]] += 0.31 * LAP_REWARD
    latents = Latents(
        mu=np.zeros((80, LATENTS), np.float16),
        logvar=np.zeros((80, LATENTS), np.float16),
        actions=np.zeros((80, 3), np.float16),
        rewards=np.concatenate([rewards, np.where(np.arange(40) < 20, rewards, -0.1)]),
        terminated=np.zeros(80, dtype=bool),
        episode=np.repeat(np.array([0, 1], np.int32), 40),
    )
    whole, most = Record.of_explorer(latents, np.zeros(80, POSE_DTYPE), 15).drives
    assert (len(whole), whole.lost) == (21, False)
    assert (len(most), most.lost) == (25, True)
    assert has_come_round(0.9 * LAP_REWARD - 40 * STEP_COST, 40)
    assert not has_come_round(0.89 * LAP_REWARD - 40 * STEP_COST, 40)


@pytest.mark.parametrize("came_round", [True, False])
def test_what_follows_the_last_tile_of_a_lap_is_forgotten(came_round):
    steps, rewards = 30, np.full((30, 1), -0.1, np.float32)
    rewards[:21:3] = 3.0
    end = EpisodeEnd(0, 27, False, not came_round, came_round, 1.0, 5, np.zeros(9, np.uint16))
    segment = Segment(
        poses=np.zeros((steps, 1), POSE_DTYPE),
        mu=np.random.default_rng(1).normal(size=(steps, 1, LATENTS)).astype(np.float32),
        actions=np.zeros((steps, 1, 3), np.float16),
        rewards=rewards,
        by_c=np.arange(steps)[:, None] % 4 > 0,
        ends=[end],
        tracks=np.array([6]),
        touched_at=[np.zeros(9, np.uint16)],
    )
    record = Record([], explored=0)
    record.add(segment, 0)
    drive, following = record.drives
    assert drive.over and drive.lost != came_round
    assert len(drive) == len(drive.mu) == len(drive.actions) == (19 if came_round else 28)
    np.testing.assert_array_equal(drive.by_c, np.arange(len(drive)) % 4 > 0)
    assert drive.until == len(drive) and following.until == 30
    assert drive.scene is not None and len(drive.scene.rewards) == 28  # all can be drawn
    assert len(following) == 2


def test_the_explorers_lost_cars_are_cut_off_and_leaving_the_playfield_is_no_reward():
    rewards = np.array([3.0, -0.1, -0.1, -0.1, -0.1, 3.0, 3.0, LEFT_PLAYFIELD], np.float32)
    latents = Latents(
        mu=np.zeros((8, LATENTS), np.float16),
        logvar=np.zeros((8, LATENTS), np.float16),
        actions=np.zeros((8, 3), np.float16),
        rewards=rewards,
        terminated=np.arange(8) == 7,
        episode=np.array([0] * 5 + [1] * 3, np.int32),
    )
    poses = np.zeros(8, POSE_DTYPE)
    poses["on_road"][:3] = 4, 1, 2
    poses["hull"][:, 0] = [0, 0.6, 1.0, 5, 5, 7, 7.5, 9.5]
    poses["hull"][:, 1] = [0, 0.8, 0.8, 0, 0, 1, 1, 1]
    poses["hull"][5:, 2] = -np.pi / 2
    idle, left = Record.of_explorer(latents, poses, 2).drives
    assert (len(idle), idle.lost) == (3, True)
    assert (len(left), left.lost) == (3, True)
    assert left.rewards[-1] == np.float32(-STEP_COST)
    assert idle.off_road.tolist() == [0.5, 0, 0] and left.off_road.tolist() == [1, 1, 1]
    np.testing.assert_allclose(idle.motion[:, 0], [0, 40, 0], atol=1e-4)  # it faces along y
    np.testing.assert_allclose(idle.motion[:, 1], [0, 30, 20], atol=1e-4)
    np.testing.assert_allclose(left.motion[:, 0], [0, 25, 100], atol=1e-4)  # it faces along x
    np.testing.assert_allclose(left.moved[:, 0], [25, 100, 100], atol=1e-4)
    np.testing.assert_array_equal(left.told, np.concatenate([left.mu, left.motion], axis=1))
    with pytest.raises(UserError, match="no car is lost in the record"):
        rich = Latents(**vars(latents) | {"rewards": np.full(8, 3.0, np.float32)})
        Record.of_explorer(rich, poses, 5)


def test_windows_hold_what_the_drives_do_and_label_the_lost():
    record = make_record()
    windows = Windows(record, [2], DELAY, 3)
    batch = windows.draw(200, 10, np.random.default_rng(1))
    drive = record.drives[2]
    for row in range(200):
        first = batch["told"][row, 0].numpy()
        at = int(np.flatnonzero((drive.told == first).all(axis=1))[0])
        steps = min(10, len(drive) - at)
        assert batch["is_step"][row].sum() == steps
        np.testing.assert_array_equal(batch["reward"][row, :steps], drive.rewards[at : at + steps])
        ahead = [drive.rewards[now : now + 3].mean() for now in range(at, at + steps)]
        np.testing.assert_allclose(batch["ahead"][row, :steps], ahead, rtol=1e-5, atol=1e-6)
        expected = np.arange(at, at + steps) >= drive.lost_from(DELAY)
        np.testing.assert_array_equal(batch["lost"][row, :steps], expected)
        following = min(10, len(drive) - at - 1)
        assert batch["has_next"][row].sum() == following
        np.testing.assert_array_equal(
            batch["told"][row, 1 : following + 1], drive.told[at + 1 : at + 1 + following]
        )
        np.testing.assert_array_equal(
            batch["off_road"][row, :steps], drive.off_road[at : at + steps]
        )
    assert batch["lost"].sum() > 0


def test_moments_are_the_states_of_both_models_before_each_frame():
    record, model, memory = make_record(), make_model(), make_memory()
    found = follow(record.drives, memory, DreamStep(model))
    for drive, start in zip(record.drives, found.starts):
        z = model.normalise(torch.from_numpy(drive.told))
        before = torch.cat([z[:1], z[:-1]])
        inputs = model.inputs(z, before, torch.from_numpy(drive.actions))
        hidden, _ = model.lstm(inputs[None])
        rows = slice(start + 1, start + len(drive))
        np.testing.assert_allclose(found.moments.hidden[rows], hidden[0, :-1], atol=1e-5)
        assert (found.moments.hidden[start] == 0).all() and (found.moments.cell[start] == 0).all()
        state = memory.start(1)
        for step in range(len(drive)):
            np.testing.assert_allclose(
                found.moments.memory[start + step], state.hidden[0], atol=1e-5
            )
            mu, action = drive.mu[step : step + 1], drive.actions[step : step + 1]
            memory.step(state, np.zeros(1, int), torch.from_numpy(mu), torch.from_numpy(action))


def test_dreams_begin_where_the_shares_say_and_never_with_a_lost_car():
    record = make_record()
    found = follow(record.drives, make_memory(), DreamStep(make_model()))
    weights = Weights(explored=0.2, near_loss=0.3, reach=8, margin=2)
    rows = draw_moments(found, 1000, weights, DELAY, np.random.default_rng(1))
    lengths = [len(drive) for drive in record.drives]
    of = np.repeat(np.arange(4), lengths)[rows]
    assert (of < 2).sum() == 200
    lost = record.drives[2]
    last_tile = lost.lost_from(DELAY) - DELAY
    near = (of == 2) & (found.step[rows] >= last_tile - 8) & (found.step[rows] < last_tile - 2)
    assert near.sum() >= 300
    for index, drive in enumerate(record.drives):
        assert (found.step[rows][of == index] < drive.lost_from(DELAY)).all()
    only = follow(record.drives[:2], make_memory(), DreamStep(make_model()))
    assert len(draw_moments(only, 50, weights, DELAY, np.random.default_rng(1))) == 50


def test_the_record_pays_as_the_dream_does():
    """A recorded step is paid less where the car was off the road, too fast, or sliding."""
    record = make_record()
    found = follow(record.drives, make_memory(), DreamStep(make_model()))
    rules = replace(RULES, off_road_cost=5.0, speed_limit=60.0, speed_cost=0.3)
    rules = replace(rules, sliding_limit=8.0, sliding_cost=0.7)
    paid = paid_along(found, rules)
    for drive, start in zip(record.drives, found.starts):
        speed, aside = np.linalg.norm(drive.moved[:, :2], axis=1), np.abs(drive.moved[:, 1])
        due = drive.rewards - 5.0 * drive.off_road - 0.3 * np.maximum(speed - 60, 0)
        due -= 0.7 * np.maximum(aside - 8, 0)
        assert (speed > 60).any() and (aside > 8).any()
        np.testing.assert_allclose(paid[start : start + len(drive)], due, atol=1e-4)
    free = paid_along(found, RULES)
    np.testing.assert_array_equal(free, np.concatenate([drive.rewards for drive in record.drives]))


def test_haste_is_added_to_the_outputs_of_a_share_of_the_cars():
    added = HASTE.draw(2000, np.random.default_rng(1))
    hasty = (added != 0).any(axis=1)
    assert 0.45 < hasty.mean() < 0.55
    assert (added[:, 0] == 0).all()
    assert 0.75 < added[:, 1].max() <= 0.8 and added[:, 1].min() == 0
    assert -0.2 <= added[:, 2].min() < -0.19 and added[:, 2].max() == 0


def test_a_hasty_car_is_faster_than_c():
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    calm, hasty = (
        record_segments(
            1,
            agent=agent,
            haste=HasteConfig(lesson=0, share=share, steps=8, most=[0.0, 2.0, -2.0]),
        )
        for share in (0.0, 1.0)
    )
    gas = [record.drives[1].actions[:, 1].mean() for record in (calm, hasty)]  # of the other car
    assert gas[1] > gas[0] + 0.1


def test_c_alone_drives_the_undisturbed_cars():
    steps, most = 12, [0.0, 0.8, -0.2]
    calm, wild, alone = (
        [drive.actions[:steps] for drive in record_segments(1, steps, 4, **options).drives]
        for options in (
            {"undisturbed": 0.5, "haste": HasteConfig(lesson=0, share=0.0, steps=8, most=most)},
            {"undisturbed": 0.5, "noise": 3.0},
            {"undisturbed": 1.0},
        )
    )
    assert len(calm) == len(wild) == len(alone) == 4
    # The first is the explorer's in turn, the second is driven with noise
    for slot in range(4):
        assert np.array_equal(calm[slot], wild[slot]) != (slot == 1)
        assert np.array_equal(calm[slot], alone[slot]) != (slot in {0, 1})


def test_the_record_tells_what_c_decided():
    """Not the explorer's turns, nor steps in haste; noise is C's own."""
    hasty = HasteConfig(lesson=0, share=1.0, steps=8, most=[0.0, 0.8, -0.2])
    record = record_segments(1, 12, 4, haste=hasty, undisturbed=0.25)
    first, second, third, fourth = (drive.by_c for drive in record.drives)
    for in_turn in (first, second):
        assert in_turn[:2].all() and 0.2 < in_turn.mean() < 0.9  # C begins
    assert not third.any() and fourth.all()
    calm = HasteConfig(lesson=0, share=0.0, steps=8, most=[0.0, 0.8, -0.2])
    (_, noisy) = record_segments(1, 12, 2, haste=calm, noise=3.0).drives
    assert noisy.by_c.all()


def test_values_along_are_discounted_sums_with_the_price_of_a_loss():
    record = make_record()
    record.drives[3].by_c[[5, 6, 11]] = False
    found = follow(record.drives, make_memory(), DreamStep(make_model()))
    value = np.random.default_rng(1).normal(size=len(found.step))
    rewards_of = np.concatenate([drive.rewards for drive in record.drives])
    targets = values_along(found, rewards_of, value, 0.9, 1.0, 70.0, DELAY)
    for drive, start in zip(record.drives, found.starts):
        rewards = drive.rewards.astype(float)
        after = 0.0 if drive.lost else value[start + len(drive) - 1]
        if drive.lost:
            rewards[drive.lost_from(DELAY)] -= 70.0
        for step in reversed(range(len(drive))):
            decided = drive.by_c[step]  # else its worth is what the critic says
            after = rewards[step] + 0.9 * after if decided else value[start + step]
            assert targets[start + step] == pytest.approx(after)
    # One step, then the critic's value
    nearer = values_along(found, rewards_of, value, 0.9, 0.0, 70.0, DELAY)
    drive, start = record.drives[3], found.starts[3]
    values = value[start : start + len(drive)]
    expected = np.where(drive.by_c[:-1], drive.rewards[:-1] + 0.9 * values[1:], values[:-1])
    np.testing.assert_allclose(nearer[start : start + len(drive) - 1], expected)
