"""WavCaps (Mei et al., 2023): weakly labelled clips, one JSON file a source.

Its captions were written by a language model from what the sources say of each sound.
In: the JSON files as published and the audio in any folder of the source's name. Out:
one Clip an entry, with the id that YouTube or Freesound knows it by. In the published
files an id carries ".wav" though its audio is FLAC, and AudioSet's a leading `Y`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap.data.captions import Clip
from drcap.data.identities import (
    bare_name,
    freesound_id,
    recordings_by_name,
    youtube_id,
)
from drcap.data.tables import read_text
from drcap.errors import DatasetAbsentError, DatasetError

AUDIOSET, FREESOUND = "AudioSet_SL", "FreeSound"
SOURCES = {
    AUDIOSET: "as_final.json",
    "BBC_Sound_Effects": "bbc_final.json",
    FREESOUND: "fsd_final.json",
    "SoundBible": "sb_final.json",
}


@dataclass(frozen=True)
class WavCaps:
    """The clips whose audio is here, and the ids of those whose audio is not."""

    clips: tuple[Clip, ...]
    missing: tuple[str, ...]  # `<source>/<id>`, in the order of the files


def read_wavcaps(
    root: Path | str, sources: Sequence[str] | None = None, *, audio: bool = True
) -> WavCaps:
    """Read the entries of the sources and find their audio under `root`.

    An entry's file is `json_files/<source>/<name of SOURCES>`; its audio is a recording
    of its id in any folder called `<source>` or `<source>_flac`.
    sources : keys of SOURCES; None: all whose JSON file is here
    audio : if False, none is looked for, and every clip's path is None
    DatasetError: an unknown source, no file, a file or entry amiss, no clip at all
    """
    root = Path(root)
    files = _json_files(root, sources)
    clips: list[Clip] = []
    missing: list[str] = []
    for source, json_path in files.items():
        found = read_wavcaps_file(json_path, source, root if audio else None)
        clips += found.clips
        missing += found.missing
    if not clips:
        raise DatasetError(
            f"{root}: holds none of the {len(missing)} clips of {', '.join(files)}; "
            "put them into folders of these names"
        )
    return WavCaps(tuple(clips), tuple(missing))


def read_wavcaps_file(
    json_path: Path | str, source: str, audio_root: Path | str | None = None
) -> WavCaps:
    """Read one JSON file in WavCaps' form, with one caption a clip or several.

    audio_root : where its audio is looked for; None: nowhere, every path is None
    """
    json_path = Path(json_path)
    entries, numbered = _entries(json_path)
    recordings = {}
    if audio_root is not None:
        within = (source, f"{source}_flac")
        recordings = recordings_by_name(Path(audio_root), within)
    clips, missing = [], []
    bar = tqdm(entries, desc=source, unit="clip", leave=False, delay=2)
    for number, entry in enumerate(bar, 1):
        where = f"{json_path}: entry {number}"
        name = _name(where, entry)
        clip_id = f"{source}/{name}"
        path = recordings.get(name)
        if path is None and source == AUDIOSET:
            path = recordings.get(youtube_id(name))
        if audio_root is not None and path is None:
            missing.append(clip_id)
        else:
            captions = _captions(f"{where} (id {name})", entry, numbered)
            facts = _facts(f"{where} (id {name})", source, name, entry)
            base = (clip_id, "wavcaps", source, path, None, captions)
            clips.append(Clip(*base, **facts, weak=source in SOURCES))
    return WavCaps(tuple(clips), tuple(missing))


def _json_files(root: Path, sources: Sequence[str] | None) -> dict[str, Path]:
    """Return source -> its JSON file, all there."""
    if not root.is_dir():
        raise DatasetAbsentError(f"{root}: no such folder; give the folder of WavCaps")
    unknown = [source for source in sources or () if source not in SOURCES]
    if unknown:
        raise DatasetError(
            f"WavCaps has no source {unknown[0]!r}; give some of {', '.join(SOURCES)}"
        )
    known = {
        source: root / "json_files" / source / SOURCES[source]
        for source in (SOURCES if sources is None else sources)
    }
    here = {source: path for source, path in known.items() if path.is_file()}
    absent = [path for source, path in known.items() if source not in here]
    if absent and (sources is not None or not here):
        raise DatasetAbsentError(
            f"{root}: has no {absent[0].relative_to(root)}; fetch WavCaps' json_files"
        )
    return here


def _entries(json_path: Path) -> tuple[list[dict], int]:
    """Return a file's entries, and how many captions each has."""
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
    count = content.get("num_captions_per_audio", 1)
    if not isinstance(count, int) or count < 1:
        raise DatasetError(
            f"{json_path}: 'num_captions_per_audio' is {count!r}, expected 1 or more"
        )
    return entries, count


def _name(where: str, entry: object) -> str:
    """Return an entry's id without its suffix; without an id, its file's name."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is no object; download the file again")
    for key in ("id", "file_name", "audio"):
        if name := bare_name(str(entry.get(key) or "")):
            return name
    raise DatasetError(f"{where} has none of 'id', 'file_name' and 'audio'")


def _captions(where: str, entry: dict, count: int) -> tuple[str, ...]:
    keys = ["caption"]
    if count > 1:
        keys = [f"caption_{number}" for number in range(1, count + 1)]
    captions = []
    for key in keys:
        caption = entry.get(key)
        if not isinstance(caption, str) or not caption.strip():
            raise DatasetError(f"{where} has no text under {key!r}")
        captions.append(" ".join(caption.split()))
    return tuple(captions)


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
