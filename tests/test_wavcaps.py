"""WavCaps is read from its JSON files, Sound-VECaps from CSV; ids in any form."""

import json

import pytest

from drcap.data.wavcaps import SOURCES, read_soundvecaps, read_wavcaps
from drcap.errors import AudioError, DatasetError

VIDEO = "Yb0RFKhbpFJA"  # a leading Y, then eleven characters
ENTRIES = {
    "AudioSet_SL": {"id": f"{VIDEO}.wav", "duration": 10.0},
    "BBC_Sound_Effects": {"id": "NHU05104074", "duration": 3.5, "description": "x"},
    "FreeSound": {"id": "180913", "duration": 7, "tags": ["dog", "bark"]},
    "SoundBible": {"id": 180913, "title": "Dog"},
}


def write_json(root, source, entries, count=1):
    path = root / "json_files" / source / SOURCES[source]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"num_captions_per_audio": count, "data": entries}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def make_tree(root, entries=ENTRIES, recordings=()):
    """Write a copy of WavCaps: its JSON files, and empty files where clips would be."""
    for source, entry in entries.items():
        write_json(root, source, [{"caption": "A dog barks.", **entry}])
    for name in recordings:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def read_every(root, **options):
    """Read all sources that are here, as the procedural corpora do."""
    here = [source for source in SOURCES if (root / "json_files" / source).is_dir()]
    return [read_wavcaps(root, source, **options) for source in here]


def error_of(read, *arguments):
    with pytest.raises(DatasetError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_source_is_read_and_its_ids_are_kept_apart(tmp_path):
    recordings = [
        f"audio/AudioSet_SL/{VIDEO}.flac",
        "audio/BBC_Sound_Effects/NHU05104074.flac",
        "audio/FreeSound/180913.flac",
        "audio/SoundBible/180913.flac",
    ]
    results = read_every(make_tree(tmp_path, recordings=recordings))
    clips = [clip for result in results for clip in result.clips]
    assert [clip.path for clip in clips] == [tmp_path / r for r in recordings]
    assert [clip.clip_id for clip in clips] == [
        *(f"AudioSet_SL/{VIDEO}", "BBC_Sound_Effects/NHU05104074"),
        *("FreeSound/180913", "SoundBible/180913"),
    ]
    audioset, bbc, freesound, soundbible = clips
    assert (audioset.youtube_id, audioset.freesound_id) == (VIDEO[1:], None)
    assert (freesound.youtube_id, freesound.freesound_id) == (None, "180913")
    assert bbc.freesound_id is None and soundbible.freesound_id is None
    assert freesound.keywords == ("dog", "bark")
    assert all(clip.weak and clip.dataset == "wavcaps" for clip in clips)
    assert audioset.captions == ("A dog barks.",)


def test_an_audioset_clip_is_found_by_any_of_its_names(tmp_path):
    number = 0
    for identity in (VIDEO, f"{VIDEO}.wav", f"{VIDEO}.flac"):
        for stem in (VIDEO, VIDEO[1:], f"{VIDEO[1:]}_30.000_40.000"):
            for folder in ("AudioSet_SL", "x/AudioSet_SL_flac/y"):
                root, number = tmp_path / str(number), number + 1
                recordings = [f"{folder}/{stem}.wav"]
                make_tree(root, {"AudioSet_SL": {"id": identity}}, recordings)
                (clip,) = read_wavcaps(root, "AudioSet_SL").clips
                assert clip.path == root / folder / f"{stem}.wav"
                assert clip.youtube_id == VIDEO[1:]


def test_what_is_missing_is_listed_with_its_source(tmp_path):
    entries = [{"id": name, "caption": "A dog"} for name in ("7", "180913", "8")]
    write_json(tmp_path, "FreeSound", entries)
    for name in ("FreeSound/180913.wav", "FreeSound_flac/9.wav", "other/7.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    result = read_wavcaps(tmp_path, "FreeSound")
    assert [clip.clip_id for clip in result.clips] == ["FreeSound/180913"]
    assert result.missing == ("FreeSound/7", "FreeSound/8")


@pytest.mark.parametrize(
    "text, fault",
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ('{"data": [', "line 1 is not valid JSON"),
        ("[]", "no list of entries under 'data'"),
        ('{"data": []}', "no list of entries under 'data'"),
        ('{"data": [7]}', "entry 1 has no 'id'"),
        ('{"data": [{"caption": "x"}]}', "entry 1 has no 'id'"),
        ('{"data": [{"id": "7", "caption": " "}]}', "(id 7) has no text under"),
    ],
)
def test_a_file_amiss_is_refused_and_its_entry_named(tmp_path, text, fault):
    path = write_json(tmp_path, "FreeSound", [])
    path.write_text(text)
    message = error_of(read_wavcaps, tmp_path, "FreeSound")
    assert message.startswith(str(path)) and fault in message


def test_what_is_no_copy_of_wavcaps_is_refused_and_the_reason_named(tmp_path):
    source = "FreeSound"
    assert "no such file" in error_of(read_wavcaps, tmp_path / "absent", source)
    assert "fsd_final.json: no such file" in error_of(read_wavcaps, tmp_path, source)
    make_tree(tmp_path, {source: {"id": "7"}})
    assert "unknown 'Freesound'; choose one of AudioSet_SL" in error_of(
        read_wavcaps, tmp_path, "Freesound"
    )
    with pytest.raises(AudioError, match="holds no recordings"):
        read_wavcaps(tmp_path, source)
    (tmp_path / "7.wav").touch()
    assert "holds none of the 1 clips of fsd_final.json" in error_of(
        read_wavcaps, tmp_path, source
    )


# Sound-VECaps

IDS = ("b0RFKhbpFJA", "-lfs_gz1x7Y")
SUBSET = "Sound-VECaps_audio"


def make_csv(root, *rows):
    (root / f"{SUBSET}.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def test_an_id_of_soundvecaps_may_be_written_in_any_of_its_ways(tmp_path):
    for form in ("{}", "Y{}", "{}.wav", "Y{}.flac", "audio/Y{}_30.wav", "{}_30.0_40.0"):
        rows = [f"7,{form.format(name)},A dog barks loudly" for name in IDS]
        root = make_csv(tmp_path, "index,id,caption", *rows)
        result = read_soundvecaps(root, SUBSET, audio=False)
        assert [clip.youtube_id for clip in result.clips] == list(IDS)
        for clip in result.clips:
            assert clip.captions == ("A dog barks loudly",)
            assert clip.weak and clip.path is None and clip.clip_id == clip.youtube_id
            assert (clip.dataset, clip.subset) == ("soundvecaps", SUBSET)


def test_rows_of_one_id_become_its_captions_and_missing_audio_is_listed(tmp_path):
    rows = [f"{IDS[0]},A dog barks loudly", f"{IDS[1]},Rain is falling"]
    make_csv(tmp_path, "id,caption", *rows, f"Y{IDS[0]},A loud dog")
    path = tmp_path / "audio" / f"Y{IDS[0]}_30000.wav"
    path.parent.mkdir()
    path.touch()
    result = read_soundvecaps(tmp_path, SUBSET)
    (clip,) = result.clips
    assert clip.captions == ("A dog barks loudly", "A loud dog") and clip.path == path
    assert result.missing == (IDS[1],)


@pytest.mark.parametrize(
    "rows, fault",
    [
        (["a,caption", "x,A dog"], "has no column 'id'; its first line names a, cap"),
        (["id,caption", f"{IDS[0]},"], "line 2, column 'caption' is empty"),
        (["id,caption"], "lists no clips"),
        (["id,caption", "#NAME?,A dog"], "column 'id' is '#NAME?': a spreadsheet has"),
        (["id,caption", "1.2E+10,A dog"], "is '1.2E+10', which is no YouTube id"),
        (["id,caption", f"{IDS[0]},A dog"], "holds none of the 1 clips of Sound-VEC"),
    ],
)
def test_a_file_of_soundvecaps_amiss_is_refused(tmp_path, rows, fault):
    (tmp_path / "other.wav").touch()
    root = make_csv(tmp_path, *rows)
    assert fault in error_of(read_soundvecaps, root, SUBSET)
