"""The CLAP models by name (sec. II-A)."""

from pathlib import Path

from drcap.clap import CLAP
from drcap.errors import ConfigError


def load_clap(
    name: str | Path = "caption-bridge", device: str = "auto", dtype: str = "auto"
) -> CLAP:
    """Return the CLAP model called `name`.

    device : where a model in torch computes; the caption bridge always runs on the CPU
    dtype : "fastest" is bfloat16 also on a CPU that is faster in it, see `TorchCLAP`

    ConfigError lists what the name may be; CheckpointError if a file is damaged.
    """
    name = str(name)
    folder = Path(name).expanduser()
    config = folder / "config.json"
    if name == "caption-bridge":
        from drcap.clap.bridge import CaptionBridge

        return CaptionBridge()
    if folder.suffix == ".pt":
        from drcap.authors.clap import load_authors

        return load_authors(folder, device=device, dtype=dtype)
    # what `TrainedCLAP.save` writes
    if config.is_file() and b'"kind": "clap"' in config.read_bytes():
        from drcap.clap.model import TrainedCLAP

        return TrainedCLAP.load(folder, device, dtype)
    if folder.is_dir() or (name.count("/") == 1 and name[0] not in "./~"):
        from drcap.clap.laion import LaionCLAP

        return LaionCLAP(name, device, dtype)
    raise ConfigError(
        f"clap: unknown model '{name}'; known: caption-bridge, a folder of a trained "
        "model, the authors' *.pt, a hub id such as laion/clap-htsat-unfused"
    )
