"""A clip with its captions, and plain collections of captions from a file.

Every dataset reader returns clips as the record below. A collection of captions is
what a datastore, a text embedding support or the text-only training is made of.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from drcap.data.tables import check_file, filled, read_table, read_text
from drcap.errors import DatasetError


@dataclass(frozen=True)
class Clip:
    """One recording of a dataset, with its captions."""

    clip_id: str  # unique in its dataset
    dataset: str
    subset: str
    path: Path | None  # None if the audio is not here
    start: float | None  # seconds into the video it was cut from
    captions: tuple[str, ...]
    duration: float | None = None  # seconds, where the dataset states it
    youtube_id: str | None = None
    freesound_id: str | None = None
    keywords: tuple[str, ...] = ()
    weak: bool = False  # captioned by a machine, not by people


def read_captions(path: Path | str) -> list[str]:
    """Return the captions of a txt, csv, tsv, jsonl or parquet file, in its order.

    txt: one a line. csv, tsv and parquet: a column `caption`, or `caption_1`,
    `caption_2` and so on. jsonl: one object a line with `caption` or `target`, or a
    list `captions`. Text is UTF-8 and blank lines are skipped; anything else amiss is a
    DatasetError.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(
            f"{path}: captions are read from {', '.join(READERS)}; convert it to one"
        )
    captions = list(reader(path))
    if not captions:
        raise DatasetError(f"{path}: holds no captions; add at least one")
    return captions


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) for each line that is not blank."""
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), 1):
        if text := " ".join(line.split()):
            yield number, text


def _from_text(path: Path) -> Iterator[str]:
    return (text for _, text in _lines(path))


def _from_csv(path: Path) -> Iterator[str]:
    return _from_rows(path, read_table(path))


def _from_tsv(path: Path) -> Iterator[str]:
    return _from_rows(path, read_table(path, delimiter="\t"))


def _from_parquet(path: Path) -> Iterator[str]:
    import pandas

    check_file(path)
    try:
        table = pandas.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise DatasetError(
            f"{path}: cannot be read as parquet ({str(error).splitlines()[0]}); "
            "save it again"
        ) from None
    rows = (
        {name: " ".join(str(value or "").split()) for name, value in row.items()}
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    )
    return _from_rows(path, enumerate(rows, 1))


def _from_rows(path: Path, rows: Iterator[tuple[int, dict[str, str]]]) -> Iterator[str]:
    for line, row in rows:
        numbered = [name for name in row if re.fullmatch(r"caption_\d+", name)]
        columns = ["caption"] if "caption" in row else numbered
        for column in columns or ["caption"]:
            yield filled(path, line, row, column)


def _from_jsonl(path: Path) -> Iterator[str]:
    for number, text in _lines(path):
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{path}: line {number} is not valid JSON ({error.msg})"
            ) from None
        fields = entry if isinstance(entry, dict) else {}
        captions = fields.get("captions")
        if not isinstance(captions, list) or not captions:
            captions = [fields.get("caption", fields.get("target"))]
        for caption in captions:
            if not isinstance(caption, str) or not caption.strip():
                raise DatasetError(
                    f"{path}: line {number} has no text under 'caption', 'target' or "
                    "'captions'"
                )
            yield " ".join(caption.split())


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _from_text,
    ".csv": _from_csv,
    ".tsv": _from_tsv,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
