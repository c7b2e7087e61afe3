"""WavCaps (Mei et al., 2023) and Sound-VECaps (Yuan et al., 2024): weak captions.

WavCaps' captions were written by a language model from what its sources say of each
sound; it is one JSON file a source, with the audio in any folder of the source's name.
In the published files an id carries ".wav" though its audio is FLAC, and AudioSet's a
leading `Y`. Sound-VECaps publishes captions and ids of AudioSet clips alone, as CSV
files whose columns are not documented: name them `id` and `caption`. The audio is what
a reader has of AudioSet.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from drcap.data.clip import Clip, Subset
from drcap.data.identities import bare_name, freesound_id, locate, youtube_id
from drcap.data.tables import filled, read_table, read_text, text_under
from drcap.errors import DatasetError, check_choice

AUDIOSET, FREESOUND = "AudioSet_SL", "FreeSound"
SOURCES = {
    AUDIOSET: "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    FREESOUND: "fsd_final.json",
    "SoundBible": "sb_final.json",
}


def read_wavcaps(root: Path | str, source: str, *, audio: bool = True) -> Subset:
    """Read the entries of a source and find their audio under `root`.

    They are in `json_files/<source>/<name of SOURCES>`; the audio of one is a recording
    of its id in any folder called `<source>` or `<source>_flac`.

    source : a key of SOURCES
    audio : if False, none is looked for, and every clip's path is None
    Raises DatasetError: another source, no file, a file or entry amiss, no clip at all.
    """
    root = Path(root)
    check_choice("source of WavCaps", source, SOURCES, DatasetError)
    path = root / "json_files" / source / SOURCES[source]
    return locate(
        ((clip, [clip.clip_id.partition("/")[2]]) for clip in _clips(path, source)),
        root if audio else None,
        path,
        within=(source, f"{source}_flac"),
        key=youtube_id if source == AUDIOSET else str,
    )


def _clips(json_path: Path, source: str) -> Iterator[Clip]:
    """Yield the clips of a JSON file, without their recordings."""
    try:
        content = json.loads(read_text(json_path))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{json_path}: line {error.lineno} is not valid JSON ({error.msg}); "
            "download it again, by `git lfs pull` if it is a pointer of Git LFS"
        ) from None
    entries = content.get("data") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f"{json_path}: has no list of entries under 'data'")
    for number, entry in enumerate(entries, 1):
        name = bare_name(str(entry.get("id") or "")) if isinstance(entry, dict) else ""
        if not name:
            raise DatasetError(f"{json_path}: entry {number} has no 'id'")
        where = f"{json_path}: entry {number} (id {name})"
        tags = entry.get("tags")
        tags = tags if isinstance(tags, list) else [tags] if tags else ()
        yield Clip(
            *(f"{source}/{name}", "wavcaps", source, None, None),
            captions=(text_under(where, entry, "caption"),),
            youtube_id=youtube_id(name) if source == AUDIOSET else None,
            freesound_id=freesound_id(name) if source == FREESOUND else None,
            keywords=tuple(map(str, tags)),
            weak=True,
        )


def read_soundvecaps(root: Path | str, subset: str, *, audio: bool = True) -> Subset:
    """Read the columns `id` and `caption` of `<subset>.csv`; one id is one clip.

    Recordings anywhere under `root` are named by YouTube id, perhaps with a `Y` before
    it and the start and the end behind it.

    audio : if False, none is looked for, and every clip's path is None
    Raises DatasetError: no such file or column, a malformed row, no clip.
    """
    root, csv_path = Path(root), Path(root, f"{subset}.csv")
    captions: dict[str, list[str]] = {}
    for line, row in read_table(csv_path):
        name = youtube_id(filled(csv_path, line, row, "id"))
        if not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise DatasetError(
                f"{csv_path}: line {line}, column 'id' is {name!r}, which is no "
                "YouTube id"
            )
        caption = filled(csv_path, line, row, "caption")
        captions.setdefault(name, []).append(caption)
    base = ("soundvecaps", subset, None, None)
    listed = (
        (Clip(name, *base, tuple(texts), youtube_id=name, weak=True), [name])
        for name, texts in captions.items()
    )
    return locate(listed, root if audio else None, csv_path, key=youtube_id)
