"""What a protected dataset holds is removed, each clip with the reason; else it stays.

The published lists are toys here, except in the test marked slow.
"""

import os

import numpy as np
import pytest
import soundfile
from scipy import signal

from drcap import paths
from drcap.data import fingerprint, overlap
from drcap.data.clip import Clip, captions_of
from drcap.data.fingerprint import fingerprints_of
from drcap.data.identities import freesound_id, youtube_id
from drcap.data.overlap import Removed, blacklists, remove_overlap, removed_table
from drcap.errors import AssetError

VIDEO, OTHER = "b0RFKhbpFJA", "Y1234567890"  # the second begins with a Y of its own
RATE = 32_000  # Hz


@pytest.fixture(autouse=True)
def home(request, tmp_path, monkeypatch):
    if request.node.get_closest_marker("slow"):
        return
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    toys = {("youtube", "listed-0000"), ("freesound", "555")}
    monkeypatch.setattr(overlap, "blacklists", lambda: toys)


def weak(name, source="AudioSet_SL", path=None, **ids):
    return Clip(name, "wavcaps", source, path, None, (f"{name} is heard",), **ids)


def target(name, dataset="audiocaps", path=None, **ids):
    return Clip(name, dataset, "test", path, None, ("A sound",), **ids)


def rain(seed, seconds=6):
    wave = np.random.default_rng(seed).standard_normal(seconds * RATE)
    return 0.1 * signal.lfilter(*signal.iirpeak(1500, 0.7, fs=RATE), wave)


def recording(path, wave):
    soundfile.write(path, wave, RATE)
    return path


def test_an_id_is_the_same_in_every_form():
    forms = ("{}", "Y{}", "{}.wav", "Y{}.wav", "Y{}.flac", "{}_30", "Y{}_30000.MP3")
    for video in (VIDEO, OTHER, "-dash_and_0", "_a-b_c-d_e_"):
        protected = target("t", youtube_id=video)
        clips = [
            weak(form, youtube_id=form.format(video))
            for form in (*forms, "{}_30_40", "Y{}_30.000_40.000.wav")
        ]
        assert {youtube_id(clip.youtube_id) for clip in clips} == {video}
        removed = remove_overlap(clips, [protected]).removed
        assert removed == tuple(Removed(clip, "id", protected) for clip in clips)
    for name in ("180913", "180913.wav", "180913.flac", "x/180913.OGG"):
        assert freesound_id(name) == "180913"
        protected = target("t", "clotho", freesound_id="180913")
        (removed,) = remove_overlap([weak("w", freesound_id=name)], [protected]).removed
        assert removed.reason == "id" and removed.protected is protected


def test_ids_of_the_two_sites_are_kept_apart_and_compared_as_text():
    protected = [target("t", youtube_id="180913"), target("u", freesound_id="0700")]
    clips = [weak("w", freesound_id="180913"), weak("v", youtube_id="0700")]
    clips += [weak("x", freesound_id="700"), weak("y"), weak("z", freesound_id="7.00")]
    assert remove_overlap(clips, protected).kept == tuple(clips)
    assert freesound_id("Not found") is None and freesound_id("7.00") is None


def test_listed_clips_are_removed_and_the_nearer_reason_is_given():
    protected = [target("t", youtube_id="listed-0000")]
    clips = [
        weak("a", youtube_id="Ylisted-0000.wav"),
        weak("b", freesound_id="555.flac"),
        weak("c", youtube_id="555"),
    ]
    reasons = [each.reason for each in remove_overlap(clips, protected).removed]
    assert reasons == ["id", "blacklist"]
    (removed,) = remove_overlap(clips, protected, blacklist=False).removed
    assert removed == Removed(clips[0], "id", protected[0])


def test_a_copy_under_another_id_is_found_by_its_sound(tmp_path):
    protected = [
        target(str(seed), path=recording(tmp_path / f"{seed}.wav", rain(seed)))
        for seed in range(3)
    ]
    copy = 0.3 * rain(1)[round(0.37 * RATE) :]
    clips = [
        weak("copy", path=recording(tmp_path / "copy.flac", copy), youtube_id=VIDEO),
        weak("own", path=recording(tmp_path / "own.wav", rain(7))),
        weak("silent", path=recording(tmp_path / "silent.wav", np.zeros(RATE))),
        weak("no audio"),
    ]
    result = remove_overlap(clips, protected)
    assert result.removed == (Removed(clips[0], "fingerprint", protected[1]),)
    assert result.kept == tuple(clips[1:])
    assert remove_overlap(clips, protected, fingerprints=False).removed == ()


def test_what_cannot_be_read_is_removed_and_a_target_without_sound_matches_nothing(
    tmp_path,
):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    protected = [
        target("no audio"),
        target("bad", path=tmp_path / "bad.wav"),
        target("absent", path=tmp_path / "absent.wav"),
        target("silent", path=recording(tmp_path / "silent.wav", np.zeros(RATE))),
    ]
    clips = [weak("bad", path=tmp_path / "bad.wav"), weak("text only")]
    result = remove_overlap(clips, protected)
    assert result.removed == (Removed(clips[0], "unreadable"),)
    assert result.kept == (clips[1],)


def test_the_table_counts_reasons_by_source_and_the_captions_are_of_what_is_kept():
    clips = [
        weak("a", youtube_id=VIDEO),
        weak("b", youtube_id="listed-0000"),
        weak("c"),
        weak("d", "FreeSound", freesound_id="1"),
    ]
    result = remove_overlap(clips, [target("t", youtube_id=VIDEO)])
    table = removed_table(result)
    assert list(table.columns) == [
        *("clips", "id", "blacklist", "fingerprint", "unreadable", "kept")
    ]
    assert table.index.name == "source"
    assert table.loc["wavcaps AudioSet_SL"].tolist() == [3, 1, 1, 0, 0, 1]
    assert table.loc["wavcaps FreeSound"].tolist() == [1, 0, 0, 0, 0, 1]
    assert table.loc["all"].tolist() == [4, 1, 1, 0, 0, 2]
    assert captions_of(result.kept) == ["c is heard", "d is heard"]
    assert removed_table(remove_overlap([], [])).loc["all"].tolist() == [0] * 6


def test_a_fingerprint_is_computed_once_until_its_file_changes(tmp_path, monkeypatch):
    calls = []

    def counted(path, skip):
        calls.append((path.name, skip))
        return np.int32([[len(calls), 0]])

    monkeypatch.setattr(fingerprint, "peaks", counted)
    files = [recording(tmp_path / f"{name}.wav", rain(0, 1)) for name in "ab"]
    first = fingerprints_of(files)
    again = fingerprints_of(files)
    np.testing.assert_array_equal(first, again)
    assert sorted(calls) == [("a.wav", 0), ("b.wav", 0)]
    fingerprints_of(files[:1], skip=128)
    recording(files[1], rain(1, 2))
    fingerprints_of(files)
    assert calls[2:] == [("a.wav", 128), ("b.wav", 0)]
    assert not list(paths.home().rglob(".writing-*"))


def test_an_unreadable_file_is_none_and_never_cached(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    files = [tmp_path / "bad.wav", tmp_path / "absent.wav"]
    for _ in range(2):
        assert fingerprints_of(files) == [None, None]
    assert not list(paths.home().rglob("*.npy"))


def test_the_filter_decides_once_until_clips_checks_or_recordings_change(
    tmp_path, monkeypatch
):
    decisions, by_id = [], overlap._by_id
    monkeypatch.setattr(
        overlap, "_by_id", lambda *sides: decisions.append(1) or by_id(*sides)
    )
    (tmp_path / "a.wav").write_bytes(b"sound")
    clips = [
        weak("a", path=tmp_path / "a.wav", freesound_id="1"),
        weak("b", freesound_id="2"),
        weak("c", freesound_id="3"),
    ]
    protected = [target("t", freesound_id="2"), target("u")]

    def filtered(clips, **checks):
        return remove_overlap(clips, protected, fingerprints=False, **checks)

    first = filtered(clips)
    assert filtered(clips) == first and len(decisions) == 1
    assert first.removed[0].protected is protected[0]
    filtered(clips[:2])
    assert len(decisions) == 2
    filtered(clips, blacklist=False)
    assert len(decisions) == 3
    os.utime(clips[0].path, (1, 1))
    filtered(clips)
    assert len(decisions) == 4


def test_the_published_lists_are_asked_for_where_they_are_not_fetched():
    with pytest.raises(AssetError, match="fetch overlap-lists"):
        blacklists()


@pytest.mark.slow
def test_the_published_lists_are_complete():
    listed = blacklists()
    youtube = {name for site, name in listed if site == "youtube"}
    freesound = {name for site, name in listed if site == "freesound"}
    assert (len(youtube), len(freesound)) == (51_308, 7_941)
    assert {len(name) for name in youtube} == {11}
    assert all(name.isdigit() for name in freesound)
    assert "r1nicOVtvkQ" in youtube and "117790" in freesound
