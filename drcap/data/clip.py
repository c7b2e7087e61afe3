"""A clip with its captions, and plain collections of captions from a file.

Every dataset reader returns clips as the record below. A collection of captions is
what a datastore, a text embedding support or the text-only training is made of.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from drcap.data.tables import (
    check_file,
    filled,
    json_lines,
    read_table,
    read_text,
    text_under,
)
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


@dataclass(frozen=True)
class Subset:
    """What an annotation file lists, and which recordings are here."""

    listed: tuple[Clip, ...]  # all clips, in the order of the file
    audio: bool = True  # whether recordings were looked for
    unmatched: tuple[Path, ...] = ()  # recordings of no clip

    @property
    def clips(self) -> tuple[Clip, ...]:
        """The clips whose recording is here, or all if none was looked for."""
        return tuple(clip for clip in self.listed if clip.path or not self.audio)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of the clips whose recording was looked for and is not here."""
        return tuple(c.clip_id for c in self.listed if self.audio and not c.path)


def captions_of(clips: Iterable[Clip]) -> list[str]:
    """Return all captions of the clips, in order: what a datastore is made of."""
    return [caption for clip in clips for caption in clip.captions]


def read_captions(path: Path | str) -> list[str]:
    """Return the captions of a txt, csv, tsv, jsonl or parquet file, in its order.

    txt: one a line. csv, tsv and parquet: a column `caption`, or `caption_1`,
    `caption_2` and so on. jsonl: one object a line with `caption` or `target`, or a
    list `captions`. Text is UTF-8, or UTF-16 with its mark, and blank lines are
    skipped. Raises DatasetError for anything else.
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


def _from_text(path: Path) -> Iterator[str]:
    for line in re.split(r"\r\n|\r|\n", read_text(path)):
        if text := " ".join(line.split()):
            yield text


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
    rows = table.astype(object).where(table.notna(), "").astype(str).to_dict("records")
    return _from_rows(path, enumerate(rows, 1))


def _from_rows(path: Path, rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[str]:
    for line, row in rows:
        numbered = [name for name in row if re.fullmatch(r"caption_\d+", name)]
        for column in ["caption"] if "caption" in row or not numbered else numbered:
            filled(path, line, row, column)
            yield text_under(f"{path}: line {line}", row, column)


def _from_jsonl(path: Path) -> Iterator[str]:
    for line, entry in json_lines(path):
        where, captions = f"{path}: line {line}", entry.get("captions")
        if isinstance(captions, list) and captions:
            for caption in captions:
                yield text_under(where, {"captions": caption}, "captions")
        else:
            yield text_under(where, entry, "caption", "target", "captions")


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _from_text,
    ".csv": _from_csv,
    ".tsv": _from_tsv,
    ".jsonl": _from_jsonl,
    ".parquet": _from_parquet,
}
