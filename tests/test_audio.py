"""Recordings are read exactly, in bounded memory, or refused in one named line."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drcap import audio
from drcap.audio import (
    find_recordings,
    first_seconds,
    fit_length,
    is_silent,
    load,
    windows,
)
from drcap.audio.spectrogram import FLOOR_DB, MELS, log_mel
from drcap.errors import AudioError

SR = 16_000
KINDS = ("wav", "flac", "ogg", "mp3")


def tone(seconds=1.0, rate=SR, hertz=440.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path, waveform, rate=SR, **options):
    soundfile.write(path, waveform, rate, **options)
    return path


def truncate(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def error_of(path):
    with pytest.raises(AudioError) as caught:
        load(path, SR)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert message.count(str(path)) == 1
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_the_waveform_that_was_written(tmp_path, kind):
    path = write(tmp_path / f"tone.{kind}", tone())
    waveform = load(path, SR)
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    exact = kind in ("wav", "flac")
    np.testing.assert_allclose(waveform, tone(), atol=1e-4 if exact else 0.03)


@pytest.mark.parametrize("subtype", ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE"))
def test_every_bit_depth_is_scaled_to_one(tmp_path, subtype):
    path = write(tmp_path / "tone.wav", tone(), subtype=subtype)
    np.testing.assert_allclose(load(path, SR), tone(), atol=1 / 100)


@pytest.mark.parametrize("rate", (8_000, 22_050, 44_100, 48_000, 96_000))
def test_any_rate_is_resampled_to_the_same_tone(tmp_path, rate):
    waveform = load(write(tmp_path / "tone.wav", tone(2.0, rate), rate), SR)
    assert abs(len(waveform) - 2 * SR) <= 1
    middle = slice(SR // 2, -SR // 2)  # away from the edges, where filters ring
    np.testing.assert_allclose(waveform[middle], tone(2.0)[middle][:SR], atol=1e-3)


def test_channels_are_averaged(tmp_path):
    channels = np.stack([tone(), np.zeros(SR), -0.5 * tone()], axis=1)
    waveform = load(write(tmp_path / "tone.wav", channels), SR)
    np.testing.assert_allclose(waveform, tone() / 6, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_of_50_milliseconds_is_read(tmp_path, kind):
    path = write(tmp_path / f"click.{kind}", tone(0.05, 44_100), 44_100)
    assert len(load(path, SR)) == SR // 20
    assert [len(window) for window in windows(path, SR)] == [SR // 20]


@pytest.mark.parametrize("rate", (SR, 44_100))
def test_windows_joined_are_the_whole_recording(tmp_path, rate):
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(7.3 * rate))
    path = write(tmp_path / "noise.flac", noise, rate)
    parts = list(windows(path, SR, seconds=2.0))
    assert [len(part) for part in parts[:-1]] == [2 * SR] * 3
    np.testing.assert_allclose(np.concatenate(parts), load(path, SR), atol=1e-6)


def test_a_short_tail_is_dropped_and_an_only_window_kept(tmp_path):
    lengths = {
        seconds: [
            len(window) / SR
            for window in windows(write(tmp_path / "tone.wav", tone(seconds)), SR, 2.0)
        ]
        for seconds in (0.5, 2.0, 4.5, 5.0)
    }
    assert lengths == {0.5: [0.5], 2.0: [2.0], 4.5: [2.0, 2.0], 5.0: [2.0, 2.0, 1.0]}


@pytest.mark.parametrize("rate", (SR, 44_100))
def test_the_beginning_is_cut_from_the_first_channel_alone(tmp_path, rate):
    left, right = tone(3.0, rate), tone(3.0, rate, hertz=1000.0)
    path = write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), rate)
    beginning = first_seconds(path, SR, 2.0)
    assert beginning.dtype == np.float32 and beginning.shape == (2 * SR,)
    middle = slice(SR // 10, -SR // 10)  # away from the resampler's edges
    np.testing.assert_allclose(beginning[middle], tone(2.0)[middle], atol=1e-3)


def test_a_beginning_is_no_longer_than_its_recording(tmp_path):
    assert len(first_seconds(write(tmp_path / "a.wav", tone(0.5)), SR, 10.0)) == SR / 2


@pytest.mark.parametrize("kind", ("wav", "flac", "ogg"))
def test_a_recording_that_breaks_off_has_no_beginning(tmp_path, kind):
    path = truncate(write(tmp_path / f"tone.{kind}", tone(4.0)))
    with pytest.raises(AudioError, match="truncated or damaged"):
        first_seconds(path, SR, 10.0)


def test_a_recording_without_samples_has_no_beginning(tmp_path):
    with pytest.raises(AudioError, match="holds no samples"):
        first_seconds(write(tmp_path / "a.wav", np.zeros(0)), SR)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 44_100, 2) as recording:
        minute = 0.1 * np.ones((60 * 44_100, 2), np.float32)
        for _ in range(5):
            recording.write(minute)
    del minute
    tracemalloc.start()
    try:
        assert sum(1 for _ in windows(path, SR)) == 30
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # the waveform at SR alone would be 19 MB


def test_a_missing_file_is_named_in_the_error(tmp_path):
    assert "no such file" in error_of(tmp_path / "absent.wav")


def test_a_folder_is_not_a_recording(tmp_path):
    assert "is a folder" in error_of(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.wav").touch()
    assert "empty (0 bytes)" in error_of(tmp_path / "empty.wav")


@pytest.mark.parametrize("kind", (*KINDS, "aiff", "au"))
def test_a_truncated_recording_is_refused(tmp_path, kind):
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * SR)
    message = error_of(truncate(write(tmp_path / f"noise.{kind}", noise)))
    assert "truncated" in message


def test_an_mp3_truncated_behind_its_tags_is_refused(tmp_path):
    path = write(tmp_path / "noise.mp3", tone(8.0))
    tag = b"ID3\x03\x00\x00" + bytes([0, 0, 3, 1]) + bytes(3 * 128 + 1)
    path.write_bytes(tag + path.read_bytes())
    assert len(load(path, SR)) == 8 * SR
    assert "truncated" in error_of(truncate(path))


def test_windows_before_a_break_are_given_and_the_break_is_then_raised(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(30 * SR)
    stream = windows(truncate(write(tmp_path / "noise.flac", noise)), SR, seconds=5.0)
    assert len(next(stream)) == 5 * SR
    with pytest.raises(AudioError, match="truncated"):
        list(stream)


def test_a_wav_whose_writer_streamed_it_has_no_promised_length(tmp_path):
    path = write(tmp_path / "piped.wav", tone())
    data = bytearray(path.read_bytes())
    for position in (4, data.index(b"data") + 4):
        data[position : position + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert len(load(path, SR)) == SR


def test_an_mp3_without_a_frame_count_is_read_whole(tmp_path):
    noise = 0.3 * np.random.default_rng(0).standard_normal(10 * 44_100).clip(-3, 3)
    noise[: 5 * 44_100] *= 1e-4  # a cheap start makes libsndfile guess too long a file
    rate = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
    path = write(tmp_path / "noise.mp3", noise, 44_100, **rate)
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 100) :])  # the first frame is the count
    assert soundfile.info(path).frames > 11 * 44_100
    assert abs(len(load(path, SR)) - 10 * SR) < 0.2 * SR


@pytest.mark.parametrize("name", ("notes.wav", "notes.mp3", "notes.raw", "film.m4a"))
def test_what_is_not_readable_audio_is_told_the_kinds_that_are(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0\0\0\x20ftypM4A these are no samples" * 50)
    assert "convert it to wav, flac, ogg or mp3" in error_of(tmp_path / name)


@pytest.mark.parametrize("kind", ("wav", "ogg"))
def test_a_recording_without_samples_is_refused(tmp_path, kind):
    assert "no samples" in error_of(write(tmp_path / f"none.{kind}", np.zeros(0)))


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
def test_a_sample_that_is_no_number_is_refused(tmp_path, value):
    waveform = tone()
    waveform[SR // 2] = value
    path = write(tmp_path / "broken.wav", waveform, subtype="FLOAT")
    assert "NaN or infinite" in error_of(path)


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "tone.wav", tone())
    monkeypatch.setattr(Path, "open", denied)
    assert "cannot be opened (Permission denied)" in error_of(path)


@pytest.mark.parametrize("rate", (10, 2_000_000_000))
def test_an_absurd_sample_rate_is_refused(tmp_path, rate):
    assert f"{rate} Hz" in error_of(write(tmp_path / "tone.wav", tone(), rate))


def test_a_waveform_is_cropped_or_padded_at_its_end():
    waveform = np.arange(1, 5, dtype=np.float32)
    assert fit_length(waveform, 3).tolist() == [1, 2, 3]
    assert fit_length(waveform, 6).tolist() == [1, 2, 3, 4, 0, 0]
    assert fit_length(waveform, 6).dtype == np.float32


def test_silence_is_told_from_a_faint_or_brief_sound():
    threshold = 10 ** (audio.SILENCE_DBFS / 20)
    click = np.zeros(10 * SR, np.float32)
    assert is_silent(click) and is_silent(click[:0])
    assert is_silent(np.full(SR, 0.2, np.float32))  # a constant offset is no sound
    click[1234] = 0.1
    assert not is_silent(click)
    assert is_silent(tone(level=0.9 * threshold))
    assert not is_silent(tone(level=1.1 * threshold))


def recordings_tree(root):
    names = ("b.WAV", "a.flac", ".hidden.wav", "notes.txt", "deep/c.ogg", ".git/d.wav")
    for name in (*names, "deep/er/e.m4a"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_of(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_stands_for_its_recordings_in_order(tmp_path):
    root = recordings_tree(tmp_path)
    assert names_of(find_recordings([root]), root) == ["a.flac", "b.WAV"]
    deep = ["a.flac", "b.WAV", "deep/c.ogg", "deep/er/e.m4a"]
    assert names_of(find_recordings([root], recursive=True), root) == deep


def test_files_are_kept_as_given_each_once_even_if_they_do_not_exist(tmp_path):
    root = recordings_tree(tmp_path)
    given = [root / "b.WAV", root / "absent.wav", root / "deep/../b.WAV", root]
    found = find_recordings(map(str, given))
    assert names_of(found, root) == ["b.WAV", "absent.wav", "a.flac"]


def test_a_folder_without_recordings_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match="holds no recordings .*subfolders") as caught:
        find_recordings([tmp_path])
    assert str(caught.value).startswith(str(tmp_path))


def test_a_full_scale_tone_reads_zero_decibels_in_its_band():
    decibels = log_mel(tone(level=1.0, hertz=1_000).astype(np.float32), SR)
    assert decibels.shape == (MELS, 101) and abs(decibels[:, 50].max()) < 2.5
    halved = log_mel(tone(level=0.5, hertz=1_000).astype(np.float32), SR)
    assert decibels.max() - halved.max() == pytest.approx(6.02, abs=0.01)


def test_silence_and_the_shortest_clip_have_a_spectrogram():
    assert (log_mel(np.zeros(SR, np.float32), SR) == FLOOR_DB).all()
    assert np.isfinite(log_mel(np.ones(1, np.float32), SR)).all()
