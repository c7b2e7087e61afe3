"""AudioCaps (Kim et al., 2019): its own CSV layout, and clips found by their names.

Each row is `audiocap_id,youtube_id,start_time,caption`; a clip of several captions has
several rows. Every copy of the audio is incomplete, since videos vanish from YouTube:
what is missing is listed, never passed over in silence.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from drcap.data.clip import Clip, Subset
from drcap.data.identities import YOUTUBE_NAME, locate, number
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetAbsentError, DatasetError, check_choice

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
# As the dataset's own repository has them, and as aac-datasets lays them out.
FOLDERS = {"v1": ("dataset", "csv_files_v1"), "v2": ("dataset2.0", "csv_files_v2")}
SUBSET_NAMES = {"val": ("val", "validation"), "validation": ("validation", "val")}


def read_audiocaps(
    root: Path | str, subset: str, *, audio: bool = True, version: str | None = None
) -> Subset:
    """Read a subset's captions and find its clips anywhere under `root`.

    The captions are `<subset>.csv` or `<subset>_v2.csv` in `root` or one of FOLDERS. A
    clip is a recording named `<youtube_id>_<start>` (in s or ms), perhaps with
    `_<end>`, or `<youtube_id>` where the subset has one clip of that video; each may
    follow a `Y`.

    audio : if False, none is looked for, and every clip's path is None
    version : v1 or v2, where `root` holds both; None: the first found, v1 before v2
    Raises DatasetError: no such CSV, a malformed row, or no clip at all.
    """
    root = Path(root)
    csv_path = _find_csv(root, subset, version)
    captions: dict[tuple[str, float], list[str]] = {}
    for start, row in _rows(csv_path):
        captions.setdefault((row["youtube_id"], start), []).append(row["caption"])
    clips_of_video = Counter(youtube_id for youtube_id, _ in captions)
    listed = []
    for (youtube_id, start), texts in captions.items():
        clip_id = f"{youtube_id}_{number(start)}"
        fields = (clip_id, "audiocaps", subset, None, start, tuple(texts))
        names = [clip_id, f"{youtube_id}_{number(start * 1000)}"]
        if clips_of_video[youtube_id] == 1:
            names.append(youtube_id)
        both = [prefix + name for name in names for prefix in ("", "Y")]
        listed.append((Clip(*fields, youtube_id=youtube_id), both))
    return locate(listed, root if audio else None, csv_path, key=_without_end)


def _find_csv(root: Path, subset: str, version: str | None) -> Path:
    if version is not None:
        check_choice("version of AudioCaps", version, FOLDERS, DatasetError)
    names = [
        f"{name}{ending}.csv"
        for name in SUBSET_NAMES.get(subset, (subset,))
        for ending in ("", "_v2")
    ]
    both = (*FOLDERS["v1"], *FOLDERS["v2"])
    for folder in FOLDERS[version] if version else (".", *both):
        for name in names:
            if (root / folder / name).is_file():
                return root / folder / name
    raise DatasetAbsentError(
        f"{root}: has no captions of subset {subset!r}; expected {' or '.join(names)} "
        f"in it or in its folder {' or '.join(both)}"
    )


def _rows(csv_path: Path) -> Iterator[tuple[float, dict[str, str]]]:
    """Yield (start in seconds, row) for each row of an AudioCaps CSV, checked."""
    seen = set()
    for line, row in read_table(csv_path):
        caption_id, youtube_id, start, _ = (
            filled(csv_path, line, row, column) for column in COLUMNS
        )
        fault = None
        if caption_id in seen:
            fault = f"'audiocap_id' is {caption_id!r} a second time"
        elif not re.fullmatch(r"[\w-]+", youtube_id, re.ASCII):
            fault = f"'youtube_id' is {youtube_id!r}, which is no YouTube id"
        elif not re.fullmatch(r"\d+(\.\d*)?", start, re.ASCII):
            fault = f"'start_time' is {start!r}, expected seconds"
        if fault:
            raise DatasetError(f"{csv_path}: line {line}, column {fault}")
        seen.add(caption_id)
        yield float(start), row


def _without_end(name: str) -> str:
    """Return `<id>_30` for `<id>_30.000_40.000`, and other names as they are."""
    match = YOUTUBE_NAME.fullmatch(name)
    if not match or not match["start"]:
        return name
    return f"{match['y']}{match['id']}_{number(float(match['start']))}"
