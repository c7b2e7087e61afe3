"""Names under which one recording is known in several datasets, made comparable.

AudioCaps and AudioSet name a clip by its YouTube id, Clotho and WavCaps one by its
Freesound id. Copies decorate both: a leading `Y`, the start of the clip, a suffix. Here
too are the recordings of a folder by such names.
"""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from drcap.audio import READABLE, UNREADABLE, find_recordings

# A YouTube id has 11 characters, so that a `Y` before it is told from one within it.
YOUTUBE_NAME = re.compile(r"Y?([\w-]{11})(?:_\d+(?:\.\d+)?)?", re.ASCII)


def bare_name(name: str) -> str:
    """Return a name without the folders before it and the suffix of a recording."""
    path = PurePosixPath(name.strip())
    return path.stem if path.suffix.lower() in READABLE + UNREADABLE else path.name


def youtube_id(name: str) -> str:
    """Return the YouTube id in a clip's name.

    `<id>`, `Y<id>`, `<id>_<start>`, and each of them with a suffix, name one video. A
    name without such an id comes back bare.
    """
    bare = bare_name(name)
    found = YOUTUBE_NAME.fullmatch(bare)
    return found[1] if found else bare


def is_youtube_name(name: str) -> bool:
    """Say whether a clip's name holds a YouTube id."""
    return YOUTUBE_NAME.fullmatch(bare_name(name)) is not None


def freesound_id(name: str) -> str | None:
    """Return the Freesound id in `<id>` or `<id>.<suffix>`; None if it is no number."""
    bare = bare_name(name)
    return bare if re.fullmatch(r"[0-9]+", bare) else None


def recordings_by_name(root: Path, within: Collection[str] = ()) -> dict[str, Path]:
    """Return bare name -> recording; of several with one name, the first by path.

    within : only what lies in a folder of one of these names, at any depth
    """
    found: dict[str, Path] = {}
    for path in find_recordings([root], recursive=True):
        folders = path.relative_to(root).parent.parts
        if not within or not set(within).isdisjoint(folders):
            found.setdefault(path.stem, path)
    return found
