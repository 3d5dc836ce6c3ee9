"""What the cards of all models have in common: the header, tables, how to get the file.

They are Markdown with the header of the Hugging Face Hub's model cards, and follow from params,
models and results alone.
"""

import hashlib
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from worldmodels.pipeline.storage import read_bytes

Tree = dict[str, Any]


def card(title: str, name: str, scores: list[Tree], sections: list[str]) -> bytes:
    """A card as the bytes of its file; `scores` are metrics of the Hub's model-index."""
    head: Tree = {
        "license": "mit",
        "library_name": "worldmodels",
        "tags": ["world-models", "CarRacing-v3"],
    }
    if scores:
        result = {
            "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
            "dataset": {"type": "CarRacing-v3", "name": "CarRacing-v3"},
            "metrics": scores,
        }
        head["model-index"] = [{"name": name, "results": [result]}]
    written = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    text = "\n\n".join([f"---\n{written}---", f"# {title}", *sections])
    return f"{text}\n".encode()


def table(rows: dict[str, str]) -> str:
    """Names and values as a table."""
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def contents(path: Path, tensors: dict[str, Tensor]) -> str:
    """The format and the size of a model's file, and the numbers in it."""
    count = sum(tensor.numel() for tensor in tensors.values())
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    size = path.stat().st_size / 1e6
    return f"safetensors, {size:.1f} MB: {count:,} numbers, {', '.join(types)}"


def pulling(path: Path) -> str:
    """The section that says how to get the file of a model."""
    digest = hashlib.md5(read_bytes(path)).hexdigest()  # the name that DVC gives the content
    return f"""## Get it

In a clone of the repository, with DVC:

```
dvc pull {path.as_posix()}
```

From another project, by the repository's address:

```
dvc get https://… artifacts/files/md5/{digest[:2]}/{digest[2:]} -o {path.name}
```"""
