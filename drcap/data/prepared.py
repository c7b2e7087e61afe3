"""A prepared subset: one JSON line a clip, what training and evaluation read.

`drcap data prepare` writes such files whole or not at all. A clip whose audio is not
here, or cannot be decoded, is kept with `path` null: text-only training wants only its
captions. `read_captions` reads the same file as a plain list of captions.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path

from drcap.data.captions import Clip
from drcap.data.tables import read_text
from drcap.errors import DatasetError
from drcap.files import atomic_path

TEXTS = ("clip_id", "dataset", "subset")
OPTIONAL_TEXTS = ("path", "youtube_id", "freesound_id")
NUMBERS = ("start", "duration")
LISTS = ("captions", "keywords")
FIELDS = {field.name for field in dataclasses.fields(Clip)}


def write_prepared(path: Path | str, clips: Iterable[Clip]) -> None:
    """Write clips as JSON lines, whole or not at all; recordings by absolute path."""
    with atomic_path(Path(path)) as aside, open(aside, "w", encoding="utf-8") as sink:
        for clip in clips:
            entry = dataclasses.asdict(clip)
            entry["path"] = None if clip.path is None else str(clip.path.absolute())
            sink.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_prepared(path: Path | str, *, audio: bool = False) -> tuple[Clip, ...]:
    """Return the clips of a prepared file in its order.

    audio : only the clips that have a recording
    DatasetError: no such file, or a malformed line, with its number and field
    """
    path = Path(path)
    clips, seen = [], set()
    for line, entry in json_lines(path):
        clip = _clip(f"{path}: line {line}", entry)
        if clip.clip_id in seen:
            raise DatasetError(
                f"{path}: line {line} lists {clip.clip_id!r} a second time; "
                "run `drcap data prepare` again"
            )
        seen.add(clip.clip_id)
        clips.append(clip)
    if not clips:
        raise DatasetError(f"{path}: lists no clips; run `drcap data prepare` again")
    return tuple(clip for clip in clips if clip.path is not None or not audio)


def json_lines(path: Path) -> Iterable[tuple[int, dict]]:
    """Yield (line number, object) for each line that is not blank, checked."""
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{path}: line {number} is not valid JSON ({error.msg}, "
                f"column {error.colno}); write the file again"
            ) from None
        if not isinstance(entry, dict):
            raise DatasetError(f"{path}: line {number} is no JSON object")
        yield number, entry


def _clip(where: str, entry: dict) -> Clip:
    if unknown := sorted(set(entry) - FIELDS):
        raise DatasetError(f"{where} has the unknown field {unknown[0]!r}")
    for name in TEXTS:
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise DatasetError(f"{where}, field {name!r} is no text")
    for name in OPTIONAL_TEXTS:
        if not isinstance(entry.get(name), str | None):
            raise DatasetError(f"{where}, field {name!r} is neither text nor null")
    for name in NUMBERS:
        if not _is_seconds(entry.get(name)):
            raise DatasetError(f"{where}, field {name!r} is neither seconds nor null")
    for name in LISTS:
        texts = entry.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
            raise DatasetError(f"{where}, field {name!r} is no list of texts")
    if not entry.get("captions"):
        raise DatasetError(f"{where}, field 'captions' is empty")
    facts = {"path": None, "start": None} | entry
    facts |= {name: tuple(entry.get(name, ())) for name in LISTS}
    facts["path"] = Path(facts["path"]) if facts["path"] else None
    return Clip(**facts)


def _is_seconds(value: object) -> bool:
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
