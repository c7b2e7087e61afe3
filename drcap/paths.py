"""Absolute paths, so that a notebook or a command works from any folder."""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
CHECKPOINTS = PACKAGE / "checkpoints"  # trained by this project, shipped with it
REPOSITORY = PACKAGE.parent
REPORTS = REPOSITORY / "reports"


def home() -> Path:
    """Return the cache folder: $DRCAP_HOME, else the user's cache folder."""
    folder = os.environ.get("DRCAP_HOME") or platformdirs.user_cache_path("drcap")
    return Path(folder).expanduser().resolve()


def assets() -> Path:
    """Return the folder of fetched third-party weights and data."""
    return home() / "assets"


def datasets() -> Path:
    """Return the folder of prepared real datasets."""
    return home() / "data"


def runs() -> Path:
    """Return the folder of training runs."""
    return home() / "runs"


def made(profile: str) -> Path:
    """Return the folder of what the run graph's jobs have made of a profile."""
    return home() / "reproduce" / profile
