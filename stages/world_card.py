"""Write the cards of V and M of a world: what they are, what they learnt from, how good they are.

models/WORLD, results/WORLD: metrics -> models/WORLD/vae.md, mdnrnn.md
Seconds.
Paper: appendices A.1 (V) and A.2 (M).
"""

from pathlib import Path
from typing import NamedTuple

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, Part, Share
from worldmodels.pipeline.storage import load_model, write_bytes
from worldmodels.reports.cards import card, contents, pulling, table
from worldmodels.reports.lineage import agent_in_words, is_code
from worldmodels.reports.results import read_metrics

ERRORS = ("val_squared_error", "val_kl", "latents_in_use")
LIKELIHOODS = ("val_nll", "baseline_same_nll", "baseline_gaussian_nll")


class World(Part):
    policy: str
    exploration_share: Share
    frames: Count
    vae_frames: Count
    mdnrnn_steps: Count


class Params(Part):
    world: World


def record(world: World, results: Path) -> str:
    """The sentence that says what was recorded, and who drove."""
    episodes = read_metrics(results / "sample/metrics.json", "episodes")["episodes"]
    agent = f"the agent of {agent_in_words(world.policy)}"
    if is_code(world.policy):
        agent = Path(world.policy).stem.replace("_", " ")
    explored = world.exploration_share
    drivers = "blind exploration"
    if explored < 1:
        drivers = f"{agent}" + (f", {explored:.0%} of it by {drivers}" if explored else "")
    return (
        f"The record is {world.frames:,} frames of {episodes:,.0f} episodes of CarRacing-v3, "
        f"driven by {drivers}."
    )


class Described(NamedTuple):
    """What the card of one model says of it."""

    what: str
    trained: str
    quality: dict[str, str]
    use: str


def describe_vae(world: World, path: Path, results: Path) -> Described:
    """What the card says of V. Raises UserError if its file or metrics are missing or damaged."""
    config, tensors = load_model(path, "vae")
    metrics = read_metrics(results / "train_vae/metrics.json", *ERRORS)
    return Described(
        what="A convolutional VAE: it encodes a picture of 64x64 pixels as "
        f"{config['latent_size']} latents, and decodes them. {contents(path, tensors)}.",
        trained=f"V was trained on {world.vae_frames:,} frames, counting repeats.",
        quality={
            "squared error per picture": f"{metrics['val_squared_error']:.2f}",
            "KL divergence per picture, nats": f"{metrics['val_kl']:.2f}",
            "latents in use": f"{metrics['latents_in_use']:.0f}",
        },
        use=f"""from worldmodels.vision.vae import load_vae

vae = load_vae(Path("{path.as_posix()}"))
mu, logvar = vae.encoder(pictures)  # float [n, 3, 64, 64] in [0, 1] -> [n, Z] each""",
    )


def describe_mdnrnn(world: World, path: Path, results: Path) -> Described:
    """What the card says of M. Raises UserError if its file or metrics are missing or damaged."""
    config, tensors = load_model(path, "mdnrnn")
    metrics = read_metrics(results / "train_mdnrnn/metrics.json", *LIKELIHOODS)
    return Described(
        what=f"An LSTM of {config['hidden_size']} units with a mixture density output of "
        f"{config['mixtures']} Gaussians per latent: from V's latents and the actions up to now, "
        f"it predicts the latents of the next picture. {contents(path, tensors)}.",
        trained=f"M was trained on {world.mdnrnn_steps:,} steps, counting repeats, of what V "
        "makes of them.",
        quality={
            "negative log-likelihood per latent, nats": f"{metrics['val_nll']:.3f}",
            "baseline, a Gaussian around the last latents": f"{metrics['baseline_same_nll']:.3f}",
            "baseline, one Gaussian for all frames": f"{metrics['baseline_gaussian_nll']:.3f}",
        },
        use=f"""from worldmodels.memory.mdnrnn import load_mdnrnn

memory = load_mdnrnn(Path("{path.as_posix()}"))""",
    )


def text_of(title: str, name: str, path: Path, recorded: str, described: Described) -> bytes:
    """The card of a model of the world `name`."""
    sections = [
        described.what,
        f"{recorded} {described.trained}",
        f"## On held-out episodes\n\n{table(described.quality)}",
        f"## Use it\n\n```python\nfrom pathlib import Path\n{described.use}\n```",
        pulling(path),
    ]
    return card(f"{title} of world {name}", name, [], sections)


def main(name: str, params: Params) -> None:
    models, results = Path("models") / name, Path("results") / name
    recorded = record(params.world, results)
    for title, file, describe in (("V", "vae", describe_vae), ("M", "mdnrnn", describe_mdnrnn)):
        path = models / f"{file}.safetensors"
        described = describe(params.world, path, results)
        write_bytes(path.with_suffix(".md"), text_of(title, name, path, recorded, described))


if __name__ == "__main__":
    stage.run("world_card", Params, main)
