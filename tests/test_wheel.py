"""The built wheel, used as a library from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from drcap import paths
from drcap.assets import asset_path

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "drcap", "soundscapes")
SCORE = """
from drcap.evaluation.metrics import score
from pathlib import Path
import drcap
assert Path(drcap.__file__).parts[-3] == "site", drcap.__file__
scores = score(["a dog barks"], [["a dog is barking"]], metrics=["meteor"])
print(scores.corpus["meteor"])
"""


def run(folder, *command):
    """Run a command in `folder`; return its standard output."""
    env = {**os.environ, "PYTHONPATH": str(folder.parent / "site")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        cwd=folder,
        env=env,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.graph
def test_a_wheel_captions_scores_and_builds_a_datastore_from_an_empty_folder(tmp_path):
    source, site, empty = (tmp_path / name for name in ("source", "site", "empty"))
    for folder in (source, empty):
        folder.mkdir()
    for name in SOURCES:
        origin = paths.REPOSITORY / name
        copy = shutil.copytree if origin.is_dir() else shutil.copy
        copy(origin, source / name)
    build = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    run(source, "-m", "pip", *build, source)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    before = sorted(site.rglob("*"))
    packaged = {path.relative_to(site).parts[0] for path in before}
    assert {name for name in packaged if "dist-info" not in name} == {*SOURCES[3:]}
    assert not list(site.rglob("*.jar")) and not list(site.rglob("*.onnx"))
    [entry] = site.rglob("entry_points.txt")
    assert "drcap = drcap.cli.__main__:main" in entry.read_text()

    recording = asset_path("animal-recordings") / "dog.mp3"
    (empty / "captions.txt").write_text("a dog barks\na cat meows\nrain falls\n")
    options = ("--captions", "captions.txt")
    printed = run(empty, "-m", "drcap.cli", "caption", recording, *options)
    name, caption = printed.strip().split("\t")
    assert name.endswith("dog.mp3") and "dog" in caption.lower()
    assert 0 < float(run(empty, "-c", SCORE)) < 1
    store = ("datastore", "build", "captions.txt", "--output", "store")
    run(empty, "-m", "drcap.cli", *store)
    assert sorted(path.name for path in empty.iterdir()) == ["captions.txt", "store"]
    assert sorted(site.rglob("*")) == before
