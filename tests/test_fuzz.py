"""Damaged files, names and settings: a result or the package's own error, no other.

ROUNDS says how many of each kind are tried; a failure names its seed.
"""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap import audio
from drcap.config import CLAPConfig, Config
from drcap.data.audiocaps import read_audiocaps
from drcap.data.clip import read_captions, read_prepared
from drcap.data.clotho import read_clotho
from drcap.data.identities import bare_name, youtube_id
from drcap.data.wavcaps import read_soundvecaps, read_wavcaps
from drcap.errors import DRCapError
from drcap.retrieval import CaptionDatastore

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("ROUNDS", 150))
SEEDS = [*range(ROUNDS), 362, 667, 1795]  # the last have found something
KINDS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "au", "caf", "w64")
ODD = (b"", b"\0", b"\xff\xff\xff\xff", b"\n", b'"', b",", b"\xef\xbb\xbf", b"-1", b"{")
ODD_VALUES = (None, -1, 0, 1e308, float("nan"), "", "x", [], {}, [1], True, "../x")
CAPTIONS = "audiocap_id,youtube_id,start_time,caption\n1,abcdefghijk,30,A dog\n"
CLOTHO = (
    "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\na.wav,b,c,d,e,f\n"
)
ENTRY = {"data": [{"id": "7.wav", "caption": "A dog", "tags": ["x"], "duration": 2}]}
CLIP = {
    **{"clip_id": "a", "dataset": "b", "subset": "c", "path": None, "start": 1.0},
    "captions": ["A dog"],
}


def damaged(data: bytes, draw: random.Random, start: int = 400) -> bytes:
    """Change, remove or add a few bytes, most of them near the start."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(min(len(data), draw.choice([start, len(data)])) or 1)
        size = draw.choice([0, 1, 2, 4, 40])
        random_bytes = draw.randbytes(draw.choice([0, 1, 2, 4]))
        data = data[:place] + draw.choice([*ODD, random_bytes]) + data[place + size :]
    return data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data


def changed(value, draw: random.Random):
    """Change, remove or add one value somewhere within JSON values."""
    if not value or not isinstance(value, dict | list) or draw.random() < 0.1:
        return draw.choice(ODD_VALUES)
    value = value.copy()
    key = draw.choice([*value] if isinstance(value, dict) else range(len(value)))
    if draw.random() < 0.15:
        del value[key]
    elif isinstance(value, dict) and draw.random() < 0.1:
        value[draw.choice(["", "x", str(key) + " "])] = 1
    else:
        value[key] = changed(value[key], draw)
    return value


def attempt(seed, function, *arguments, **options) -> None:
    """Call a function, which may raise an error of the package, of one line."""
    try:
        function(*arguments, **options)
    except DRCapError as error:
        assert "\n" not in str(error), (seed, error)
    except Exception as error:
        raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("kind", KINDS)
def test_headers(tmp_path, kind):
    sound = np.random.default_rng(0).normal(0, 0.1, (8_000, 2)).clip(-1, 1)
    source, path = tmp_path / f"sound.{kind}", tmp_path / f"damaged.{kind}"
    more = {"format": "OGG", "subtype": "OPUS"} if kind == "opus" else {}
    soundfile.write(source, sound, 48_000 if kind == "opus" else 16_000, **more)
    for seed in SEEDS:
        path.write_bytes(damaged(source.read_bytes(), random.Random(seed), 120))
        attempt(seed, audio.load, path, 16_000)


READERS = {
    "train.csv": (CAPTIONS, lambda p: read_audiocaps(p.parent, "train", audio=False)),
    "clotho_captions_development.csv": (
        *(CLOTHO, lambda p: read_clotho(p.parent, "development", audio=False)),
    ),
    "json_files/FreeSound/fsd_final.json": (
        json.dumps(ENTRY),
        lambda p: read_wavcaps(p.parents[2], "FreeSound", audio=False),
    ),
    "a.csv": ("id,caption\nYabcdefghijk,A dog\n", read_captions),
    "b.csv": (
        "id,caption\nYabcdefghijk,A dog\n",
        lambda p: read_soundvecaps(p.parent, "b", audio=False),
    ),
    "a.jsonl": (json.dumps(CLIP) + "\n" + json.dumps(CLIP), read_captions),
    "b.jsonl": (json.dumps(CLIP) + "\n" + json.dumps(CLIP), read_prepared),
    "a.txt": ("A dog\nA cat\n", read_captions),
    "a.parquet": ("", read_captions),
}


@pytest.mark.parametrize("name", READERS)
def test_tables(tmp_path, name):
    import pandas

    text, read = READERS[name]
    path, data = tmp_path / name, text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("parquet"):
        data = pandas.DataFrame({"caption": TOY_CAPTIONS}).to_parquet()
    for seed in SEEDS:
        draw = random.Random(seed)
        path.write_bytes(damaged(data, draw))
        attempt(seed, read, path)
        if "json" in name:  # whole JSON, of other values
            lines = text.splitlines()
            lines[0] = json.dumps(changed(json.loads(lines[0]), draw))
            path.write_text("\n".join(lines))
            attempt(seed, read, path)


def test_names(tmp_path):
    (tmp_path / "train.csv").write_text(CAPTIONS)
    whole = "Yabcdefghijk_30.000_40.000.wav"
    soundfile.write(tmp_path / whole, np.ones(100), 16_000)
    for seed in SEEDS:
        name = os.fsdecode(damaged(whole.encode(), random.Random(seed)))
        attempt(seed, bare_name, name)
        attempt(seed, youtube_id, name)
        name = name.replace("\0", "0").replace("/", "_")
        if name.strip("."):
            Path(tmp_path, name).touch()
    attempt(None, read_audiocaps, tmp_path, "train")


@pytest.mark.parametrize("kind", [Config, CLAPConfig])
def test_configurations(kind):
    whole = json.loads(json.dumps(kind().to_dict()))
    for seed in [*SEEDS, *range(ROUNDS, 5 * ROUNDS)]:
        attempt(seed, kind.from_dict, changed(whole, random.Random(seed)))


def test_datastores(tmp_path):
    CaptionDatastore.build(TOY_CAPTIONS, ToyCLAP()).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        data = path.read_bytes()
        for seed in SEEDS:
            draw = random.Random(seed)
            path.write_bytes(damaged(data, draw))
            attempt((path.name, seed), CaptionDatastore.load, tmp_path)
            if path.suffix == ".json":
                path.write_text(json.dumps(changed(json.loads(data), draw)))
                attempt((path.name, seed), CaptionDatastore.load, tmp_path)
        path.write_bytes(data)
