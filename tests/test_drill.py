"""Commands killed at random moments and then run to their end: nothing is lost.

KILLS says how often each is killed. The smoke graph's drill is in test_notebooks.py.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from doubles_clap import tiny_clap_config, tiny_text_encoder

from drcap import paths

pytestmark = [pytest.mark.graph, pytest.mark.timeout(3_600)]
KILLS = int(os.environ.get("KILLS", 1))
CHANGES = ("run.json", "log.csv", ".lock")  # hold times, or are empty


@pytest.fixture
def drill(tmp_path):
    def run(*command, files=(), shared=()):
        """Kill a command, run it to its end, compare `files` with an unkilled run's.

        files, shared : folders that it writes; below tmp_path, and below the cache
        """
        home, results, seconds = tmp_path / "home", [], 0.0
        for kill in range(KILLS + 1):
            for folder in (*files, *(home / name for name in shared)):
                subprocess.run(["rm", "-rf", folder], check=True)
            home.mkdir(exist_ok=True)
            if not (home / "assets").exists():
                (home / "assets").symlink_to(paths.assets())
            before = b""
            if kill:
                moment = random.Random(kill).uniform(0.2, 1) * seconds
                before, _ = _finished(command, home, moment)
            started = time.monotonic()
            printed, code = _finished(command, home)
            assert code == 0, printed
            if not kill:
                seconds = time.monotonic() - started
            results.append((printed, [_content(folder) for folder in files]))
            whole = before[: before.rfind(b"\n") + 1]
            assert printed.startswith(whole) or files  # no half or other line before
            assert results[-1] == results[0], f"kill {kill}"
        leftovers = [p for p in tmp_path.rglob("*") if p.suffix == ".building"]
        assert not leftovers
        return results[0]

    return run


def _finished(command, home: Path, moment: float | None = None) -> tuple[bytes, int]:
    """Run a command, kill it after so many seconds; return its stdout and exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "drcap.cli", *map(str, command)],
        env=os.environ | {"DRCAP_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
    return printed, process.returncode


def _content(folder: Path) -> dict[str, bytes]:
    kept = (p for p in folder.rglob("*") if p.is_file() and p.name not in CHANGES)
    content = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    for log in folder.rglob("log.csv"):
        table = pd.read_csv(log).filter(regex="step|loss|rate")
        content[str(log.relative_to(folder))] = table.to_csv().encode()
    return content


@pytest.fixture
def recordings(tmp_path):
    """Sixty recordings of AudioCaps' names, with their captions."""
    folder, generator = tmp_path / "audiocaps", np.random.default_rng(0)
    folder.mkdir()
    rows = ["audiocap_id,youtube_id,start_time,caption"]
    for number in range(60):
        sound = generator.normal(0, 0.1, 320_000)
        soundfile.write(folder / f"video{number:06}_10.flac", sound, 32_000)
        rows.append(f"{number},video{number:06},10,A dog barks {number} times")
    (folder / "train.csv").write_text("\n".join(rows))
    return folder


def test_caption(drill, recordings, tmp_path):
    captions = tmp_path / "captions.txt"
    captions.write_text("A dog barks\nA man speaks\nRain falls\n")
    for path in sorted(recordings.glob("*.flac"))[20:]:
        path.unlink()
    options = ("--captions", captions, "--beams", "1")
    printed, _ = drill("caption", recordings, *options)
    assert printed.count(b"\n") == 20


def test_data_prepare(drill, recordings, tmp_path):
    folder = tmp_path / "prepared"
    options = ("--root", recordings, "--output", folder, "--subset", "train")
    command = ("data", "prepare", "audiocaps", *options)
    _, [content] = drill(*command, files=[folder], shared=["recordings"])
    assert content["train.jsonl"].count(b"\n") == 60


def test_datastore_build(drill, tmp_path):
    from drcap.clap.model import CLAPModel, TrainedCLAP

    encoder = tiny_text_encoder(tmp_path / "encoder")
    TrainedCLAP(CLAPModel(tiny_clap_config(encoder))).save(tmp_path / "clap")
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(f"a loud tone is heard {n}" for n in range(20_000)))
    folder = tmp_path / "datastore"
    options = ("--output", folder, "--overwrite", "--clap", tmp_path / "clap")
    drill("datastore", "build", captions, *options, files=[folder])


def test_train_captioner(drill, tmp_path):
    run, model = tmp_path / "run", tmp_path / "model"
    options = ("--output", run, "--save", model, "--set", "training.steps=12")
    command = ("train", "captioner", "--profile", "smoke", "--device", "cpu")
    drill(*command, *options, files=[run, model])
