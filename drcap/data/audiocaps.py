"""AudioCaps (Kim et al., 2019): its own CSV layout, and clips found by their names.

Each row is `audiocap_id,youtube_id,start_time,caption`; a clip of several captions has
several rows. Every copy of the audio is incomplete, since videos vanish from YouTube:
what is missing is listed, never passed over in silence.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from drcap.data.captions import Clip
from drcap.data.identities import recordings_by_name
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetAbsentError, DatasetError

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
# As the dataset's own repository has them, and as aac-datasets lays them out.
FOLDERS = {
    "v1": ("dataset", "csv_files_v1"),
    "v2": ("dataset2.0", "csv_files_v2"),
}
SUBSET_NAMES = {"val": ("val", "validation"), "validation": ("validation", "val")}


@dataclass(frozen=True)
class AudioCaps:
    """The clips of a subset whose audio is here, and the ids of those that are not."""

    clips: tuple[Clip, ...]
    missing: tuple[str, ...]  # `<youtube_id>_<start>`, in the order of the CSV


def read_training_captions(csv_path: Path | str) -> list[str]:
    """Return every caption of an AudioCaps CSV in its order, repeats included."""
    captions = [row["caption"] for _, row in _rows(Path(csv_path))]
    if not captions:
        raise DatasetError(f"{csv_path}: holds no captions; fetch it again")
    return captions


def read_audiocaps(
    root: Path | str, subset: str, *, audio: bool = True, version: str | None = None
) -> AudioCaps:
    """Read a subset's captions and find its clips anywhere under `root`.

    The captions are `<subset>.csv` or `<subset>_v2.csv` in `root` or one of FOLDERS. A
    clip is a recording named `<youtube_id>_<start>` (in s or ms), or `<youtube_id>`
    where the subset has one clip of that video; each may follow a `Y`. No such CSV, a
    malformed row, or no clip at all is a DatasetError.
    audio : if False, none is looked for, and every clip's path is None
    version : v1 or v2, where `root` holds both; None: the first found, v1 before v2
    """
    root = Path(root)
    csv_path = _find_csv(root, subset, version)
    captions = _captions_of_clips(csv_path)
    recordings = recordings_by_name(root) if audio else {}
    clips_of_video = Counter(youtube_id for youtube_id, _ in captions)
    clips, missing = [], []
    for (youtube_id, start), texts in captions.items():
        clip_id = f"{youtube_id}_{_number(start)}"
        alone = clips_of_video[youtube_id] == 1
        stems = _stems(youtube_id, start, alone)
        path = next((recordings[stem] for stem in stems if stem in recordings), None)
        if audio and path is None:
            missing.append(clip_id)
        else:
            base = (clip_id, "audiocaps", subset, path, start, tuple(texts))
            clips.append(Clip(*base, youtube_id=youtube_id))
    if not clips:
        raise DatasetError(
            f"{root}: holds none of the {len(missing)} clips of {csv_path.name}; "
            "name them <youtube_id>_<start>.wav (or flac, ogg, mp3)"
        )
    return AudioCaps(tuple(clips), tuple(missing))


def _find_csv(root: Path, subset: str, version: str | None) -> Path:
    if not root.is_dir():
        raise DatasetAbsentError(
            f"{root}: no such folder; give the folder of AudioCaps"
        )
    if version is not None and version not in FOLDERS:
        raise DatasetError(
            f"AudioCaps has no version {version!r}; give one of {', '.join(FOLDERS)}"
        )
    names = [
        f"{name}{ending}.csv"
        for name in SUBSET_NAMES.get(subset, (subset,))
        for ending in ("", "_v2")
    ]
    versions = FOLDERS if version is None else (version,)
    inside = [folder for each in versions for folder in FOLDERS[each]]
    for folder in inside if version else [".", *inside]:
        for name in names:
            if (root / folder / name).is_file():
                return root / folder / name
    raise DatasetAbsentError(
        f"{root}: has no captions of subset {subset!r}; expected {' or '.join(names)} "
        f"in it or in its folder {' or '.join(inside)}"
    )


def _rows(csv_path: Path) -> list[tuple[float, dict[str, str]]]:
    """Return (start in seconds, row) for each row of an AudioCaps CSV, checked."""
    rows, seen = [], set()
    for line, row in read_table(csv_path):
        for column in COLUMNS:
            filled(csv_path, line, row, column)
        if row["audiocap_id"] in seen:
            raise DatasetError(
                f"{csv_path}: line {line}, column 'audiocap_id' is "
                f"{row['audiocap_id']!r} a second time; delete one of the rows"
            )
        seen.add(row["audiocap_id"])
        try:
            start = float(row["start_time"])
        except ValueError:
            start = math.nan
        if not 0 <= start < math.inf:
            raise DatasetError(
                f"{csv_path}: line {line}, column 'start_time' is "
                f"{row['start_time']!r}, expected seconds"
            )
        rows.append((start, row))
    return rows


def _captions_of_clips(csv_path: Path) -> dict[tuple[str, float], list[str]]:
    """Return (youtube_id, start) -> captions, in the order of the CSV."""
    captions: dict[tuple[str, float], list[str]] = {}
    for start, row in _rows(csv_path):
        captions.setdefault((row["youtube_id"], start), []).append(row["caption"])
    if not captions:
        raise DatasetError(f"{csv_path}: lists no clips; fetch it again")
    return captions


def _stems(youtube_id: str, start: float, alone: bool) -> list[str]:
    """Return the names that a clip's recording may have, the surest first."""
    seconds, milliseconds = _number(start), _number(start * 1000)
    stems = [f"{youtube_id}_{seconds}", f"{youtube_id}_{milliseconds}"]
    if alone:
        stems.append(youtube_id)
    return [prefix + stem for stem in stems for prefix in ("", "Y")]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
