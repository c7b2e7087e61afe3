import os

import pytest

from drcap.data import overlap_cache
from drcap.data.captions import Clip
from drcap.data.overlap import remove_overlap
from drcap.data.overlap_cache import cached_overlap

CHECKS = {"blacklist": False, "fingerprints": False}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))


def clip(name, path=None, **ids):
    return Clip(name, "weak", "train", path, None, (f"{name} is heard",), **ids)


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"sound")
    return [
        clip("a", tmp_path / "a.wav", freesound_id="1"),
        clip("b", freesound_id="2"),
        clip("c", freesound_id="3"),
    ]


TARGETS = [clip("t", freesound_id="2"), clip("u")]


def counted(monkeypatch):
    calls = []

    def counting(*arguments, **checks):
        calls.append(checks)
        return remove_overlap(*arguments, **checks)

    monkeypatch.setattr(overlap_cache, "remove_overlap", counting)
    return calls


def test_what_is_kept_is_what_the_filter_decided_and_it_decides_once(
    clips, monkeypatch
):
    calls = counted(monkeypatch)
    first = cached_overlap(clips, TARGETS, **CHECKS)
    assert cached_overlap(clips, TARGETS, **CHECKS) == first
    assert first == remove_overlap(clips, TARGETS, **CHECKS)
    assert first.removed[0].protected is TARGETS[0]
    assert len(calls) == 1


def test_other_clips_checks_and_recordings_are_filtered_anew(clips, monkeypatch):
    calls = counted(monkeypatch)
    cached_overlap(clips, TARGETS, **CHECKS)
    cached_overlap(clips[:2], TARGETS, **CHECKS)
    assert len(calls) == 2
    assert cached_overlap(clips, TARGETS, ids=False, **CHECKS).removed == ()
    os.utime(clips[0].path, (1, 1))
    cached_overlap(clips, TARGETS, **CHECKS)
    assert len(calls) == 4
