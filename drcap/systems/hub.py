"""The hub: a saved DRCap goes up with a card of its run's record; comes down by id."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

from drcap.assets import pinned
from drcap.atomic import write_json, write_text
from drcap.config import Config
from drcap.errors import CheckpointError
from drcap.record import RECORD

CARD = """---
base_model: {base}
language: en
library_name: drcap
tags: [audio-captioning, zero-shot, lora]
---

# {repo_id}

A mapper and a LoRA adapter for {base}, trained on captions alone by
[DRCap](https://arxiv.org/abs/2410.09472) to caption recordings. CLAP model: {clap}.

```python
from drcap import DRCap

model = DRCap.from_pretrained("{repo_id}")
print(model.caption("dog.wav").caption)
```

{training}

The language model is not in here. Its licence{licence} also binds whoever uses the
adapter, and so do the terms of the captions that it was trained on.
"""


def push(model, repo_id: str, private: bool | None = None) -> str:
    """Upload a DRCap and its card by the login of `hf auth login`; return the address.

    private : whether a new repository is; None: as the account has it
    CheckpointError if others could not load the model, or the hub refuses it.
    """
    from huggingface_hub import HfApi

    config, api = model.config, HfApi()
    if Path(name := config.captioner.language_model).is_dir():
        raise CheckpointError(f"captioner.language_model: {name} is no id of the hub")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model.save_pretrained(folder)
        if Path(config.clap).is_dir():  # its own
            shutil.copytree(config.clap, folder / "clap")
            config = replace(config, clap="clap")
            write_json(folder / "config.json", config.to_dict())
        if (record := Path(getattr(model, "folder", folder)) / RECORD).exists():
            shutil.copy(record, folder)
        write_text(folder / "README.md", model_card(folder, repo_id, config))
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            return api.upload_folder(repo_id=repo_id, folder_path=folder).commit_url
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{repo_id}: not uploaded ({reason})") from None


def model_card(folder: Path, repo_id: str, config: Config) -> str:
    """Return the README.md of a model, written from the run.json in its folder."""
    path = folder / RECORD
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    asset = pinned().get(base := config.captioner.language_model)
    training, range_ = config.training, config.retrieval
    facts = {
        "captions, SHA-256": json.dumps(record.get("inputs")),
        "steps": record.get("steps_done"),
        "batch": training.batch_size,
        "peak learning rate": training.peak_learning_rate,
        "similarity range": f"{range_.sim_min} to {range_.sim_max}",
        "seed": record.get("seed"),
        "commit": (record.get("git") or {}).get("commit"),
        "began": record.get("started"),
    }
    return CARD.format(
        base=asset.hub if asset else base,
        repo_id=repo_id,
        clap=config.clap,
        training=tabulate(facts.items(), ["training", ""], tablefmt="pipe"),
        licence=f" ({asset.licence})" if asset else "",
    )
