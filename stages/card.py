"""Write the card of a round's agent: what it is, what led to it, what it scores, how to use it.

models/ROUND/agent.safetensors, results/ROUND: metrics -> models/ROUND/agent.md
Seconds.
"""

from pathlib import Path
from typing import Any

from worldmodels.pipeline import stage
from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.params import Part
from worldmodels.pipeline.storage import load_model, read_json, write_bytes
from worldmodels.reports import paper
from worldmodels.reports.cards import card, contents, pulling, table
from worldmodels.reports.lineage import agent_in_words, how_trained, is_code
from worldmodels.reports.results import read_metrics

SCORES = ("mean", "std", "ci_low", "ci_high", "min", "max", "episodes", "first_track", "horizon")
DRAWN = ("drawn_mean", "drawn_sem", "drawn_episodes")
STEPS = ("recorded_steps", "trained_steps")


class Round(Part):
    world: str
    start: str


class Params(Part):
    round: Round


def training_text(
    params: Round, how: str, evaluated: dict[str, float], trained: dict[str, float]
) -> str:
    """The sentences that say how the agent was trained."""
    rewarded = f"{evaluated['trained_steps']:,.0f}" if evaluated["trained_steps"] else "none"
    start = "zeros" if is_code(params.start) else f"the C of {agent_in_words(params.start)}"
    return (
        f"C was trained by {how}, starting from {start}: {trained['trained_parameters']:.0f} of "
        f"its {trained['controller_parameters']:.0f} numbers. V and M are those of world "
        f"{params.world}. For all that led to it, {evaluated['recorded_steps']:,.0f} steps of the "
        "real environment were recorded to learn a world model from, and "
        f"{rewarded} were driven to train a controller on their rewards."
    )


def scores(evaluated: dict[str, float], gymnasium: Any) -> str:
    """The section with the scores on the test tracks."""
    first, count = int(evaluated["first_track"]), int(evaluated["episodes"])
    rows = {
        "mean return": f"{evaluated['mean']:.1f}",
        "95 % bootstrap interval": f"{evaluated['ci_low']:.1f} to {evaluated['ci_high']:.1f}",
        "standard deviation": f"{evaluated['std']:.1f}",
        "worst and best": f"{evaluated['min']:.1f} and {evaluated['max']:.1f}",
        "mean with this project's own picture": f"{evaluated['drawn_mean']:.1f} (standard error "
        f"{evaluated['drawn_sem']:.1f}) on {evaluated['drawn_episodes']:,.0f} tracks",
        "Ha & Schmidhuber 2018": f"{paper.MEAN} (standard deviation {paper.STD}) on "
        f"{paper.TRACKS} tracks",
    }
    return f"""## Scores

On Gymnasium {gymnasium}'s unmodified CarRacing-v3: the tracks of seeds {first} to
{first + count - 1}, one drive of at most {evaluated["horizon"]:,.0f} steps on each. Neither
training nor validation has seen them.

{table(rows)}"""


def use(path: Path) -> str:
    """The section that says how to drive with the agent, and where."""
    return f"""## Use it

```python
import gymnasium
from worldmodels.interop.policy import Policy

policy = Policy.load("{path.as_posix()}")
env = gymnasium.make("CarRacing-v3")
observation, _ = env.reset(seed=7)
action = policy.act(observation)
```

Loading the file runs no code from it. The agent knows the roads and the picture of CarRacing-v3,
and no others."""


def main(name: str, params: Params) -> None:
    path, results = Path("models") / name / "agent.safetensors", Path("results") / name
    config, tensors = load_model(path, "agent")
    evaluation = results / "evaluate/metrics.json"
    evaluated = read_metrics(evaluation, *SCORES, *DRAWN, *STEPS)
    trained = read_metrics(
        results / "train_controller/metrics.json", "trained_parameters", "controller_parameters"
    )
    what = (
        f"It drives Gymnasium's CarRacing-v3 from pixels: V's encoder, which turns a picture into "
        f"{config['latent_size']} latents, M's memory, an LSTM of {config['hidden_size']} units, "
        f"and C, a controller. One file: {contents(path, tensors)}."
    )
    how = training_text(params.round, how_trained(evaluation), evaluated, trained)
    if (gymnasium := read_json(evaluation).get("gymnasium")) is None:
        raise UserError(
            f"{evaluation}: does not say which Gymnasium it was; `git restore` it or `dvc repro`"
        )
    sections = [what, how, scores(evaluated, gymnasium), use(path)]
    value = f"{evaluated['mean']:.1f} +/- {evaluated['std']:.1f}"
    metric = {"type": "mean_reward", "name": "mean return", "value": value}
    text = card(f"Agent of round {name}", name, [metric], [*sections, pulling(path)])
    write_bytes(path.with_suffix(".md"), text)


if __name__ == "__main__":
    stage.run("card", Params, main)
