"""Clotho is read from its own CSV files, ids from its metadata; gaps are listed."""

import unicodedata

import pytest

from drcap.data.clotho import SUBSETS, read_clotho
from drcap.errors import AudioError, DatasetError

CAPTIONS = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
METADATA = (
    "file_name,keywords,sound_id,sound_link,start_end_samples,manufacturer,license"
)
FIVE = "A dog barks,A dog,Barking,One dog,A loud dog"


def make_tree(root, names, recordings, metadata=(), subset="development", folder=""):
    """Write a copy of Clotho: its CSV files, and empty files where clips would be."""
    texts = {
        f"{folder}clotho_captions_{subset}.csv": "\n".join(
            [CAPTIONS, *(f'"{name}",{FIVE}' for name in names)]
        ),
        **dict.fromkeys(recordings, ""),
    }
    if metadata:
        texts[f"{folder}clotho_metadata_{subset}.csv"] = "\n".join(
            [METADATA, *metadata]
        )
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        encoding = "latin-1" if "metadata" in name else "utf-8"
        (root / name).write_bytes(text.encode(encoding))
    return root


def error_of(root, subset="development"):
    with pytest.raises(DatasetError) as caught:
        read_clotho(root, subset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_clip_has_five_captions_a_freesound_id_and_keywords(tmp_path):
    metadata = ['a dog.wav,dog;bark ; park,123,https://x,"[0, 9]",someone,CC0']
    make_tree(tmp_path, ["a dog.wav"], ["development/a dog.wav"], metadata)
    (clip,) = read_clotho(tmp_path, "train").clips
    assert clip.captions == tuple(FIVE.split(","))
    assert (clip.clip_id, clip.dataset, clip.subset) == ("a dog", "clotho", "train")
    assert clip.path == tmp_path / "development/a dog.wav"
    assert (clip.freesound_id, clip.youtube_id) == ("123", None)
    assert clip.keywords == ("dog", "bark", "park")
    assert not clip.weak


def test_each_subset_is_found_under_its_names(tmp_path):
    for subset, folder in SUBSETS.items():
        for beside in ("", "clotho_csv_files/"):
            root = tmp_path / subset / beside
            recordings = [f"clotho_audio_files/{folder}/dog.flac"]
            make_tree(root, ["dog.wav"], recordings, subset=folder, folder=beside)
            (clip,) = read_clotho(root, subset).clips
            assert clip.path == root / recordings[0]


def test_a_clip_is_found_by_the_odd_names_of_the_dataset(tmp_path):
    for number, (listed, stored) in enumerate(
        (
            ("two  blanks.wav", "two  blanks.wav"),
            (" led by one.wav", " led by one.wav"),
            ("ends on one .wav", "ends on one .wav"),
            ("rain&amp;storm.wav", "rain&amp;storm.wav"),
            ("rain&amp;storm.wav", "rain&storm.wav"),
            ("take 2.5.wav", "take 2.5.flac"),
            ("shouted.WAV", "shouted.wav"),
            ("caf\xe9.wav", unicodedata.normalize("NFD", "caf\xe9.wav")),
            (unicodedata.normalize("NFD", "caf\xe9.wav"), "caf\xe9.wav"),
        )
    ):
        root = tmp_path / str(number)
        make_tree(root, [listed], [f"development/{stored}"])
        (clip,) = read_clotho(root, "development").clips
        assert clip.path == root / "development" / stored


def test_a_clip_of_another_subset_is_not_taken_for_one_of_the_same_name(tmp_path):
    recordings = ["development/dog.wav", "evaluation/cat.wav"]
    make_tree(tmp_path, ["cat.wav", "dog.wav"], recordings)
    result = read_clotho(tmp_path, "development")
    assert [clip.clip_id for clip in result.clips] == ["dog"]
    assert result.missing == ("cat",)


def test_the_metadata_may_be_latin_1_and_know_no_id(tmp_path):
    metadata = [
        "caf\xe9.wav,caf\xe9;talk,Not found,Not found,Not found,someone,CC0",
        "dog.wav,dog,77,https://x,Not found,someone,CC0",
    ]
    make_tree(tmp_path, ["caf\xe9.wav", "dog.wav"], [], metadata)
    cafe, dog = read_clotho(tmp_path, "development", audio=False).clips
    assert cafe.freesound_id is None and cafe.keywords == ("caf\xe9", "talk")
    assert dog.freesound_id == "77"


def test_captions_are_read_without_audio_or_metadata_where_none_is_wanted(tmp_path):
    make_tree(tmp_path, ["dog.wav", "cat.wav"], [])
    result = read_clotho(tmp_path, "development", audio=False)
    assert [clip.path for clip in result.clips] == [None, None]
    assert [clip.freesound_id for clip in result.clips] == [None, None]
    assert result.missing == ()


def test_what_is_no_copy_of_clotho_is_refused_and_the_reason_named(tmp_path):
    assert "has no clotho_captions" in error_of(tmp_path / "absent")
    assert "has no clotho_captions_development.csv" in error_of(tmp_path)
    assert "unknown 'dev'; choose one of train" in error_of(tmp_path, "dev")
    make_tree(tmp_path, [], [])
    (tmp_path / "a.wav").touch()
    assert "lists no clips" in error_of(tmp_path)
    make_tree(tmp_path, ["dog.wav"], [])
    assert "holds none of the 1 clips" in error_of(tmp_path)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match="holds no recordings"):
        read_clotho(tmp_path, "development")


@pytest.mark.parametrize(
    "row, fault",
    [
        ("dog.wav,A dog,,Barking,One dog,A loud dog", "column 'caption_2' is empty"),
        ("dog.wav,A dog,Barking", "line 2 has 3 columns, expected 6"),
        (f",{FIVE}", "column 'file_name' is empty"),
    ],
)
def test_a_malformed_row_is_refused_and_its_place_named(tmp_path, row, fault):
    path = tmp_path / "clotho_captions_development.csv"
    path.write_text(f"{CAPTIONS}\n{row}\n")
    message = error_of(tmp_path)
    assert message.startswith(f"{path}: line 2") and fault in message
