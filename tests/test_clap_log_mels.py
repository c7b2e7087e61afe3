import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from doubles_clap import SR, write_clips

from drcap import audio, paths
from drcap.clap import log_mels
from drcap.clap.front_end import LogMel
from drcap.clap.log_mels import cached_log_mels
from drcap.config import FrontEndConfig
from drcap.errors import AudioError

SETTINGS = FrontEndConfig(sr=SR, seconds=1.0, window=256, hop=250, mels=16, high=4e3)
HALF = 2**-5  # a step of float16 between 32 and 64 dB


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))


@pytest.fixture
def recordings(tmp_path):
    return [clip.path for clip in write_clips(tmp_path / "audio", 6)]


def cached(recordings, settings=SETTINGS):
    return cached_log_mels(recordings, settings, progress=False)


def direct(waveform):
    with torch.inference_mode():
        return LogMel(SETTINGS)(torch.from_numpy(waveform)[None])[0].numpy()


def test_the_cache_holds_what_the_front_end_gives(recordings):
    cache = cached(recordings)
    assert len(cache) == len(recordings)
    for row, path in enumerate(recordings):
        waveform = audio.load(path, SR)
        if len(waveform) < SETTINGS.samples:
            waveform = audio.fit_length(waveform, SETTINGS.samples)
        expected = direct(waveform)
        stored = cache.crop(row, 0, cache.frames(row))
        assert stored.shape == expected.shape and stored.dtype == np.float32
        np.testing.assert_allclose(stored, expected, atol=HALF)


def test_a_short_recording_ends_as_zeros_would(tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, 0.5 * np.ones(SR // 4), SR)
    stored = cached([path]).crop(0, 0, SETTINGS.frames)
    silence = direct(np.zeros(SETTINGS.samples, np.float32))
    assert len(stored) == SETTINGS.frames
    np.testing.assert_allclose(stored[16:], silence[16:], atol=HALF)


def test_a_crop_is_the_log_mel_of_that_stretch_but_for_its_edges(recordings):
    cache = cached(recordings)
    row = max(range(len(cache)), key=cache.frames)
    waveform = audio.load(recordings[row], SR)
    start = 9  # frames
    stretch = waveform[start * SETTINGS.hop :][: SETTINGS.samples]
    inner = slice(1, SETTINGS.frames - 1)  # the window reaches beyond the first, last
    crop = cache.crop(row, start, SETTINGS.frames)
    np.testing.assert_allclose(crop[inner], direct(stretch)[inner], atol=HALF)


def test_the_log_mels_are_computed_once(recordings, monkeypatch):
    first = cached(recordings)
    monkeypatch.setattr(log_mels, "_write", None)
    again = cached(recordings)
    np.testing.assert_array_equal(first.stored, again.stored)


@pytest.mark.parametrize("change", ["settings", "order", "content", "time"])
def test_other_settings_or_files_are_computed_anew(recordings, change):
    cached(recordings)
    if change == "settings":
        cached(recordings, replace(SETTINGS, floor=1e-8))
    elif change == "order":
        cached(recordings[::-1])
    elif change == "content":
        soundfile.write(recordings[0], np.zeros(SR), SR)
        cached(recordings)
    else:
        os.utime(recordings[0], (1, 1))
        cached(recordings)
    folders = [each for each in (paths.home() / "log-mels").iterdir() if each.is_dir()]
    assert len(folders) == 2


def test_a_killed_computation_leaves_nothing_and_starts_again(recordings, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(log_mels, "write_json", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cached(recordings)
    assert not [each for each in (paths.home() / "log-mels").iterdir() if each.is_dir()]
    assert len(cached(recordings)) == 6


def test_an_unreadable_recording_is_named_and_the_others_are_kept(recordings, tmp_path):
    whole = cached(recordings)
    recordings[2].write_bytes(b"not audio")
    recordings[4] = tmp_path / "nowhere.wav"
    cache = cached(recordings)
    for row in (2, 4):
        with pytest.raises(AudioError, match=recordings[row].name):
            cache.frames(row)
    for row in (0, 1, 3, 5):
        frames = whole.frames(row)
        assert cache.frames(row) == frames
        np.testing.assert_array_equal(
            cache.crop(row, 0, frames), whole.crop(row, 0, frames)
        )


def test_a_cache_of_nothing_readable_can_be_opened(tmp_path):
    cache = cached([tmp_path / "nowhere.wav"])
    assert len(cache) == 1 and len(cache.unreadable) == 1
