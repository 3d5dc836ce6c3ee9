"""C learns in the dream: by PPO in a toy's dream, and in the loop, which resumes to the byte."""

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.agents import make_agent
from tests.dream.test_model import CONFIG, rotating_world
from tests.dream.toys import (
    HASTE,
    LATENTS,
    MEMORY,
    TAKEOVERS,
    make_drive,
    make_memory,
    make_record,
)
from worldmodels.control.search_space import raw_space
from worldmodels.dream.by_evolution import (
    DreamEvolution,
    DreamEvolutionConfig,
    refuse_deep,
)
from worldmodels.dream.by_ppo import DreamPPO, DreamPPOConfig, Noise, RecordWeight, roll_out
from worldmodels.dream.environment import DreamStep
from worldmodels.dream.honesty import honesty, names
from worldmodels.dream.learning import ModelTrainer, new_model
from worldmodels.dream.lesson import Lesson, RulesConfig, StartsConfig, Strictness
from worldmodels.dream.model import load_dream_model
from worldmodels.dream.moments import Weights, errors_of, follow
from worldmodels.dream.record import Record
from worldmodels.dream.record_critic import RecordCritic, RecordCriticConfig
from worldmodels.dream.recording import Takeovers
from worldmodels.dream.scaling import Scaling
from worldmodels.dream.schedule import Average
from worldmodels.dream.train import (
    DreamSetup,
    DreamState,
    PracticeConfig,
    RecordingConfig,
    train_in_dream,
)
from worldmodels.dream.values import values_along
from worldmodels.evolution.strategies import CMAES, SimpleESConfig
from worldmodels.pipeline.errors import UserError
from worldmodels.ppo.algorithm import TRUNCATED, Learner
from worldmodels.records.scenes import Scenes
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.training.budget import Budget

FEATURES = LATENTS + MEMORY
PPO = DreamPPOConfig(
    gae_lambda=0.9,
    clip=0.2,
    epochs=4,
    batch_size=64,
    learning_rate=[0.02, 0.02],
    critic_learning_rate=[0.01, 0.01],
    critic_units=8,
    value_scale=10.0,
    output_cost=[0.0, 0.0, 0.0],
    hidden_components=4,
    dreams=24,
    first_updates=4,
    updates=4,
    hold=2,
    noise=[Noise(lesson=1, first=0.5, last=0.3), Noise(lesson=3, first=0.2, last=0.1)],
    record_weight=[RecordWeight(lesson=0, weight=1.0)],
    averaged_actors=2,
    averaged=[Average(lesson=0, lessons=2)],
)
EVOLUTION = DreamEvolutionConfig(
    strategy="cma-es",
    hidden_components=4,
    population=8,
    sigma=0.3,
    simple_es=SimpleESConfig(elite_share=0.25, sigma_decay=0.99),
    dreams=8,
    first_generations=3,
    generations=3,
    averaged=[Average(lesson=0, lessons=2)],
    output_cost=[0.1, 0.0, 0.0],
)
CRITIC = RecordCriticConfig(
    return_lambda=0.9,
    steps=20,
    batch_size=32,
    learning_rate=[0.01, 0.01],
    units=8,
    value_scale=10.0,
)
WEIGHTS = Weights(explored=0.5, near_loss=0.0, reach=8, margin=2)
RULES_CONFIG = RulesConfig(
    temperature=1.0,
    sampled=True,
    sight_noise=0.5,
    horizon=6,
    lost_at=0.9,
    strictness=[
        Strictness(
            lesson=0.0, lost_cost=5.0, off_road_cost=0.1, speed_limit=80.0, sliding_cost=0.02
        ),
        Strictness(
            lesson=0.5, lost_cost=50.0, off_road_cost=0.1, speed_limit=80.0, sliding_cost=0.02
        ),
        Strictness(
            lesson=2.5, lost_cost=200.0, off_road_cost=0.4, speed_limit=50.0, sliding_cost=0.08
        ),
    ],
    speed_cost=0.01,
    sliding_limit=6.0,
    discount=[0.9, 0.99],
)


def new_critic():
    return RecordCritic.new(raw_space(0, FEATURES), CONFIG.hidden_size, CRITIC, 1)


def by_ppo(config=PPO):
    critic = new_critic()
    return DreamPPO(config, Learner.new((FEATURES, 0, 3), critic.input_size, config, 1), critic)


def by_evolution(config=EVOLUTION):
    space = raw_space(0, FEATURES)
    rng = np.random.default_rng(1)
    strategy = CMAES(np.zeros(space.dimensions), config.sigma, config.population, rng)
    return DreamEvolution(config, space, strategy, new_critic())


TRAINERS = pytest.mark.parametrize("new_trainer", [by_ppo, by_evolution])


def lesson_of(record, model, seed=1, number=1, config=RULES_CONFIG):
    memory, dreams, rng = make_memory(), DreamStep(model), np.random.default_rng(seed)
    along = follow(record.drives, memory, dreams)
    return Lesson(
        model=model,
        memory=memory,
        along=along,
        errors=errors_of(along, dreams, rng, 50),
        config=config,
        weights=WEIGHTS,
        number=number,
        lost_delay=4,
        rng=rng,
        threads=1,
    )


@pytest.fixture(scope="module")
def toy():
    """A record of a world in which gas pays, and an M that has learnt it."""
    record = Record([*rotating_world(12, False), make_drive(30, lost=True)], explored=13)
    torch.manual_seed(1)
    model = new_model(record, CONFIG, std_floor=0.1)
    ModelTrainer(model, CONFIG, np.random.default_rng(1)).learn(record, 16 * 20 * 300)
    return record, model


@TRAINERS
def test_c_learns_in_a_dream_what_pays_in_the_world(toy, new_trainer):
    record, model = toy
    trainer = new_trainer()
    trainer.config = trainer.config.model_copy(
        update={"updates": 12, "averaged": [Average(lesson=0, lessons=1)]}
    )
    rewards = [
        trainer.learn(lesson_of(record, model, seed))["dreamt_reward"] for seed in range(12)
    ]
    assert rewards[-1] > rewards[0] + 0.15  # points per step, of at most 4
    assert trainer.point()[-3:][1] > 0.2  # the gas


def test_the_critic_of_the_record_learns_what_moments_were_worth(toy):
    """From rewards along the drives, as the rules pay them, with the losses that came."""
    lesson, critic = lesson_of(*toy), new_critic()
    inputs = critic.recorded_inputs(lesson)
    explained = [critic.learn(lesson, inputs, 1.0) for _ in range(40)]
    assert explained[-1] > 0.5 > explained[0]
    values, cost = critic.values(inputs), lesson.rules(1.0).lost_cost
    due = values_along(lesson.along, lesson.rewards, values, 0.99, 0.9, cost, 4)
    assert np.corrcoef(values, due)[0, 1] > 0.7


def test_the_critic_of_the_record_learns_from_what_c_decided_alone(toy):
    """In this record the explorer is paid for nothing and C well, from the same moments."""
    record, model = toy
    drives = [copy.copy(drive) for drive in record.drives[:8]]
    for number, drive in enumerate(drives):
        drive.by_c = np.full(len(drive), number % 2 == 1)
        drive.rewards = np.where(drive.by_c, 3.0, -3.0).astype(np.float32)
    lesson, critic = lesson_of(Record(drives, explored=8), model), new_critic()
    inputs = critic.recorded_inputs(lesson)
    for _ in range(40):
        critic.learn(lesson, inputs, 1.0)
    by_c, values = lesson.along.by_c, critic.values(inputs)
    assert values[by_c].mean() > 5 and values[~by_c].mean() > 5


def test_a_dream_is_worth_more_where_the_record_says_so(toy):
    """What follows the last decision comes from the critic of the record, not from PPO's own."""
    lesson, method = lesson_of(*toy), by_ppo()
    dream, rng = lesson.dream(PPO.dreams, 1.0), np.random.default_rng(5)
    rollout = roll_out(dream, method.learner, method.critic, 0.5, PPO.hold, 0.9, 1.0, rng)
    assert rollout.value_after is not None
    batch, _ = method.learner.judge([rollout], 0.5, 0.9)
    richer = rollout._replace(value_after=rollout.value_after + np.arange(PPO.dreams))
    other, _ = method.learner.judge([richer], 0.5, 0.9)
    last = slice(-PPO.dreams, None)
    gained = (other.target - batch.target)[last].numpy() * PPO.value_scale
    np.testing.assert_allclose(gained, 0.9 * np.arange(PPO.dreams), atol=1e-3)


def test_the_last_moment_is_worth_what_both_critics_say_by_their_weights(toy):
    lesson, method = lesson_of(*toy), by_ppo()
    torch.nn.init.constant_(list(method.learner.critic.parameters())[-1], 0.7)
    dream = lesson.dream(PPO.dreams, 1.0)

    def value_after(weight):
        rng = np.random.default_rng(5)
        learner, critic = method.learner, method.critic
        return roll_out(dream, learner, critic, 0.5, PPO.hold, 0.9, weight, rng).value_after

    own, both, record = (value_after(weight) for weight in (0.0, 0.25, 1.0))
    assert np.abs(own - record).min() > 1
    np.testing.assert_allclose(both, 0.75 * own + 0.25 * record)
    features = np.concatenate([dream.seen[: PPO.dreams], dream.state.hidden[: PPO.dreams]], axis=1)
    hidden = dream.hidden[: PPO.dreams].numpy()
    np.testing.assert_allclose(
        record, method.critic.values(method.critic.inputs(features, hidden))
    )


def test_a_rollout_is_what_was_dreamt(toy):
    record, model = toy
    lesson, method = lesson_of(record, model), by_ppo()
    dream = lesson.dream(PPO.dreams, 1.0)
    rng = np.random.default_rng(5)
    rollout = roll_out(dream, method.learner, method.critic, 0.5, PPO.hold, 0.9, 1.0, rng)
    decisions = RULES_CONFIG.horizon // PPO.hold
    assert rollout.features.shape == (decisions, PPO.dreams, FEATURES)
    assert (rollout.end[-1] == TRUNCATED).all() and rollout.counts.all()
    # The first decision begins at the recorded moments
    starts = torch.cat([dream.moments.mu, dream.moments.memory], dim=1).numpy()
    scaled = Scaling.of(method.critic.space)(starts)
    expected = np.concatenate([scaled, dream.moments.hidden.numpy()], axis=1)
    np.testing.assert_allclose(rollout.critic_inputs[0], expected)
    # An actor of zeros: what it gave is the noise
    assert rollout.raw.std() == pytest.approx(0.5, rel=0.15)


def config_of(**changes):
    values = {
        "validate_every": 2,
        "model": CONFIG.model_copy(update={"first_steps": 640, "steps": 320}),
        "record": RecordingConfig(
            horizon=50,
            patience=8,
            envs=2,
            steps=24,
            tracks=4,
            undisturbed=0.25,
            hold=2,
            noise=0.3,
            haste=[HASTE],
            takeovers=TAKEOVERS,
        ),
        "starts": StartsConfig(
            explored=0.5, near_loss=0.2, reach=8, margin=2, newest_frames=60, explored_drives=3
        ),
        "rules": RULES_CONFIG,
        "critic": CRITIC,
    }
    return PracticeConfig(**values | changes)


def train(checkpoint, iterations=3, config=None, new_trainer=by_ppo):
    """A training by the loop, from a small agent and the toys' record."""
    config = config or config_of()
    agent = make_agent(1, latent_size=LATENTS, hidden_size=MEMORY)
    space = raw_space(0, FEATURES)
    setup = DreamSetup(config, agent, space, 1, "toy", "cpu", 1)

    def new_state():
        record = make_record()
        record = Record(record.drives[:2], explored=2)
        torch.manual_seed(1)
        model = new_model(record, config.model, 0.1)
        trainer = ModelTrainer(model, config.model, np.random.default_rng(1))
        return DreamState(new_trainer(), trainer, record, [None])

    validated = []

    def validate(point):
        validated.append(point)
        return 1.0

    state = train_in_dream(setup, new_state, Budget(iterations, 0), validate, checkpoint)
    return state, validated


class Stop(Exception):
    """Ends a training at the save of a checkpoint."""


class StoppingCheckpoint(Checkpoint):
    """Keeps the first state that is saved, and stops there."""

    def __init__(self):
        super().__init__(None)
        self.kept = None

    def due(self):
        return True

    def save(self, state):
        self.kept = copy.deepcopy(state)
        raise Stop


class ResumingCheckpoint(Checkpoint):
    """Resumes from a state."""

    def __init__(self, state):
        super().__init__(None)
        self.state = state

    def resume(self, usable=lambda _: True):
        return self.state if usable(self.state) else None


@TRAINERS
def test_the_loop_records_between_lessons_and_counts_every_real_step(new_trainer, tmp_path):
    state, validated = train(Checkpoint(None), new_trainer=new_trainer)
    assert state.env_steps == 2 * 24 * 2  # none before the first lesson
    assert sum(drive.scene is not None for drive in state.record.drives) >= 2
    assert [row["validation"] for row in state.rows] == [1.0, "", 1.0]
    assert (validated[0] == 0).all() and not np.array_equal(*validated)
    assert state.rows[0]["real_reward"] == "" and state.rows[1]["real_losses"] >= 0
    assert set(names()) < set(state.rows[0]) and list(state.rows[0]) == list(state.rows[2])
    state.save_practice(tmp_path)
    kept = load_dream_model(tmp_path / "dream.safetensors").state_dict()
    for name, tensor in state.model.model.state_dict().items():
        torch.testing.assert_close(kept[name], tensor)
    assert len(Scenes.load(tmp_path / "scenes")) == 2 * 24 * 2


@TRAINERS
def test_a_stopped_training_ends_with_the_same_bytes(new_trainer):
    whole, _ = train(Checkpoint(None), new_trainer=new_trainer)
    stopping = StoppingCheckpoint()
    with pytest.raises(Stop):
        train(stopping, new_trainer=new_trainer)
    resumed, _ = train(ResumingCheckpoint(copy.deepcopy(stopping.kept)), new_trainer=new_trainer)
    assert resumed.rows == whole.rows
    np.testing.assert_array_equal(resumed.controller.point(), whole.controller.point())


def test_a_longer_training_goes_on_from_a_shorter_one_and_a_shorter_one_does_not():
    whole, _ = train(Checkpoint(None))
    short, _ = train(Checkpoint(None), iterations=2)
    longer, _ = train(ResumingCheckpoint(short))
    assert longer.rows == whole.rows
    again, _ = train(ResumingCheckpoint(longer), iterations=1)
    assert again.rows == whole.rows[:1]


def test_rules_change_within_a_lesson_and_over_the_lessons(toy):
    first, later = (lesson_of(*toy, number=number) for number in (0, 1))
    costs = [first.rules(share).lost_cost for share in (0.0, 0.25, 0.5)]
    assert costs == pytest.approx([5.0, 250**0.5, 50.0])
    halves = [lesson_of(*toy, number=n).rules(0.5) for n in (0, 1, 2, 3, 9)]
    assert [rules.lost_cost for rules in halves] == pytest.approx([50.0, 100.0, 200.0, 200, 200])
    assert [rules.off_road_cost for rules in halves] == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])
    slides = [rules.sliding_cost for rules in halves]
    assert slides == pytest.approx([0.02, 0.04, 0.08, 0.08, 0.08])
    limits = [rules.speed_limit for rules in halves]
    assert limits == pytest.approx([80, 4000**0.5, 50, 50, 50])
    assert [first.discount(share) for share in (0.0, 1.0)] == pytest.approx([0.9, 0.99])
    assert later.discount(0.0) == pytest.approx(0.99)


def test_the_noise_of_the_dreams_follows_its_schedule(toy):
    trainer = by_ppo()
    last = [
        trainer.learn(lesson_of(*toy, number=number))["exploration_std"] for number in (0, 1, 2, 3)
    ]
    assert last == pytest.approx([0.3, 0.3, 0.03**0.5, 0.1])


def test_rules_whose_lessons_do_not_rise_are_refused():
    entries = [entry.model_dump() for entry in RULES_CONFIG.strictness]
    with pytest.raises(ValidationError, match="its lessons must rise"):
        RulesConfig(**RULES_CONFIG.model_dump() | {"strictness": entries[::-1]})


def test_a_cost_of_an_output_keeps_it_small(toy):
    record, model = toy
    sizes = []
    for cost in (0.0, 30.0):
        trainer = by_ppo(PPO.model_copy(update={"output_cost": [cost, 0.0, 0.0]}))
        for seed in range(4):
            trainer.learn(lesson_of(record, model, seed))
        weights = trainer.point()[: 3 * FEATURES].reshape(3, FEATURES)
        sizes.append(np.abs(weights).mean(axis=1))
    assert sizes[1][0] < sizes[0][0] / 2  # the steering's
    assert (sizes[1][1:] > sizes[0][1:] / 2).all()


def test_all_candidates_dream_the_same_dreams(toy):
    trainer, lesson = by_evolution(), lesson_of(*toy)
    point = trainer.strategy.ask()[0]
    fitness, _ = trainer.fitness(np.stack([point, point, -point]), lesson, 1.0)
    assert fitness[0] == pytest.approx(fitness[1]) and fitness[0] != fitness[2]


def test_an_evolution_strategy_in_the_dream_refuses_a_hidden_layer():
    with pytest.raises(UserError, match=r"controller\.inputs"):
        refuse_deep(raw_space(4, FEATURES))


def test_a_critic_that_is_not_finite_is_reported(toy):
    lesson, critic = lesson_of(*toy), new_critic()
    inputs = np.full_like(critic.recorded_inputs(lesson), np.nan)
    with pytest.raises(UserError, match=r"dream\.practice\.critic\.learning_rate"):
        critic.learn(lesson, inputs, 1.0)


def test_errors_are_what_the_means_miss(toy):
    record, model = toy
    memory, dreams, rng = make_memory(), DreamStep(model), np.random.default_rng(1)
    along = follow(record.drives[:12], memory, dreams)
    errors = errors_of(along, dreams, rng, 500)
    assert errors.shape == (500, LATENTS)
    # A world that M has learnt: its errors are small beside the latents themselves
    assert errors.square().mean() < 0.1 * along.moments.mu.var()


def test_a_learnt_world_is_dreamt_honestly_and_an_untrained_m_is_not(toy):
    record, model = toy
    found = []
    for candidate in (model, new_model(record, CONFIG, 0.1)):
        dreams = DreamStep(candidate)
        # Long drives: 64 steps are compared
        drives = rotating_world(4, False, steps=90)
        along = follow(drives, make_memory(), dreams)
        found.append(honesty(along, np.zeros(4, int), dreams, 4, np.random.default_rng(1), 200))
    honest, untrained = found
    error = abs(honest["dreamt_reward_16"] - honest["taken_reward_16"])
    assert error < 0.2 and honest["latent_error_16"] < untrained["latent_error_16"]
    assert honest["taken_lost_64"] == 0
    short = follow([make_drive(20)], make_memory(), DreamStep(model))
    empty = honesty(short, np.zeros(1, int), DreamStep(model), 4, np.random.default_rng(1), 10)
    assert set(empty) == set(names()) and set(empty.values()) == {""}


def test_the_dream_is_judged_where_m_has_not_learnt_alone(toy):
    _, model = toy
    drives = rotating_world(1, False, steps=140)
    drives[0].rewards[:70] = 1000.0  # learnt from; what followed is new
    along = follow(drives, make_memory(), DreamStep(model))
    taken = []
    for new_from in (0, 70):
        arguments = along, np.array([new_from]), DreamStep(model), 4, np.random.default_rng(1)
        taken.append(honesty(*arguments, 50)["taken_reward_16"])
    assert taken[1] < 10 < taken[0]


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
