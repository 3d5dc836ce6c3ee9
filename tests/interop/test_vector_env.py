"""`CarRacingVectorEnv` compared with Gymnasium's `SyncVectorEnv` of the same cars."""

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from worldmodels.environment.physics.dynamics import agrees_with_box2d
from worldmodels.interop.vector_env import CarRacingVectorEnv
from worldmodels.pipeline.errors import UserError

ID = "worldmodels.environment:WorldModels/CarRacing-v3"
MODES = list(AutoresetMode)
HORIZON = 12

pytestmark = pytest.mark.skipif(not agrees_with_box2d(), reason="Box2D rounds differently here")


def gymnasiums(count: int, mode: AutoresetMode) -> SyncVectorEnv:
    """The environments one by one, with episodes of HORIZON steps."""

    def make() -> gymnasium.Env:
        return gymnasium.make(ID, max_episode_steps=HORIZON)

    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def same(mine, theirs):
    """Assert that two results of reset or step are the same bytes, infos included."""
    for a, b in zip(mine[:-1], theirs[:-1], strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    same_infos(mine[-1], theirs[-1])


def same_infos(mine, theirs):
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        if isinstance(value, dict):
            same_infos(value, theirs[name])
        else:
            for a, b in zip(value, theirs[name], strict=True):
                assert np.array_equal(a, b) if a is not None else b is None


def test_it_is_made_by_gymnasium_under_its_id():
    envs = gymnasium.make_vec(ID, num_envs=3, vectorization_mode="vector_entry_point")
    assert isinstance(envs, CarRacingVectorEnv) and envs.max_episode_steps == 1000
    single = gymnasium.make(ID)
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.observation_space.shape == (3, 64, 64, 3)
    assert envs.action_space.shape == (3, 3) and envs.num_envs == 3
    envs.close()
    assert envs.closed


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_same_bytes_as_gymnasiums_over_several_episodes(mode):
    mine, theirs = CarRacingVectorEnv(3, mode, HORIZON), gymnasiums(3, mode)
    same(mine.reset(seed=5), theirs.reset(seed=5))
    theirs.action_space.seed(1)
    for _ in range(2 * HORIZON + 3):
        actions = theirs.action_space.sample()
        found = mine.step(actions)
        same(found, theirs.step(actions))
        over = found[2] | found[3]
        if mode is AutoresetMode.DISABLED and over.any():
            one = over & (np.arange(3) < 2)  # the rest in a second reset
            for mask in (one, over & ~one):
                if mask.any():
                    options = ({"reset_mask": mask.copy()} for _ in range(2))
                    same(
                        mine.reset(options=next(options)),
                        theirs.reset(options=next(options)),
                    )
    mine.close()
    theirs.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_same_infos_where_a_car_leaves_the_playfield(mode):
    mine = CarRacingVectorEnv(2, mode, 1000)
    theirs = SyncVectorEnv([lambda: gymnasium.make(ID)] * 2, autoreset_mode=mode)
    same(mine.reset(seed=1), theirs.reset(seed=1))
    actions = np.array([[0.02, 0.6, 0], [0, 0, 1]], dtype=np.float32)
    for _ in range(200):
        found = mine.step(actions)
        same(found, theirs.step(actions))
        if found[2].any():
            break
    assert found[2].tolist() == [True, False] and found[1][0] == -100


def test_lists_of_seeds_and_none_as_in_gymnasium():
    mine, theirs = CarRacingVectorEnv(3), gymnasiums(3, AutoresetMode.NEXT_STEP)
    same(mine.reset(seed=[7, 9, 7]), theirs.reset(seed=[7, 9, 7]))
    same(mine.reset(seed=[None, 4, None]), theirs.reset(seed=[None, 4, None]))
    same(mine.reset(), theirs.reset())


def test_unseeded_environments_differ_from_each_other():
    first, _ = CarRacingVectorEnv(2).reset()
    assert not np.array_equal(first[0], first[1])


def test_no_result_depends_on_threads_or_neighbours():
    found = []
    for count, threads in ((5, 1), (5, 2), (5, 5), (2, 1)):
        envs = CarRacingVectorEnv(count, max_episode_steps=6, threads=threads)
        envs.reset(seed=1)
        rng = np.random.default_rng(1)
        steps = [envs.step(rng.uniform([-1, 0, 0], 1, (5, 3))[:count]) for _ in range(15)]
        found.append([[array[:2] for array in step[:4]] for step in steps])
        envs.close()
    for other in found[1:]:
        for mine, theirs in zip(found[0], other):
            for a, b in zip(mine, theirs):
                assert np.array_equal(a, b)


def test_tracks_are_picked_from_those_named():
    tracks = [11, 12]
    envs = CarRacingVectorEnv(8, max_episode_steps=1, tracks=tracks)
    starts = {CarRacingVectorEnv(1).reset(seed=track)[0].tobytes() for track in tracks}
    assert len(starts) == 2
    seen = set()
    envs.reset()
    for _ in range(6):
        observations, *_ = envs.step(np.zeros((8, 3), np.float32))
        if (envs.steps == 0).all():
            seen |= {picture.tobytes() for picture in observations}
    assert seen == starts
    own, _ = envs.reset(seed=99)
    assert own[0].tobytes() == CarRacingVectorEnv(1).reset(seed=99)[0].tobytes()


def test_what_is_returned_does_not_change_with_the_next_step():
    envs = CarRacingVectorEnv(2)
    before, _ = envs.reset(seed=1)
    kept = before.copy()
    for _ in range(30):
        envs.step(np.ones((2, 3), np.float32))
    assert np.array_equal(before, kept)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="2 seeds for 3 environments"):
        CarRacingVectorEnv(3).reset(seed=[1, 2])
    with pytest.raises(ValueError, match=r"reset_mask .* bool \[2\]"):
        CarRacingVectorEnv(2).reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    with pytest.raises(UserError, match="tracks is empty"):
        CarRacingVectorEnv(2, tracks=[])
    with pytest.raises(ValueError, match="not a valid AutoresetMode"):
        CarRacingVectorEnv(2, autoreset_mode="sometimes")
    envs = CarRacingVectorEnv(2, AutoresetMode.DISABLED, max_episode_steps=1)
    envs.reset(seed=1)
    with pytest.raises(ValueError, match="not finite"):
        envs.step(np.array([[0, np.nan, 0], [0, 0, 0]]))
    envs.step(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"episodes of \[0, 1\] are over"):
        envs.step(np.zeros((2, 3)))


def test_actions_of_another_shape_are_refused():
    envs = CarRacingVectorEnv(3)
    envs.reset(seed=1)
    for shape in ((3, 2), (4, 3), (2, 3), (3,)):
        with pytest.raises(ValueError, match=r"give \(3, 3\)"):
            envs.step(np.zeros(shape, np.float32))
    envs.step(np.zeros((3, 3), np.float32))


def test_a_step_before_the_first_reset_of_an_environment_is_refused():
    envs, still = CarRacingVectorEnv(2), np.zeros((2, 3), np.float32)
    with pytest.raises(ResetNeeded, match=r"\[0, 1\] have not been reset"):
        envs.step(still)
    envs.reset(seed=1, options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"\[1\] have not been reset"):
        envs.step(still)
    envs.reset(seed=2, options={"reset_mask": np.array([False, True])})
    envs.step(still)
