"""A prepared subset: one JSON line a clip, what training and evaluation read.

`drcap data prepare` writes such files whole or not at all. A clip whose audio is not
here, or cannot be decoded, is kept with `path` null: text-only training reads only its
captions. `read_captions` reads the same file as a plain list of captions.
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from drcap.atomic import atomic_path
from drcap.data.clip import Clip
from drcap.data.tables import json_lines, validated
from drcap.errors import DatasetError

CLIP = TypeAdapter(Clip)


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
