"""A clip with its captions, files of clips, and plain collections of captions.

Every dataset reader returns clips as the record below. A collection of captions is
what a datastore, a text embedding support or the text-only training is made of.

A prepared subset, as `drcap data prepare` writes it, has one JSON line a clip. A clip
whose audio is not here, or cannot be decoded, is kept with `path` null: text-only
training reads only its captions.
"""

import dataclasses
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from drcap.atomic import atomic_path
from drcap.data.tables import (
    filled,
    json_lines,
    read_bytes,
    read_table,
    read_text,
    text_under,
    validated,
)
from drcap.errors import DatasetError

READABLE = (".txt", ".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Clip:
    """One recording of a dataset, with its captions."""

    clip_id: str  # unique in its dataset
    dataset: str
    subset: str
    path: Path | None  # None if the audio is not here
    start: float | None  # seconds into the video it was cut from
    captions: tuple[str, ...]
    duration: float | None = None  # seconds, once it was decoded
    youtube_id: str | None = None
    freesound_id: str | None = None
    keywords: tuple[str, ...] = ()
    weak: bool = False  # captioned by a machine, not by people

    __pydantic_config__ = {"extra": "forbid"}  # where it is read from a file


CLIP = TypeAdapter(Clip)


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
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise DatasetError(
            f"{path}: captions are read from {', '.join(READABLE)}; convert it to one"
        )
    if suffix == ".txt":
        lines = re.split(r"\r\n|\r|\n", read_text(path))
        captions = [" ".join(line.split()) for line in lines if line.strip()]
    elif suffix == ".jsonl":
        captions = list(_of_json_lines(path))
    elif suffix == ".parquet":
        captions = list(_of_rows(path, _parquet_rows(path)))
    else:
        rows = read_table(path, delimiter="\t" if suffix == ".tsv" else ",")
        captions = list(_of_rows(path, rows))
    if not captions:
        raise DatasetError(f"{path}: holds no captions; add at least one")
    return captions


def read_listed(path: Path | str) -> Subset:
    """Return the clips of a CSV or TSV file with a column `file` beside its captions.

    Files are relative to the table; several rows of one file are one clip, whose id is
    the file as given. Raises DatasetError for a malformed table, or if none is here.
    """
    path, captions = Path(path), {}
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for line, row in read_table(path, delimiter=delimiter):
        texts = captions.setdefault(filled(path, line, row, "file"), [])
        texts.extend(_of_rows(path, [(line, row)]))
    clips = []
    for name, texts in captions.items():
        file = path.parent / name
        here = file if file.is_file() else None
        clips.append(Clip(name, path.stem, "all", here, None, tuple(texts)))
    if not any(clip.path for clip in clips):
        raise DatasetError(
            f"{path}: none of its {len(clips)} recordings is here; "
            "files are relative to the table"
        )
    return Subset(tuple(clips))


def write_prepared(path: Path | str, clips: Iterable[Clip]) -> None:
    """Write clips as JSON lines, whole or not at all; recordings by absolute path."""
    options = {"encoding": "utf-8", "errors": "backslashreplace"}  # odd file names
    with atomic_path(Path(path)) as aside, open(aside, "w", **options) as sink:
        for clip in clips:
            entry = dataclasses.asdict(clip)
            entry["path"] = None if clip.path is None else str(clip.path.absolute())
            sink.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_prepared(path: Path | str) -> tuple[Clip, ...]:
    """Return the clips of a prepared file in its order.

    Raises DatasetError: no such file, or a malformed line, with its number and field.
    """
    path = Path(path)
    clips: dict[str, Clip] = {}
    for line, entry in json_lines(path):
        clip = validated(CLIP, {"path": None, "start": None} | entry, path, line)
        if not clip.captions:
            raise DatasetError(f"{path}: line {line}, field 'captions' is empty")
        if clip.clip_id in clips:
            raise DatasetError(
                f"{path}: line {line} lists {clip.clip_id!r} a second time; "
                "run `drcap data prepare` again"
            )
        clips[clip.clip_id] = clip
    if not clips:
        raise DatasetError(f"{path}: lists no clips; run `drcap data prepare` again")
    return tuple(clips.values())


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    import pandas
    from pyarrow import ArrowException

    try:
        table = pandas.read_parquet(io.BytesIO(read_bytes(path))).astype(object)
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"{path}: cannot be read as parquet ({reason})") from None
    rows = table.where(table.notna(), "").astype(str).to_dict("records")
    return enumerate(rows, 1)


def _of_rows(path: Path, rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[str]:
    for line, row in rows:
        numbered = [name for name in row if re.fullmatch(r"caption_\d+", name)]
        for column in ["caption"] if "caption" in row or not numbered else numbered:
            yield " ".join(filled(path, line, row, column).split())


def _of_json_lines(path: Path) -> Iterator[str]:
    for line, entry in json_lines(path):
        where, captions = f"{path}: line {line}", entry.get("captions")
        if isinstance(captions, list) and captions:
            for caption in captions:
                yield text_under(where, {"captions": caption}, "captions")
        else:
            yield text_under(where, entry, "caption", "target", "captions")
