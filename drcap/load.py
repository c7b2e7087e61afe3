"""The CLAP models by name (sec. II-A)."""

import json
from pathlib import Path

from drcap.clap.encoder import CLAP
from drcap.errors import ConfigError


def load_clap(name: str | Path = "tag-bridge", device: str = "auto") -> CLAP:
    """Return the CLAP model called `name`.

    device : where a model in torch computes; the tag bridge always runs on the CPU

    ConfigError lists what the name may be; CheckpointError if a file is damaged.
    """
    name = str(name)
    folder = Path(name).expanduser()
    if name == "tag-bridge":
        from drcap.clap.tag_bridge import TagBridge

        return TagBridge()
    if folder.suffix == ".pt":
        from drcap.authors.clap import load_authors

        return load_authors(folder, device=device)
    if _is_trained(folder):
        from drcap.clap.model import TrainedCLAP

        return TrainedCLAP.load(folder, device)
    if folder.is_dir() or (name.count("/") == 1 and name[0] not in "./~"):
        from drcap.clap.laion import LaionCLAP

        return LaionCLAP(name, device)
    raise ConfigError(
        f"clap: unknown model '{name}'; known: tag-bridge, a folder of a trained model, "
        "the authors' *.pt, a hub id such as laion/clap-htsat-unfused"
    )


def _is_trained(folder: Path) -> bool:
    """Tell whether a folder holds what `TrainedCLAP.save` writes."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("kind") == "clap"
