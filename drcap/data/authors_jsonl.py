"""The JSON lines of DRCap's authors: `key, source, target, text, similar_captions`.

Their training files have one line a caption: `target` is written by the language model
and `text` read by CLAP. Their inference files have one line a clip: `source` is its
recording and `target` its first caption. Checked against the released field names.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drcap.data.captions import Clip
from drcap.data.identities import bare_name
from drcap.data.prepared import json_lines
from drcap.errors import DatasetError
from drcap.files import atomic_path

# AudioCaps' training key: a `Y`, the YouTube id and the number of the caption
NUMBERED_KEY = re.compile(r"Y(?P<youtube_id>[\w-]{11})_\d+", re.ASCII)


@dataclass(frozen=True)
class AuthorsRecord:
    """One line; None: the field is not in it."""

    key: str
    target: str
    source: str | None = None  # path of the recording
    text: str | None = None
    similar_captions: tuple[str, ...] | None = None  # may be empty


def read_authors_jsonl(path: Path | str) -> list[AuthorsRecord]:
    """Return a file's records in its order; their legacy fields are ignored.

    DatasetError: no such file, no line, or a malformed one, with its number and field
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
    count = 0
    with atomic_path(Path(path)) as aside, open(aside, "w", encoding="utf-8") as sink:
        for record in records:
            entry = {
                "key": record.key,
                "source": record.source,
                "target": record.target,
                "text": record.text,
                "similar_captions": record.similar_captions,
            }
            kept = {name: value for name, value in entry.items() if value is not None}
            sink.write(json.dumps(kept, ensure_ascii=False) + "\n")
            count += 1
    return count


def training_records(
    clips: Iterable[Clip], similar: Sequence[Sequence[str]] | None = None
) -> list[AuthorsRecord]:
    """Return one record a caption, as their training reads them.

    similar : the similar captions of each caption, in the clips' order; None: `[]`
    """
    pairs = [
        (_training_key(clip, number), caption)
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
        AuthorsRecord(
            _clip_key(clip), clip.captions[0], str(clip.path), None, tuple(texts)
        )
        for clip, texts in zip(here, lists, strict=True)
    ]


def to_clips(records: Iterable[AuthorsRecord], subset: str) -> list[Clip]:
    """Return the clips of records, those of one key (its number aside) as one clip.

    Records without a target tell nothing to train on and are left out, as are `text`
    and `similar_captions`: these are drawn anew in training.
    """
    captions: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    videos: dict[str, str] = {}
    for record in records:
        numbered = NUMBERED_KEY.fullmatch(record.key)
        key = f"Y{numbered['youtube_id']}" if numbered else record.key
        if numbered:
            videos[key] = numbered["youtube_id"]
        if record.source:
            sources.setdefault(key, record.source)
        if record.target.strip():
            captions.setdefault(key, []).append(record.target)
    return [
        Clip(
            *(key, "authors", subset),
            Path(sources[key]) if key in sources else None,
            None,
            tuple(texts),
            youtube_id=videos.get(key),
        )
        for key, texts in captions.items()
    ]


def _record(where: str, entry: dict) -> AuthorsRecord:
    for name in ("key", "target"):
        if not isinstance(entry.get(name), str):
            raise DatasetError(f"{where}, field {name!r} is no text")
    if not entry["key"]:
        raise DatasetError(f"{where}, field 'key' is empty")
    for name in ("source", "text"):
        if not isinstance(entry.get(name), str | None):
            raise DatasetError(f"{where}, field {name!r} is neither text nor absent")
    similar = entry.get("similar_captions")
    if similar is not None:
        if not isinstance(similar, list) or any(type(t) is not str for t in similar):
            raise DatasetError(f"{where}, field 'similar_captions' is no list of texts")
        similar = tuple(similar)
    texts = {name: entry.get(name) for name in ("source", "text")}
    return AuthorsRecord(
        entry["key"], entry["target"], **texts, similar_captions=similar
    )


def _clip_key(clip: Clip) -> str:
    return f"Y{clip.youtube_id}" if clip.youtube_id else bare_name(clip.clip_id)


def _training_key(clip: Clip, number: int) -> str:
    key = _clip_key(clip)
    return f"{key}_{number}" if clip.youtube_id else key
