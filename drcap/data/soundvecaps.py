"""Sound-VECaps (Yuan et al., 2024): captions of AudioSet clips, written by a machine.

Only captions and ids are published, as CSV files whose columns are not documented: the
two columns are recognised by their cells unless they are named. The audio is what a
reader has of AudioSet; most of its links are dead, and what is missing is listed.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from drcap.data.clip import Clip, Subset
from drcap.data.identities import check_any, is_youtube_name, locate, youtube_id
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetError

SAMPLE = 20  # rows by which a column is recognised


def read_soundvecaps(
    root: Path | str,
    subset: str,
    *,
    audio: bool = True,
    id_column: str | None = None,
    caption_column: str | None = None,
) -> Subset:
    """Read the captions of `<subset>.csv`, those of one id as one clip.

    Recordings anywhere under `root` are named by YouTube id, perhaps with a `Y` before
    it and the start and the end behind it.

    audio : if False, none is looked for, and every clip's path is None
    id_column, caption_column : None: the only column of YouTube ids, and the only one
        of text whose name says "caption", or else the only one of text
    Raises DatasetError: a column that cannot be recognised or is not there, a malformed
    row, no clip.
    """
    root, csv_path = Path(root), Path(root, f"{subset}.csv")
    id_column, caption_column = _columns(csv_path, id_column, caption_column)
    captions: dict[str, list[str]] = {}
    rows = tqdm(read_table(csv_path), csv_path.name, unit="row", leave=False, delay=2)
    for line, row in rows:
        name = youtube_id(filled(csv_path, line, row, id_column))
        captions.setdefault(name, []).append(
            filled(csv_path, line, row, caption_column)
        )
    base = ("soundvecaps", subset, None, None)
    listed = (
        (Clip(name, *base, tuple(texts), youtube_id=name, weak=True), [name])
        for name, texts in captions.items()
    )
    result = locate(listed, root if audio else None, key=youtube_id)
    advice = "name them <youtube_id>.wav (or flac, ogg, mp3)"
    return check_any(result, root, csv_path.name, advice)


def _columns(
    csv_path: Path, id_column: str | None, caption_column: str | None
) -> tuple[str, str]:
    """Return the columns of ids and captions; recognise those that were not named."""
    rows = [row for _, row in itertools.islice(read_table(csv_path), SAMPLE)]
    if not rows:
        raise DatasetError(f"{csv_path}: lists no clips; fetch it again")
    if id_column is None:
        names = _holding(rows, is_youtube_name)
        id_column = _only(csv_path, names, rows, "YouTube ids", "id_column")
    if caption_column is None:
        names = _holding(rows, lambda cell: len(cell.split()) > 2)
        names = [name for name in names if "caption" in name.lower()] or names
        caption_column = _only(csv_path, names, rows, "captions", "caption_column")
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
