"""Write the cards of V and M of a world: what they are, what they learnt from, how good they are.

models/WORLD, results/WORLD: metrics -> models/WORLD/vae.md, mdnrnn.md
Seconds.
Paper: appendices A.1 (V) and A.2 (M).
"""

from pathlib import Path

from worldmodels.pipeline import stage
from worldmodels.pipeline.params import Count, Part, Share
from worldmodels.pipeline.storage import load_model, write_bytes
from worldmodels.reports.cards import card, contents, pulling, table
from worldmodels.reports.lineage import AGENT
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
    found = AGENT.fullmatch(world.policy)
    agent = f"the agent of round {found[1]}" if found else Path(world.policy).stem
    explored = world.exploration_share
    drivers = "blind exploration"
    if explored < 1:
        drivers = f"{agent}" + (f", {explored:.0%} of it by {drivers}" if explored else "")
    return (
        f"The record is {world.frames:,} frames of {episodes:,.0f} episodes of CarRacing-v3, "
        f"driven by {drivers}."
    )


def vae_card(name: str, world: World, models: Path, results: Path) -> bytes:
    """The card of V."""
    path = models / "vae.safetensors"
    config, tensors = load_model(path, "vae")
    metrics = read_metrics(results / "train_vae/metrics.json", *ERRORS)
    what = (
        "A convolutional VAE: it encodes a picture of 64x64 pixels as "
        f"{config['latent_size']} latents, and decodes them. {contents(path, tensors)}."
    )
    trained = f"{record(world, results)} V was trained on {world.vae_frames:,}, repeats counted."
    rows = {
        "squared error per picture": f"{metrics['val_squared_error']:.2f}",
        "KL divergence per picture, nats": f"{metrics['val_kl']:.2f}",
        "latents in use": f"{metrics['latents_in_use']:.0f}",
    }
    quality = f"## On held-out episodes\n\n{table(rows)}"
    use = f"""## Use it

```python
from pathlib import Path
from worldmodels.vision.vae import load_vae

vae = load_vae(Path("{path.as_posix()}"))
mu, logvar = vae.encoder(pictures)  # float [n, 3, 64, 64] in [0, 1] -> [n, Z] each
```"""
    return card(f"V of world {name}", name, [], [what, trained, quality, use, pulling(path)])


def mdnrnn_card(name: str, world: World, models: Path, results: Path) -> bytes:
    """The card of M."""
    path = models / "mdnrnn.safetensors"
    config, tensors = load_model(path, "mdnrnn")
    metrics = read_metrics(results / "train_mdnrnn/metrics.json", *LIKELIHOODS)
    what = (
        f"An LSTM of {config['hidden_size']} units with a mixture density output of "
        f"{config['mixtures']} Gaussians per latent: from V's latents and the actions up to now, "
        f"it predicts the latents of the next picture. {contents(path, tensors)}."
    )
    trained = (
        f"{record(world, results)} M was trained on {world.mdnrnn_steps:,} steps, repeats "
        "counted, of what V makes of them."
    )
    rows = {
        "negative log-likelihood per latent, nats": f"{metrics['val_nll']:.3f}",
        "of a Gaussian around the latents before": f"{metrics['baseline_same_nll']:.3f}",
        "of one Gaussian for all": f"{metrics['baseline_gaussian_nll']:.3f}",
    }
    quality = f"## On held-out episodes\n\n{table(rows)}"
    use = f"""## Use it

```python
from pathlib import Path
from worldmodels.memory.mdnrnn import load_mdnrnn

memory = load_mdnrnn(Path("{path.as_posix()}"))
```"""
    return card(f"M of world {name}", name, [], [what, trained, quality, use, pulling(path)])


def main(name: str, params: Params) -> None:
    models, results = Path("models") / name, Path("results") / name
    write_bytes(models / "vae.md", vae_card(name, params.world, models, results))
    write_bytes(models / "mdnrnn.md", mdnrnn_card(name, params.world, models, results))


if __name__ == "__main__":
    stage.run("world_card", Params, main)
