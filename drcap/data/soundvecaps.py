"""Sound-VECaps (Yuan et al., 2024): captions of AudioSet clips, written by a machine.

Only captions and ids are published, as CSV files whose columns are not documented, so
the two columns are told by what they hold unless they are named. The audio is what a
reader has of AudioSet; most of its links are dead, and what is missing is listed.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap.data.captions import Clip
from drcap.data.identities import is_youtube_name, recordings_by_name, youtube_id
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetError

SAMPLE = 20  # rows by which a column is told


@dataclass(frozen=True)
class SoundVECaps:
    """The clips whose audio is here, and the ids of those whose audio is not."""

    clips: tuple[Clip, ...]
    missing: tuple[str, ...]  # YouTube ids, in the order of the CSV


def read_soundvecaps(
    csv_path: Path | str,
    audio_root: Path | str | None = None,
    *,
    id_column: str | None = None,
    caption_column: str | None = None,
) -> SoundVECaps:
    """Read the captions of a CSV, those of one id as one clip, and find its audio.

    audio_root : a folder of recordings named by YouTube id, with or without a `Y` and
        the start; None: none is looked for, and every clip's path is None
    id_column, caption_column : None: the only column of YouTube ids, and the only one
        of text whose name says "caption", or else the only one of text
    DatasetError: a column that cannot be told or is not there, a malformed row, no clip
    """
    csv_path = Path(csv_path)
    columns = _columns(csv_path, id_column, caption_column)
    captions = _captions(csv_path, *columns)
    recordings = {}
    if audio_root is not None:
        found = recordings_by_name(Path(audio_root))
        recordings = {youtube_id(name): path for name, path in found.items()}
    clips, missing = [], []
    for name, texts in captions.items():
        path = recordings.get(name)
        if audio_root is not None and path is None:
            missing.append(name)
        else:
            base = (name, "soundvecaps", csv_path.stem, path, None, tuple(texts))
            clips.append(Clip(*base, youtube_id=name, weak=True))
    if not clips:
        raise DatasetError(
            f"{audio_root}: holds none of the {len(missing)} clips of {csv_path.name}; "
            "name them <youtube_id>.wav (or flac, ogg, mp3)"
        )
    return SoundVECaps(tuple(clips), tuple(missing))


def _captions(csv_path: Path, id_column: str, column: str) -> dict[str, list[str]]:
    """Return YouTube id -> captions, in the order of the CSV."""
    captions: dict[str, list[str]] = {}
    bar = tqdm(
        read_table(csv_path), desc=csv_path.name, unit="row", leave=False, delay=2
    )
    for line, row in bar:
        name = youtube_id(filled(csv_path, line, row, id_column))
        captions.setdefault(name, []).append(filled(csv_path, line, row, column))
    return captions


def _columns(
    csv_path: Path, id_column: str | None, caption_column: str | None
) -> tuple[str, str]:
    """Return the columns of ids and captions, those that were not named told."""
    rows = [row for _, row in itertools.islice(read_table(csv_path), SAMPLE)]
    if not rows:
        raise DatasetError(f"{csv_path}: lists no clips; fetch it again")
    if id_column is None:
        names = _holding(rows, is_youtube_name)
        id_column = _only(csv_path, names, rows, "YouTube ids", "id_column")
    if caption_column is None:
        names = _holding(rows, lambda cell: len(cell.split()) > 2)
        named = [name for name in names if "caption" in name.lower()]
        told = named or names
        caption_column = _only(csv_path, told, rows, "captions", "caption_column")
    return id_column, caption_column


def _holding(rows: list[dict[str, str]], fits: Callable[[str], bool]) -> list[str]:
    return [name for name in rows[0] if all(fits(row[name]) for row in rows)]


def _only(csv_path: Path, names: list[str], rows: list, what: str, option: str) -> str:
    if len(names) != 1:
        raise DatasetError(
            f"{csv_path}: {'several columns' if names else 'no column'} may hold the "
            f"{what}; give {option}, one of {', '.join(names or rows[0])}"
        )
    return names[0]
