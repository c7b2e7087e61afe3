"""The JSON lines of the authors: `key, source, target, text, similar_captions`.

Their training files have one line a caption: `target` is written by the language model
and `text` read by CLAP. Their inference files have one line a clip: `source` is its
recording and `target` its first caption. Checked against the released field names.
"""

import json
import re
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter

from drcap.atomic import write_text
from drcap.clap.batches import encode_recordings
from drcap.config import RetrievalConfig
from drcap.data.clip import Clip, captions_of, read_prepared, write_prepared
from drcap.data.identities import bare_name
from drcap.data.tables import json_lines, validated
from drcap.errors import DatasetError
from drcap.load import load_clap
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.similarity_selection import select_similar

# AudioCaps' training key: a `Y`, the YouTube id and the number of the caption
NUMBERED_KEY = re.compile(r"(Y([\w-]{11}))_\d+", re.ASCII)


class AuthorsRecord(BaseModel):
    """One line; None: the field is not in it."""

    key: str = Field(min_length=1)
    source: str | None = None  # path of the recording
    target: str
    text: str | None = None
    similar_captions: list[str] | None = None  # may be empty


RECORD = TypeAdapter(AuthorsRecord)


def export_clips(
    prepared: Path,
    output: Path,
    *,
    inference: bool = False,
    datastore: Path | None = None,
    clap: str = "caption-bridge",
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
    if inference:
        clips = [clip for clip in clips if clip.path is not None]
    records = []
    for clip in clips:
        key = f"Y{clip.youtube_id}" if clip.youtube_id else bare_name(clip.clip_id)
        if inference:
            source, target = str(clip.path), clip.captions[0]
            records.append({"key": key, "source": source, "target": target})
            continue
        for number, caption in enumerate(clip.captions, 1):
            numbered = f"{key}_{number}" if clip.youtube_id else key
            records.append({"key": numbered, "target": caption, "text": caption})
    if not records:
        raise DatasetError(
            f"{prepared}: no clip has a recording; prepare it with its audio"
        )
    similar: list[list] = [[] for _ in records]
    if datastore is not None:
        similar = _similar(clips, datastore, clap, seed, inference)
    for record, matches in zip(records, similar, strict=True):
        record["similar_captions"] = [match.caption for match in matches]
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    write_text(output, "".join(lines))
    return len(records)


def _similar(clips, datastore, clap_name, seed, inference):
    """Return the matches of each recording (eq. 3), or those drawn for each caption."""
    clap, settings = load_clap(clap_name), RetrievalConfig()
    stored = CaptionDatastore.load(datastore, clap)
    if inference:
        audio = encode_recordings([clip.path for clip in clips], clap)
        return stored.search(audio, settings.top_k)
    captions = captions_of(clips)
    own = CaptionDatastore.build(captions, clap)  # encodes a repeated caption once
    return select_similar(
        own.embeddings_of(captions),
        stored,
        k=settings.top_k,
        sim_min=settings.sim_min,
        sim_max=settings.sim_max,
        seed=seed,
        own_captions=captions,
    )


def import_clips(
    path: Path, output: Path, subset: str | None = None
) -> tuple[int, int, int]:
    """Turn a file of the authors into a prepared subset, named like the file.

    returns : how many clips, captions, and lines without a caption

    The lines of one key, its number aside, become one clip. Their similar captions are
    left out: training draws its own. DatasetError if no line has a target, or as for
    `read_authors_jsonl`.
    """
    records = read_authors_jsonl(path)
    captions: dict[str, list[str]] = {}
    sources: dict[str, Path] = {}
    videos: dict[str, str] = {}
    for record in records:
        key = record.key
        if numbered := NUMBERED_KEY.fullmatch(key):
            key = numbered[1]
            videos[key] = numbered[2]
        if record.source:
            sources.setdefault(key, Path(record.source))
        if record.target.strip():
            captions.setdefault(key, []).append(record.target)
    if not captions:
        raise DatasetError(f"{path}: every 'target' is empty; nothing to import")
    subset = subset or path.stem
    clips = [
        Clip(
            *(key, "authors", subset, sources.get(key), None, tuple(texts)),
            youtube_id=videos.get(key),
        )
        for key, texts in captions.items()
    ]
    write_prepared(output, clips)
    count = len(captions_of(clips))
    return len(clips), count, len(records) - count


def read_authors_jsonl(path: Path) -> list[AuthorsRecord]:
    """Return a file's records in its order; their legacy fields are ignored.

    DatasetError: no such file, no line, or a malformed one, with its number and field.
    """
    lines = json_lines(path)
    records = [validated(RECORD, entry, path, line) for line, entry in lines]
    if not records:
        raise DatasetError(f"{path}: holds no lines; export it again")
    return records
