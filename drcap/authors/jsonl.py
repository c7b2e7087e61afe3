"""The JSON lines of the authors: `key, source, target, text, similar_captions`.

Their training files have one line a caption: `target` is written by the language model
and `text` read by CLAP. Their inference files have one line a clip: `source` is its
recording and `target` its first caption. Checked against the released field names.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from drcap.atomic import write_text
from drcap.clap.batches import encode_recordings
from drcap.clap.encoder import CLAP
from drcap.config import RetrievalConfig
from drcap.data.clip import Clip, captions_of
from drcap.data.identities import bare_name
from drcap.data.prepared import read_prepared, write_prepared
from drcap.data.tables import json_lines
from drcap.errors import DatasetError
from drcap.load import load_clap
from drcap.retrieval import CaptionDatastore, Match
from drcap.retrieval.similarity_selection import select_similar

# AudioCaps' training key: a `Y`, the YouTube id and the number of the caption
NUMBERED_KEY = re.compile(r"Y(?P<youtube_id>[\w-]{11})_\d+", re.ASCII)


@dataclass(frozen=True)
class AuthorsRecord:
    """One line; None: the field is not in it."""

    key: Annotated[str, Field(min_length=1)]
    target: str
    source: str | None = None  # path of the recording
    text: str | None = None
    similar_captions: tuple[str, ...] | None = None  # may be empty


RECORD = TypeAdapter(AuthorsRecord)


def export_clips(
    prepared: Path,
    output: Path,
    *,
    inference: bool = False,
    datastore: Path | None = None,
    clap: str = "tag-bridge",
    seed: int = 0,
) -> int:
    """Write a prepared subset as the authors' code reads it; return the lines.

    inference : a line a recording in place of a line a caption
    datastore : folder to fill `similar_captions` from, drawn as in training by `seed`,
        or for inference retrieved by the recording; None: they are empty
    clap : name of the model that made the datastore

    DatasetError if no clip has a recording, or as for `read_prepared`.
    """
    clips = read_prepared(prepared)
    write = inference_records if inference else training_records
    similar = None
    if datastore is not None:
        encoder = load_clap(clap)
        search = _retrieved if inference else partial(_drawn, seed=seed)
        matches = search(clips, CaptionDatastore.load(datastore, encoder), encoder)
        similar = [[match.caption for match in row] for row in matches]
    records = write(clips, similar)
    if not records:
        raise DatasetError(
            f"{prepared}: no clip has a recording; prepare it with its audio"
        )
    return write_authors_jsonl(output, records)


def import_clips(
    path: Path, output: Path, subset: str | None = None
) -> tuple[int, int, int]:
    """Turn a file of the authors into a prepared subset, named like the file.

    returns : how many clips, captions, and lines without a caption

    Their similar captions are left out: training draws its own. DatasetError if no line
    has a target, or as for `read_authors_jsonl`.
    """
    records = read_authors_jsonl(path)
    clips = to_clips(records, subset or path.stem)
    if not clips:
        raise DatasetError(f"{path}: every 'target' is empty; nothing to import")
    write_prepared(output, clips)
    captions = sum(len(clip.captions) for clip in clips)
    return len(clips), captions, len(records) - captions


def read_authors_jsonl(path: Path | str) -> list[AuthorsRecord]:
    """Return a file's records in its order; their legacy fields are ignored.

    DatasetError: no such file, no line, or a malformed one, with its number and field.
    """
    path = Path(path)
    records = [
        _record(f"{path}: line {line}", entry) for line, entry in json_lines(path)
    ]
    if not records:
        raise DatasetError(f"{path}: holds no lines; export it again")
    return records


def write_authors_jsonl(path: Path | str, records: Iterable[AuthorsRecord]) -> int:
    """Write records whole or not at all; return how many. A None is left out."""
    fields = ("key", "source", "target", "text", "similar_captions")
    lines = []
    for record in records:
        values = asdict(record)
        entry = {name: values[name] for name in fields if values[name] is not None}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    write_text(Path(path), "".join(lines))
    return len(lines)


def training_records(
    clips: Iterable[Clip], similar: Sequence[Sequence[str]] | None = None
) -> list[AuthorsRecord]:
    """Return one record a caption, as their training reads them.

    similar : the similar captions of each caption, in the clips' order; None: `[]`
    """
    pairs = [
        (_key(clip) + (f"_{number}" if clip.youtube_id else ""), caption)
        for clip in clips
        for number, caption in enumerate(clip.captions, 1)
    ]
    lists = [()] * len(pairs) if similar is None else similar
    return [
        AuthorsRecord(key, caption, None, caption, tuple(texts))
        for (key, caption), texts in zip(pairs, lists, strict=True)
    ]


def inference_records(
    clips: Iterable[Clip], similar: Sequence[Sequence[str]] | None = None
) -> list[AuthorsRecord]:
    """Return one record a clip with a recording, its first caption as the target."""
    here = [clip for clip in clips if clip.path is not None]
    lists = [()] * len(here) if similar is None else similar
    return [
        AuthorsRecord(_key(clip), clip.captions[0], str(clip.path), None, tuple(texts))
        for clip, texts in zip(here, lists, strict=True)
    ]


def to_clips(records: Iterable[AuthorsRecord], subset: str) -> list[Clip]:
    """Return the clips of records, those of one key (its number aside) as one clip.

    Left out are records without a target, and `text` and `similar_captions`.
    """
    captions: dict[str, list[str]] = {}
    sources: dict[str, Path] = {}
    videos: dict[str, str] = {}
    for record in records:
        key = record.key
        if numbered := NUMBERED_KEY.fullmatch(key):
            key = f"Y{numbered['youtube_id']}"
            videos[key] = numbered["youtube_id"]
        if record.source:
            sources.setdefault(key, Path(record.source))
        if record.target.strip():
            captions.setdefault(key, []).append(record.target)
    return [
        Clip(
            *(key, "authors", subset, sources.get(key), None, tuple(texts)),
            youtube_id=videos.get(key),
        )
        for key, texts in captions.items()
    ]


def _retrieved(clips, datastore: CaptionDatastore, clap: CLAP) -> list[list[Match]]:
    """Return the captions nearest to each recording (eq. 3)."""
    paths = [clip.path for clip in clips if clip.path is not None]
    audio = encode_recordings(paths, clap)
    return datastore.search(audio, RetrievalConfig().top_k)


def _drawn(clips, datastore, clap: CLAP, seed: int) -> list[list[Match]]:
    """Return similar captions of each caption, none of them its own."""
    captions = captions_of(clips)
    own = CaptionDatastore.build(captions, clap)  # encodes a repeated caption once
    queries, band = own.embeddings_of(captions), RetrievalConfig()
    settings = {"k": band.top_k, "sim_min": band.sim_min, "sim_max": band.sim_max}
    return select_similar(
        queries, datastore, seed=seed, own_captions=captions, **settings
    )


def _record(where: str, entry: dict) -> AuthorsRecord:
    try:
        return RECORD.validate_python(entry)
    except ValidationError as error:
        fault = error.errors()[0]
        field, problem = fault["loc"][0], fault["msg"].replace("tuple", "list")
        raise DatasetError(f"{where}, field {field!r}: {problem}") from None


def _key(clip: Clip) -> str:
    return f"Y{clip.youtube_id}" if clip.youtube_id else bare_name(clip.clip_id)
