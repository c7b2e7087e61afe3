"""Names under which one recording is known in several datasets, made comparable.

AudioCaps and AudioSet name a clip by its YouTube id, Clotho and WavCaps one by its
Freesound id. Copies decorate both: a leading `Y`, the start of the clip and its end, a
suffix. Here the clips of a dataset meet the recordings of a folder by such names.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from drcap.audio import READABLE, THROUGH_FFMPEG, find_recordings
from drcap.data.clip import Clip, Subset
from drcap.errors import DatasetError

# A YouTube id has 11 characters, so that a `Y` before it differs from one within it.
YOUTUBE_NAME = re.compile(
    r"(?P<y>Y?)(?P<id>[\w-]{11})(?:_(?P<start>\d+(?:\.\d+)?)(?:_\d+(?:\.\d+)?)?)?",
    re.ASCII,
)


def bare_name(name: str) -> str:
    """Return a name without the folders before it and the suffix of a recording."""
    path = PurePosixPath(name.strip())
    known = path.suffix.lower() in READABLE + THROUGH_FFMPEG
    return path.stem if known else path.name


def youtube_id(name: str) -> str:
    """Return the YouTube id in a clip's name.

    `<id>`, `Y<id>`, `<id>_<start>`, `<id>_<start>_<end>`, and each of them with a
    suffix, name one video. A name without such an id comes back bare.
    """
    match = YOUTUBE_NAME.fullmatch(bare_name(name))
    return match["id"] if match else bare_name(name)


def freesound_id(name: str) -> str | None:
    """Return the Freesound id in `<id>` or `<id>.<suffix>`; None if it is no number."""
    bare = bare_name(name)
    return bare if re.fullmatch(r"[0-9]+", bare) else None


def number(value: float) -> str:
    """Return 30.0 as "30" and 30.5 as "30.5", as names of clips have them."""
    return str(int(value)) if value == int(value) else str(value)


def locate(
    listed: Iterable[tuple[Clip, Collection[str]]],
    root: Path | None,
    annotations: Path,
    *,
    within: Collection[str] = (),
    key: Callable[[str], str] = str,
) -> Subset:
    """Find the recordings of the clips of an annotation file under `root`.

    listed : each clip, and the names its recording may have, the surest first
    root : None: no recording is looked for
    within : only recordings in a folder of one of these names, at any depth
    key : what the names of one recording have in common; of several recordings with
        one key, the first by path counts
    Raises DatasetError where no clip is listed, or none has a recording.
    """
    listed = list(listed)  # what is amiss there comes first
    if not listed:
        raise DatasetError(f"{annotations}: lists no clips; fetch it again")
    if root is None:
        return Subset(tuple(clip for clip, _ in listed), audio=False)

    def composed(name: str) -> str:
        """Level the two forms in which Unicode writes an accented letter."""
        return key(unicodedata.normalize("NFC", name))

    paths: dict[str, Path] = {}
    for path in find_recordings([root], recursive=True):
        folders = path.relative_to(root).parent.parts
        if not within or not set(within).isdisjoint(folders):
            paths.setdefault(composed(path.stem), path)
    clips = []
    for clip, names in listed:
        keys = map(composed, names)
        path = next((paths[key] for key in keys if key in paths), None)
        clips.append(replace(clip, path=path))
    if not any(clip.path for clip in clips):
        raise DatasetError(
            f"{root}: holds none of the {len(listed)} clips of {annotations.name}; "
            "`drcap data sources` says how they are named, and in which folders"
        )
    matched = {clip.path for clip in clips}
    unmatched = tuple(path for path in paths.values() if path not in matched)
    return Subset(tuple(clips), unmatched=unmatched)
