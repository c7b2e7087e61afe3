"""Whether captions name the source: the list, its pins, the words and the table."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from drcap.errors import ConfigError, DatasetError
from workflow import labelled


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a folder of three pinned recordings, one of them music."""
    rows = []
    for file, label, words in (
        ("dog.wav", "Dog", "dog bark"),
        ("cat.wav", "Cat", "meow"),
        ("loop.wav", "music", "music"),
    ):
        (tmp_path / file).write_text(file)
        rows.append((file, label, words, hashlib.sha256(file.encode()).hexdigest()))
    table = pd.DataFrame(rows, columns=["file", "label", "words", "sha256"])
    table.to_csv(tmp_path / "listed.csv", index=False)
    monkeypatch.setattr(labelled, "LISTED", tmp_path / "listed.csv")
    return tmp_path


def test_the_list_has_forty_recordings_and_more_that_are_not_sounds():
    listed = pd.read_csv(labelled.LISTED)
    odd = listed.label.isin(labelled.ODD)
    assert (~odd).sum() >= 40 and {*listed.label[odd]} == {*labelled.ODD}
    assert listed.file.is_unique and listed.sha256.str.len().eq(64).all()


def test_recordings_are_as_pinned_or_it_says_where_they_come_from(root):
    listed = labelled.read_listed(root, root / "listed.csv")
    assert [path.name for path in listed.path] == ["dog.wav", "cat.wav", "loop.wav"]
    (root / "cat.wav").write_text("another")
    with pytest.raises(DatasetError, match="cat.wav: is not there or not as pinned"):
        labelled.read_listed(root, root / "listed.csv")


@pytest.mark.parametrize(
    ("caption", "words", "named"),
    [
        ("Dogs barking", "dog", True),
        ("A loud BARK", "dog bark", True),
        ("Barking", "bark", True),
        ("A man speaks", "dog bark", False),
        ("A hotdog", "dog", False),
    ],
)
def test_a_caption_names_a_source_by_any_of_its_words(caption, words, named):
    assert labelled.names(caption, words) is named


def test_noise_has_its_colour_and_silence_is_none():
    sounds = labelled.noises(16_000)
    assert not sounds["silence"].any()
    levels = {}
    for name in ("white noise", "pink noise"):
        power = np.abs(np.fft.rfft(sounds[name])) ** 2
        levels[name] = power[1_000:10_000].sum() / power[10_000:80_000].sum()
        assert np.isclose(sounds[name].std(), 0.1, rtol=1e-3)
    assert np.isclose(levels["white noise"], 9 / 70, rtol=0.1)
    assert np.isclose(levels["pink noise"], np.log(10) / np.log(8), rtol=0.1)


def test_shares_stand_above_the_clips_and_stars_where_it_is_named():
    table = pd.DataFrame(
        {"label": ["Dog", "Cat"], "words": ["dog", "cat"], "DRCap": ["A dog", "Rain"]},
        index=pd.Index(["a/b/dog.wav", "a/b/cat.wav"], name="file"),
    )
    table["DRCap: named"] = [True, False]
    text = labelled.summary(table, ["DRCap"])
    assert "| 50.0 [" in text and "1 of 2" in text
    assert "b/dog.wav | Dog     | A dog *" in text and "Rain  " in text


def test_captions_of_another_version_are_found_by_their_path(root):
    lines = [{"file": str(root / "dog.wav"), "caption": "A dog"}]
    file = root / "made.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert labelled.read_captions(file, root) == {"dog.wav": "A dog"}
    file.write_text("no json")
    with pytest.raises(ConfigError, match="--earlier"):
        labelled.read_captions(file, root)
