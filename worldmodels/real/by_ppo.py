"""Train C by PPO: practise for a segment, judge what was done, improve, repeat.

The result is the mean of the actors after the last updates (Polyak & Juditsky 1992): each of them
loses cars on some tracks by chance, their mean on hardly any.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from worldmodels.agent.agent import Agent
from worldmodels.control.search_space import SearchSpace
from worldmodels.driving.limits import Limits
from worldmodels.environment.interface import ACTION_SIZE
from worldmodels.environment.privileged import PrivilegedConfig
from worldmodels.pipeline.params import Count
from worldmodels.ppo.algorithm import AlgorithmConfig, Learner
from worldmodels.ppo.rollout import Rollout
from worldmodels.real.practice import PracticeConfig, PracticeJob
from worldmodels.real.segment import PracticeGroup, Rules
from worldmodels.runtime.checkpoint import Checkpoint
from worldmodels.runtime.progress import Progress
from worldmodels.runtime.seeds import generator, tracks_for_training
from worldmodels.training.budget import Budget
from worldmodels.training.curve import Row, curve_row
from worldmodels.training.schedule import group_sizes
from worldmodels.workers.processes import run_in_processes


class PPOConfig(AlgorithmConfig, PracticeConfig):
    """The section `real.ppo` of params.yaml."""

    hidden_components: Count
    averaged_actors: Count
    privileged: PrivilegedConfig


class PracticeSetup(NamedTuple):
    """All that stays the same while C is trained.

    The critic is given the features scaled by `space`, the actor the first `actor_inputs` of them.
    `start` is the actor's first point [D]; None: it outputs 0. `seed` and `name`, of the round,
    determine every random draw.
    """

    config: PPOConfig
    limits: Limits
    agent: Agent
    space: SearchSpace
    actor_inputs: int
    start: np.ndarray | None
    seed: int
    name: str
    device: str

    def new_learner(self) -> Learner:
        """An actor at its start, and a critic that knows nothing yet."""
        seed = int(generator(self.seed, "learner", self.name).integers(1 << 31))
        actor_sizes = self.actor_inputs, self.space.hidden_units, ACTION_SIZE
        critic_inputs = len(self.space.basis) + self.config.privileged.size
        learner = Learner.new(actor_sizes, critic_inputs, self.config, seed)
        if self.start is not None:
            learner.actor.set_point(self.start)
        return learner

    def practise(
        self,
        point: np.ndarray,
        groups: list[PracticeGroup | None],
        update: int,
        rules: Rules,
    ) -> tuple[list[Rollout], list[PracticeGroup | None]]:
        """Let all groups drive a segment with C at `point` [D]; returns their experience, and the
        groups for the next segment."""
        config = self.config
        sizes = group_sizes(config.envs)
        tracks = tracks_for_training(config.tracks, self.seed, ("practice", self.name))
        actor = self.space.leading(self.actor_inputs)
        agent = self.agent.with_candidates(actor.unfold(point[None]))
        jobs = [
            PracticeJob(
                agent=agent,
                space=self.space,
                actor_inputs=self.actor_inputs,
                rules=rules,
                privileged=config.privileged,
                tracks=tracks[number :: len(sizes)],
                rng=generator(self.seed, "practice", self.name, update, number),
                envs=envs,
                group=group,
                device=self.device,
                title=f"group {number}, {envs} environments, of update {update}",
            )
            for number, (envs, group) in enumerate(zip(sizes, groups))
        ]
        # Never on a cluster: the groups are few and large, and come back after every segment
        results = run_in_processes(jobs)
        return [rollout for rollout, _ in results], [group for _, group in results]


@dataclass
class PPOState:
    """The state of training: all that a checkpoint holds.

    `actors` holds the points [D] of the actors after the last updates. `rows` has a row per
    update, whose returns are those of the episodes that ended in it; `seconds` the seconds elapsed
    after each.
    """

    learner: Learner
    budget: Budget
    groups: list[PracticeGroup | None]
    actors: deque[np.ndarray]
    env_steps: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: list[dict[str, float]] = field(default_factory=list)

    def point(self) -> np.ndarray:
        """C as a point [D] of its search space: the mean of the last actors; before the first
        update, the untrained actor."""
        return np.mean(self.actors or [self.learner.actor.point()], axis=0)

    def report(self) -> str:
        """The last row, for the progress bar."""
        row = self.rows[-1]
        scores = {"with noise": row["return_mean"], "validation": row["validation"]}
        parts = [f"{name} {score:.0f}" for name, score in scores.items() if score != ""]
        return ", ".join([*parts, f"{self.env_steps} steps"])


def train_by_ppo(
    setup: PracticeSetup,
    budget: Budget,
    validate: Callable[[np.ndarray], float],
    validate_every: int,
    checkpoint: Checkpoint,
) -> PPOState:
    """Practise, judge and improve until the budget is used up.

    `validate` scores a point of the actor's space, every `validate_every` updates. Raises
    UserError if a loss or weight is no longer finite.
    """
    config = setup.config
    # Noise and rates depend on the budget: training by another one starts from scratch
    state = checkpoint.resume(lambda state: state.budget == budget) or PPOState(
        learner=setup.new_learner(),
        budget=budget,
        groups=[None] * len(group_sizes(config.envs)),
        actors=deque(maxlen=config.averaged_actors),
    )
    learner = state.learner
    with Progress("train_controller", budget.iterations, "updates", len(state.rows)) as progress:
        while not budget.is_over(update := len(state.rows), state.env_steps):
            # Noise, prices and learning rates follow from the share of the budget that is used
            share = budget.share(update, state.env_steps)
            rules = config.rules_at(share, setup.limits)
            learner.set_learning_rates(share)

            # Validate what would be kept if training ended here, without noise
            validation = validate(state.point()) if update % validate_every == 0 else ""

            # Practise: all groups drive a segment with the present actor and noise
            actor = learner.actor.point()
            rollouts, state.groups = setup.practise(actor, state.groups, update, rules)
            state.env_steps += config.steps * config.envs

            # Judge: was a decision better than the critic expected? (Schulman et al. 2016)
            discount = rules.discount**config.hold
            batch, explained = learner.judge(rollouts, rules.noise, discount)

            # Improve: some epochs over the same decisions
            learner.update(batch, rules.noise, setup.device)
            state.actors.append(learner.actor.point())

            # Record how it went
            returns = np.concatenate([rollout.returns for rollout in rollouts])
            so_far = update, state.env_steps, len(returns)
            state.rows.append(curve_row(*so_far, returns, rules.noise, validation))
            elapsed = round(checkpoint.seconds_before + progress.seconds(), 1)
            state.seconds.append({"iteration": update, "seconds": elapsed})
            progress.advance(1, f"{state.report()}, critic explains {explained:.2f}")
            if checkpoint.due():
                checkpoint.save(state)
    state.groups = [None] * len(state.groups)  # large, and no longer needed
    checkpoint.save(state)
    return state
