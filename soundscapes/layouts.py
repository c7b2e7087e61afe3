"""The metadata of the three corpora, in the layouts of AudioCaps, Clotho and WavCaps.

The readers of the real datasets read them. Beside them lies truth.jsonl, a line a clip:
the scene, and of a copy what it was made from. Training and retrieval never read it.
"""

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from soundscapes import SoundscapesConfig, dsp
from soundscapes.addresses import AUDIOSET, FREESOUND
from soundscapes.clips import SoundscapeClip, clip_of

AUDIOCAPS = ("audiocap_id", "youtube_id", "start_time", "caption")
CLOTHO = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
CLOTHO_METADATA = (
    *("file_name", "keywords", "sound_id", "sound_link"),
    *("start_end_samples", "manufacturer", "license"),
)
WAVCAPS = {AUDIOSET: "as_final.json", FREESOUND: "fsd_final.json"}
LICENSE = "http://creativecommons.org/publicdomain/zero/1.0/"
AUTHOR = "soundscapes"
ASIDE = ".writing-"  # begins the name of a folder that a killed build leaves


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it becomes `target` on success."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=ASIDE) as aside:
        path = Path(aside) / target.name
        yield path
        path.replace(target)


def write_json(target: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with whole(target) as path:
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")


def write_truth(
    folder: Path, clips: Iterable[SoundscapeClip], config: SoundscapesConfig
) -> None:
    """Write truth.jsonl, a line a clip in the order given."""
    with whole(folder / "truth.jsonl") as path, path.open("w") as stream:
        for clip in clips:
            stream.write(json.dumps(_truth(clip, config)) + "\n")


def _truth(clip: SoundscapeClip, config: SoundscapesConfig) -> dict:
    copy_of = None
    if clip.original is not None:
        original = clip_of(clip.original, config)
        copy_of = f"scapes-{clip.original.corpus}/{original.clip_id}"
    return {
        "clip_id": clip.clip_id,
        "subset": clip.address.subset,
        "file": clip.file,
        "scene": asdict(clip.scene),
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
    _write_table(folder / f"{subset}.csv", [AUDIOCAPS, *rows])


def write_clotho(folder: Path, subset: str, clips: Sequence[SoundscapeClip]) -> None:
    """Write the captions and the metadata of a subset, a row a clip."""
    name = f"clotho_metadata_{subset}.csv"
    rows = [_clotho_metadata(clip) for clip in clips]
    _write_table(folder / name, [CLOTHO_METADATA, *rows], "iso-8859-1")
    rows = [(f"{clip.name}.flac", *clip.captions) for clip in clips]
    _write_table(folder / f"clotho_captions_{subset}.csv", [CLOTHO, *rows])


def _clotho_metadata(clip: SoundscapeClip) -> tuple[str, ...]:
    return (
        f"{clip.name}.flac",
        ";".join(clip.keywords),
        clip.source_id,
        f"{AUTHOR}:{clip.source_id}",
        f"[0, {dsp.count(clip.seconds)}]",
        AUTHOR,
        LICENSE,
    )


def write_wavcaps(folder: Path, subset: str, clips: Sequence[SoundscapeClip]) -> None:
    """Write json_files/<source>/<its file> of each source; there are no subsets."""
    for source in sorted({clip.source for clip in clips}):
        entries = [_entry(clip) for clip in clips if clip.source == source]
        content = {"num_captions_per_audio": 1, "data": entries}
        write_json(folder / "json_files" / source / WAVCAPS[source], content)


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
    link = f"{AUTHOR}:{clip.source_id}"  # nothing to fetch: the sound is computed
    return entry | {
        "file_name": f"{' '.join(clip.keywords)}.wav",
        "tags": clip.keywords,
        "description": f"Synthesised: {', '.join(clip.keywords)}.",
        "author": AUTHOR,
        "href": link,
        "download_link": link,
    }


def _write_table(path: Path, rows: Iterable[Sequence], encoding="utf-8") -> None:
    """Write a CSV whole or not at all."""
    with whole(path) as aside, aside.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream).writerows(rows)


WRITERS = {"ac": write_audiocaps, "cl": write_clotho, "weak": write_wavcaps}
