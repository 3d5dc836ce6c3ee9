"""What is driven between two lessons, by whom, and with what disturbance."""

import numpy as np
import pytest

from tests.agents import make_agent
from tests.dream.toys import (
    HASTE,
    LATENTS,
    MEMORY,
    TAKEOVERS,
    record_segments,
)
from worldmodels.dream.disturbances import HasteConfig, Takeovers
from worldmodels.records.scenes import Scenes
from worldmodels.vision.encoder import BatchEncoder


def test_drives_go_on_from_segment_to_segment_and_can_be_drawn_again():
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    record = record_segments(3, agent=agent)
    assert sum(len(drive) for drive in record.drives) == 3 * 30 * 2
    assert max(len(drive) for drive in record.drives) > 30  # longer than a segment
    over = [drive for drive in record.drives if drive.over]
    assert over and all(len(drive) <= 50 for drive in over)
    assert all(drive.lost == (len(drive) < 50) for drive in over)  # else at the horizon
    scenes = Scenes(record.scenes())
    assert len(scenes) == sum(len(drive) for drive in record.drives)
    pictures = scenes.draw(np.arange(32))
    mu, _ = BatchEncoder(agent.encoder, "float32", "cpu")(pictures)
    joined = np.concatenate([drive.mu for drive in record.drives])
    np.testing.assert_allclose(joined[:32], mu.numpy(), atol=1e-5)


def test_the_explorer_takes_over_some_cars_for_a_while():
    config, rng = TAKEOVERS, np.random.default_rng(1)
    takeovers = Takeovers(config, 6, rng)
    c = np.zeros((6, 3))
    taken = np.stack([takeovers.step(c, rng) for _ in range(400)])
    by_explorer = (taken != 0).any(axis=2)
    assert not by_explorer[:, 3:].any()  # half of the cars are C's alone
    assert by_explorer[:, :3].mean() == pytest.approx(2 / 5, abs=0.06)  # 2 of 2 + 3 steps
    assert not by_explorer[0].any()  # C begins
    assert taken[..., 0].min() >= -1 and taken[..., 1:].min() >= 0 and taken.max() <= 1


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
    # In the first, C and the explorer take turns; the second is driven with noise
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
