"""The metadata of the three corpora, in the layouts of AudioCaps, Clotho and WavCaps.

The readers of the real datasets read them. Beside them lies truth.jsonl, a line a clip:
the scene, and of a copy what it was made from. Training and retrieval never read it.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from drcap.config import SoundscapesConfig
from drcap.data.audiocaps import COLUMNS
from drcap.data.clotho import CAPTIONS
from drcap.data.soundscapes import dsp
from drcap.data.soundscapes.addresses import AUDIOSET
from drcap.data.soundscapes.clips import SoundscapeClip, clip_of
from drcap.data.wavcaps import SOURCES
from drcap.files import atomic_path, write_json, write_text

METADATA = (
    *("file_name", "keywords", "sound_id", "sound_link"),
    *("start_end_samples", "manufacturer", "license"),
)
LICENSE = "http://creativecommons.org/publicdomain/zero/1.0/"
AUTHOR = "soundscapes"


def write_truth(
    folder: Path, clips: Iterable[SoundscapeClip], config: SoundscapesConfig
) -> None:
    """Write truth.jsonl, a line a clip in the order given."""
    lines = [json.dumps(_truth(clip, config)) for clip in clips]
    write_text(folder / "truth.jsonl", "\n".join(lines) + "\n")


def _truth(clip: SoundscapeClip, config: SoundscapesConfig) -> dict:
    copy_of = None
    if clip.original is not None:
        original = clip_of(clip.original, config)
        copy_of = f"scapes-{clip.original.corpus}/{original.clip_id}"
    return {
        "clip_id": clip.clip_id,
        "subset": clip.address.subset,
        "file": clip.file,
        "scene": clip.scene.to_dict(),
        "copy_of": copy_of,
        "alteration": clip.alteration and asdict(clip.alteration),
    }


def write_audiocaps(folder: Path, subset: str, clips: Sequence[SoundscapeClip]) -> None:
    """Write <subset>.csv, a row a caption."""
    captions = [
        (clip.source_id, clip.start, caption)
        for clip in clips
        for caption in clip.captions
    ]
    rows = [(number, *row) for number, row in enumerate(captions, 1)]
    _write_table(folder / f"{subset}.csv", COLUMNS, rows)


def write_clotho(folder: Path, subset: str, clips: Sequence[SoundscapeClip]) -> None:
    """Write the captions and the metadata of a subset, a row a clip."""
    name = f"clotho_metadata_{subset}.csv"
    rows = [_clotho_metadata(clip) for clip in clips]
    _write_table(folder / name, METADATA, rows, "iso-8859-1")
    rows = [(f"{clip.name}.flac", *clip.captions) for clip in clips]
    header = ("file_name", *CAPTIONS)
    _write_table(folder / f"clotho_captions_{subset}.csv", header, rows)


def _clotho_metadata(clip: SoundscapeClip) -> tuple[str, ...]:
    return (
        f"{clip.name}.flac",
        ";".join(clip.keywords),
        clip.source_id,
        _link(clip),
        f"[0, {dsp.count(clip.seconds)}]",
        AUTHOR,
        LICENSE,
    )


def write_wavcaps(folder: Path, subset: str, clips: Sequence[SoundscapeClip]) -> None:
    """Write json_files/<source>/<its file> of each source; there are no subsets."""
    for source in sorted({clip.source for clip in clips}):
        entries = [_entry(clip) for clip in clips if clip.source == source]
        content = {"num_captions_per_audio": 1, "data": entries}
        write_json(folder / "json_files" / source / SOURCES[source], content)


def _entry(clip: SoundscapeClip) -> dict:
    audioset = clip.source == AUDIOSET
    entry = {
        "id": f"{clip.name}.wav" if audioset else clip.name,
        "caption": clip.captions[0],
        "duration": clip.seconds,
        "audio": "wav_path",
    }
    if audioset:
        return entry
    return entry | {
        "file_name": f"{' '.join(clip.keywords)}.wav",
        "tags": clip.keywords,
        "description": f"Synthesised: {', '.join(clip.keywords)}.",
        "author": AUTHOR,
        "href": _link(clip),
        "download_link": _link(clip),
    }


def _link(clip: SoundscapeClip) -> str:
    return f"{AUTHOR}:{clip.source_id}"  # nothing to fetch: the sound is computed


def _write_table(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence],
    encoding: str = "utf-8",
) -> None:
    """Write a CSV whole or not at all."""
    with atomic_path(path) as aside:
        with aside.open("w", newline="", encoding=encoding) as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            writer.writerows(rows)


WRITERS = {"ac": write_audiocaps, "cl": write_clotho, "weak": write_wavcaps}
