"""CLAP models: one interface (encoder.py), one implementation a file."""

from drcap.clap.encoder import CLAP
from drcap.errors import ConfigError

__all__ = ["CLAP", "load_clap"]

NAMES = ("tag-bridge",)


def load_clap(name: str = "tag-bridge") -> CLAP:
    """Return the CLAP model called `name`; ConfigError lists the known ones."""
    if name == "tag-bridge":
        from drcap.clap.tag_bridge import TagBridge

        return TagBridge()
    raise ConfigError(f"clap: unknown model '{name}'; known: {', '.join(NAMES)}")
