"""WavCaps (Mei et al., 2023): weakly labelled clips, one JSON file a source.

Its captions were written by a language model from what the sources say of each sound.
In: the JSON files as published and the audio in any folder of the source's name. Out:
one Clip an entry, with the id that YouTube or Freesound knows it by. In the published
files an id carries ".wav" though its audio is FLAC, and AudioSet's a leading `Y`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from drcap.data.clip import Clip, Subset
from drcap.data.identities import (
    bare_name,
    check_any,
    freesound_id,
    locate,
    youtube_id,
)
from drcap.data.tables import read_text, text_under
from drcap.errors import DatasetAbsentError, DatasetError

AUDIOSET, FREESOUND = "AudioSet_SL", "FreeSound"
SOURCES = {
    AUDIOSET: "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    FREESOUND: "fsd_final.json",
    "SoundBible": "sb_final.json",
}


def read_wavcaps(
    root: Path | str, source: str | None = None, *, audio: bool = True
) -> Subset:
    """Read the entries of a source, or of all, and find their audio under `root`.

    An entry's file is `json_files/<source>/<name of SOURCES>`; its audio is a recording
    of its id in any folder called `<source>` or `<source>_flac`.

    source : a key of SOURCES; None: all whose JSON file is here
    audio : if False, none is looked for, and every clip's path is None
    Raises DatasetError: an unknown source, no file, a file or entry amiss, no clip at
    all.
    """
    root = Path(root)
    files = _json_files(root, source)
    parts = [
        locate(
            ((clip, [clip.clip_id.partition("/")[2]]) for clip in _clips(path, name)),
            root if audio else None,
            within=(name, f"{name}_flac"),
            key=youtube_id if name == AUDIOSET else str,
        )
        for name, path in files.items()
    ]
    listed = tuple(clip for part in parts for clip in part.listed)
    unmatched = tuple(path for part in parts for path in part.unmatched)
    advice = "put them into folders of these names"
    return check_any(Subset(listed, audio, unmatched), root, ", ".join(files), advice)


def _json_files(root: Path, source: str | None) -> dict[str, Path]:
    """Return source -> its JSON file, all there."""
    if not root.is_dir():
        raise DatasetAbsentError(f"{root}: no such folder; give the folder of WavCaps")
    if source not in (None, *SOURCES):
        raise DatasetError(
            f"WavCaps has no source {source!r}; give one of {', '.join(SOURCES)}"
        )
    names = SOURCES if source is None else [source]
    files = {name: root / "json_files" / name / SOURCES[name] for name in names}
    here = {name: path for name, path in files.items() if path.is_file()}
    if not here:
        name = next(iter(files.values())).relative_to(root)
        raise DatasetAbsentError(f"{root}: has no {name}; fetch WavCaps' json_files")
    return here


def _clips(json_path: Path, source: str) -> Iterator[Clip]:
    """Yield the clips of a JSON file, without their recordings."""
    bar = tqdm(_entries(json_path), desc=source, unit="clip", leave=False, delay=2)
    for number, entry in enumerate(bar, 1):
        name = _name(f"{json_path}: entry {number}", entry)
        where = f"{json_path}: entry {number} (id {name})"
        caption = text_under(where, entry, "caption")
        base = (f"{source}/{name}", "wavcaps", source, None, None, (caption,))
        yield Clip(*base, **_facts(where, source, name, entry), weak=True)


def _entries(json_path: Path) -> list:
    text = read_text(json_path)
    if text.startswith("version https://git-lfs"):
        raise DatasetError(
            f"{json_path}: is a Git LFS pointer, not the data; run `git lfs pull`, or "
            "download the file itself"
        )
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{json_path}: line {error.lineno} is not valid JSON ({error.msg}); "
            "download it again"
        ) from None
    entries = content.get("data") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise DatasetError(f"{json_path}: has no list of entries under 'data'")
    return entries


def _name(where: str, entry: object) -> str:
    """Return an entry's id without its suffix; without an id, its file's name."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is no object; download the file again")
    for key in ("id", "file_name", "audio"):
        if name := bare_name(str(entry.get(key) or "")):
            return name
    raise DatasetError(f"{where} has none of 'id', 'file_name' and 'audio'")


def _facts(where: str, source: str, name: str, entry: dict) -> dict:
    """Return an entry's duration, outer id and keywords, as a Clip names them."""
    duration, tags = entry.get("duration"), entry.get("tags") or ()
    try:
        seconds = None if duration is None else float(duration)
    except (TypeError, ValueError):
        raise DatasetError(
            f"{where} has the duration {duration!r}, expected seconds"
        ) from None
    words = [tags] if isinstance(tags, str) else tags
    facts = {"duration": seconds, "keywords": tuple(map(str, words))}
    if source == AUDIOSET:
        facts["youtube_id"] = youtube_id(name)
    elif source == FREESOUND:
        facts["freesound_id"] = freesound_id(name)
    return facts
