"""Small copies of the real datasets in their official layouts, their sounds noise."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from doubles import TOY_CAPTIONS

RECORDINGS = Path(
    os.environ.get("DRCAP_RECORDINGS")
    or Path(__file__).resolve().parents[1] / "../shared/recordings"
)
VIDEOS = [f"video-_{number:04d}" for number in range(12)]  # 11 characters each
CLOTHO_HEADER = "file_name," + ",".join(f"caption_{n}" for n in range(1, 6))


def needs_recordings(path: str) -> Path:
    """Return a file of the real captions, or skip the test where they are not."""
    if not (RECORDINGS / path).is_file():
        pytest.skip(f"no {RECORDINGS / path}: set DRCAP_RECORDINGS")
    return RECORDINGS / path


def write_sound(path: Path, seconds: float = 0.2, seed: int = 0, sr: int = 16_000):
    """Write noise, which no codec makes smaller."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * sr))
    soundfile.write(path, wave, sr)
    return path


def make_audiocaps(root: Path, folder: str = "dataset") -> Path:
    """12 clips in train (a caption each), 2 in val and test (five each)."""
    for subset, videos, count in (
        ("train", VIDEOS, 1),
        ("val", ["validation1", "validation2"], 5),
        ("test", ["test-clip-1", "test-clip-2"], 5),
    ):
        rows = ["audiocap_id,youtube_id,start_time,caption"]
        for number, video in enumerate(videos):
            for each in range(count):
                caption = TOY_CAPTIONS[count * number + each]
                rows.append(f"{len(rows)},{video},30,{caption}")
            write_sound(root / "audio" / subset / f"Y{video}.wav", seed=number)
        path = root / folder / f"{subset}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def make_clotho(root: Path) -> Path:
    """Two clips a subset, five captions each."""
    for start, subset in enumerate(("development", "validation", "evaluation")):
        rows = [CLOTHO_HEADER]
        facts = ["file_name,keywords,sound_id,sound_link,start_end_samples,x,license"]
        for number, name in enumerate(("caf\xe9 noise", "rain")):
            first = 10 * start + 5 * number
            captions = ",".join(TOY_CAPTIONS[first : first + 5])
            rows.append(f"{name} {subset}.wav,{captions}")
            facts.append(f"{name} {subset}.wav,a;b,{number + 7},x,x,x,x")
            folder = root / "clotho_audio_files" / subset
            write_sound(folder / f"{name} {subset}.wav", seed=number)
        csv_files = root / "clotho_csv_files"
        csv_files.mkdir(parents=True, exist_ok=True)
        captions_csv = csv_files / f"clotho_captions_{subset}.csv"
        captions_csv.write_text("\n".join(rows), encoding="utf-8")
        metadata_csv = csv_files / f"clotho_metadata_{subset}.csv"
        metadata_csv.write_text("\n".join(facts), encoding="latin-1")
    return root


def make_wavcaps(root: Path) -> Path:
    """Four JSON files, each of six clips, and their FLAC."""
    names = {
        "AudioSet_SL": ("as_final.json", [f"Y{video}" for video in VIDEOS[:6]]),
        "BBC_Sound_Effects": ("bbc_final.json", [f"NHU{n}" for n in range(6)]),
        "FreeSound": ("fsd_final.json", [str(100 + n) for n in range(6)]),
        "SoundBible": ("sb_final.json", [str(100 + n) for n in range(6)]),
    }
    for source, (json_name, ids) in names.items():
        entries = [
            {
                "id": f"{name}.wav" if source == "AudioSet_SL" else name,
                "caption": TOY_CAPTIONS[number],
                "duration": 2.0,
                "audio": "wav_path",
            }
            for number, name in enumerate(ids)
        ]
        path = root / "json_files" / source / json_name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"num_captions_per_audio": 1, "data": entries}
        path.write_text(json.dumps(content), encoding="utf-8")
        for number, name in enumerate(ids):
            write_sound(root / "Audio" / source / f"{name}.flac", seed=number)
    return root


def make_soundvecaps(root: Path) -> Path:
    """One CSV of twelve clips."""
    rows = ["id,caption"]
    for number, video in enumerate(VIDEOS):
        rows.append(f"Y{video}.wav,{TOY_CAPTIONS[number]}")
        write_sound(root / "audio" / f"{video}.flac", seed=number)
    (root / "Sound-VECaps_audio.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


MAKERS = {
    "audiocaps": make_audiocaps,
    "clotho": make_clotho,
    "wavcaps": make_wavcaps,
    "soundvecaps": make_soundvecaps,
}
