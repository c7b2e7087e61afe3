"""The corpora on disk: whole, laid out as the real datasets, the same every time."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drcap.atomic import sha256
from drcap.data.audiocaps import read_audiocaps
from drcap.data.clotho import read_clotho
from drcap.data.corpora import ProceduralCorpora
from drcap.data.identities import freesound_id, youtube_id
from soundscapes import SoundscapesConfig, corpora
from soundscapes.addresses import Address, identity, original_of, sizes
from soundscapes.clips import clip_of, scene_of
from soundscapes.rendering import render
from soundscapes.scenes import PlacedEvent, Scene

TINY = SoundscapesConfig(ac=(2, 1, 1), cl=(1, 1, 1), weak=8, leaked=0.5)
LARGE = SoundscapesConfig(ac=(600, 60, 200), cl=(250, 40, 200), weak=4_000)


def contents(folder):
    """Return relative path -> hash of each file but what tells when it was made."""
    return {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (corpora.RECORD, ".lock")
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    return corpora.build(TINY, folder, processes=2)


def truth(folder, corpus):
    lines = (folder / f"scapes-{corpus}" / "truth.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def weak_addresses(config):
    return [Address("weak", "all", index) for index in range(config.weak)]


def test_scapes_ac_is_read_as_audiocaps(built):
    for subset, count, captions in (("train", 2, 1), ("val", 1, 5), ("test", 1, 5)):
        result = read_audiocaps(built / "scapes-ac", subset)
        assert len(result.clips) == count and not result.missing
        assert all(len(clip.captions) == captions for clip in result.clips)
        assert all(len(clip.youtube_id) == 11 for clip in result.clips)
        for clip in result.clips:
            assert soundfile.info(clip.path).duration == 10


def test_scapes_cl_is_read_as_clotho(built):
    for subset in ("development", "validation", "evaluation"):
        result = read_clotho(built / "scapes-cl", subset)
        (clip,) = result.clips
        assert not result.missing and len(set(clip.captions)) == 5
        assert clip.freesound_id.isdigit() and clip.keywords
        assert 15 <= soundfile.info(clip.path).duration <= 30


def test_scapes_weak_is_read_as_wavcaps(built):
    clips = ProceduralCorpora(TINY, built).weak
    assert len(clips) == TINY.weak
    for clip in clips:
        assert len(clip.captions) == 1 and clip.weak


def test_recordings_are_16_bit_mono_flac_at_32_khz(built):
    for path in built.rglob("*.flac"):
        info = soundfile.info(path)
        form = info.format, info.subtype, info.channels, info.samplerate
        assert form == ("FLAC", "PCM_16", 1, 32_000)


def test_truth_gives_back_the_sound_of_a_clip(built):
    first = truth(built, "ac")[0]
    wave, _ = soundfile.read(built / "scapes-ac" / first["file"], dtype="float32")
    events = tuple(PlacedEvent(**event) for event in first["scene"]["events"])
    scene = Scene(**first["scene"] | {"events": events})
    assert np.abs(wave - render(scene)).max() < 2 / 32_768


def test_truth_names_clips_as_the_readers_do(built):
    clips = {
        "ac": [
            clip
            for subset in ("train", "val", "test")
            for clip in read_audiocaps(built / "scapes-ac", subset).clips
        ],
        "weak": ProceduralCorpora(TINY, built).weak,
    }
    for corpus, listed in clips.items():
        files = {clip.clip_id: clip.path for clip in listed}
        truths = {
            entry["clip_id"]: built / f"scapes-{corpus}" / entry["file"]
            for entry in truth(built, corpus)
        }
        assert files == truths


def test_the_right_share_of_weak_clips_are_copies(built):
    copies = [entry for entry in truth(built, "weak") if entry["copy_of"]]
    assert len(copies) == 4
    altered = [entry for entry in copies if entry["alteration"]]
    assert len(altered) == 2
    known = {
        f"scapes-{corpus}/{entry['clip_id']}": entry["scene"]
        for corpus in ("ac", "cl")
        for entry in truth(built, corpus)
    }
    assert all(known[entry["copy_of"]] == entry["scene"] for entry in copies)


def test_a_copy_that_keeps_its_id_is_the_original(built):
    for entry in truth(built, "weak"):
        if entry["copy_of"] is None or entry["alteration"]:
            continue
        corpus, _, original = entry["copy_of"].partition("/")
        files = {e["clip_id"]: e["file"] for e in truth(built, corpus[7:])}
        source, _, name = entry["clip_id"].partition("/")
        if source == "FreeSound":
            assert freesound_id(name) == original.split()[-1]
        else:
            assert youtube_id(name) == youtube_id(original)
        copied, _ = soundfile.read(built / "scapes-weak" / entry["file"])
        source_wave, _ = soundfile.read(built / corpus / files[original])
        assert np.array_equal(copied, source_wave)


def test_an_altered_copy_has_the_originals_sound_under_another_id(built):
    for entry in truth(built, "weak"):
        if not entry["alteration"]:
            continue
        corpus, _, original = entry["copy_of"].partition("/")
        assert entry["clip_id"].split("/")[1].lstrip("Y") not in original
        files = {e["clip_id"]: e["file"] for e in truth(built, corpus[7:])}
        copied, sr = soundfile.read(built / "scapes-weak" / entry["file"])
        source, _ = soundfile.read(built / corpus / files[original])
        assert not np.array_equal(copied[: len(source)], source[: len(copied)])
        shift = round(entry["alteration"]["offset"] * sr)
        aligned = source[shift:] if shift > 0 else np.pad(source, (-shift, 0))
        assert len(aligned) == len(copied)
        envelopes = [
            np.sqrt((wave[: sr * 8].reshape(80, -1) ** 2).mean(axis=1))
            for wave in (copied, aligned)
        ]
        assert np.corrcoef(envelopes)[0, 1] > 0.9


def test_a_second_call_returns_at_once(built, monkeypatch):
    monkeypatch.setattr(corpora, "_write_recordings", None)
    assert corpora.build(TINY, built) == built


def test_a_build_that_was_cut_short_goes_on_and_writes_the_same_files(built, tmp_path):
    """In this process, while the whole build was made by two others."""
    expected = contents(built)
    folder = Path(shutil.copytree(built, tmp_path / "again"))
    recordings = sorted(folder.rglob("*.flac"))
    for path in [*recordings[::2], *folder.rglob("*.csv"), *folder.rglob("*.jsonl")]:
        path.unlink()
    (folder / corpora.RECORD).unlink()
    partial = recordings[0].parent / ".writing-killed"
    partial.mkdir()
    (partial / recordings[0].name).write_bytes(b"fLaC")
    kept = {path: path.stat().st_mtime_ns for path in recordings[1::2]}
    corpora.build(TINY, folder, processes=1)
    assert contents(folder) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_folder_of_other_settings_is_refused(built):
    with pytest.raises(corpora.CorporaError, match="other settings"):
        corpora.build(replace(TINY, seed=1), built)


def test_impossible_settings_are_refused():
    for settings in ({"ac": (1, 2)}, {"cl": (1, 0, 2)}, {"weak": 0}, {"leaked": 1.0}):
        with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be"):
            SoundscapesConfig(**settings)


def test_the_package_stands_on_its_own():
    for path in Path(corpora.__file__).parent.rglob("*.py"):
        assert "import drcap" not in path.read_text().replace(
            "from drcap", "import drcap"
        )


def test_a_clip_depends_on_its_address_alone():
    smaller = replace(LARGE, weak=50)
    for corpus, subset in (("ac", "train"), ("cl", "evaluation"), ("weak", "all")):
        address = Address(corpus, subset, 37)
        assert clip_of(address, LARGE) == clip_of(address, LARGE)
        assert scene_of(address, LARGE) == scene_of(address, smaller)
        assert scene_of(address, LARGE) != scene_of(address, replace(LARGE, seed=1))


def test_ids_are_unique_but_for_copies_that_keep_theirs():
    ids = [
        identity(Address(corpus, subset, index), LARGE)
        for (corpus, subset), count in sizes(LARGE).items()
        for index in range(count)
    ]
    assert len(set(ids)) == len(ids)


def test_copies_are_of_different_clips_of_all_subsets():
    originals = [original_of(address, LARGE) for address in weak_addresses(LARGE)]
    copied = [original for original in originals if original is not None]
    assert len(copied) == 400 == len(set(copied))
    assert {original[:2] for original in copied} == set(sizes(LARGE)) - {
        ("weak", "all")
    }


def test_more_copies_than_clips_never_share_an_id():
    config = replace(TINY, weak=200, leaked=0.5)
    clips = [clip_of(address, config) for address in weak_addresses(config)]
    assert max(Counter(clip.file for clip in clips).values()) == 1
    assert sum(clip.original is not None for clip in clips) == 100


def test_no_leak_means_no_copy():
    config = replace(TINY, weak=100, leaked=0.0)
    assert not any(original_of(a, config) for a in weak_addresses(config))
