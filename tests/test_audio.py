"""Recordings are read exactly, in bounded memory, or refused in one named line."""

import os
import stat
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
    measure,
    waveform_windows,
    windows,
)
from drcap.errors import AudioError

SR = 16_000
EXACT, LOSSY = ("wav", "flac", "aiff", "au", "w64"), ("ogg", "opus", "mp3", "mp2")


def tone(seconds=1.0, rate=SR, hertz=440.0, level=0.5):
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def noise(seconds, rate=SR, level=0.1):
    return level * np.random.default_rng(0).standard_normal(round(seconds * rate))


def write(path, waveform, rate=SR, **options):
    if path.suffix == ".opus":
        options = {"format": "OGG", "subtype": "OPUS"}
    if path.suffix == ".mp2":
        options = {"format": "MP3"}  # libsndfile writes no other layer
    soundfile.write(path, waveform, rate, **options)
    return path


def truncate(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def error_of(path, read=load):
    with pytest.raises(AudioError) as caught:
        read(path, SR)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert message.count(str(path)) == 1
    return message


# kinds, rates, depths


def test_every_kind_is_read_as_the_waveform_that_was_written(tmp_path):
    for kind in EXACT + LOSSY:
        path = write(tmp_path / f"tone.{kind}", tone())
        waveform = load(path, SR)
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        assert len(waveform) == SR and measure(path) == 1.0
        kept = slice(None if kind in EXACT else -SR // 10)  # opus loses the very end
        atol = 1e-4 if kind in EXACT else 0.05
        np.testing.assert_allclose(waveform[kept], tone()[kept], atol=atol)
        path = write(tmp_path / f"click.{kind}", tone(0.05, 48_000), 48_000)
        assert [len(window) for window in windows(path, SR)] == [SR // 20]


def test_any_depth_and_rate_give_the_same_tone(tmp_path):
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE"):
        path = write(tmp_path / "tone.wav", tone(), subtype=subtype)
        np.testing.assert_allclose(load(path, SR), tone(), atol=1 / 100)
    middle = slice(SR // 2, -SR // 2)  # away from the edges, where filters ring
    for rate in (8_000, 22_050, 44_100, 96_000):
        waveform = load(write(tmp_path / "tone.wav", tone(2.0, rate), rate), SR)
        assert abs(len(waveform) - 2 * SR) <= 1
        np.testing.assert_allclose(waveform[middle], tone(2.0)[middle][:SR], atol=1e-3)


# channels


def test_channels_are_averaged(tmp_path, caplog):
    channels = np.stack([tone(), np.zeros(SR), -0.5 * tone()], axis=1)
    waveform = load(write(tmp_path / "tone.wav", channels), SR)
    np.testing.assert_allclose(waveform, tone() / 6, atol=1e-4)
    assert not caplog.records


def test_of_channels_that_cancel_the_loudest_is_used_with_a_warning(tmp_path, caplog):
    sound = noise(10.0)
    faint = np.zeros((SR, 32))
    faint[:, 7] = tone(level=0.01)  # its share of an average would be silent
    for name, channels, loudest in (
        ("opposed.wav", np.stack([sound, -sound], axis=1), sound),
        ("nearly.wav", np.stack([-0.8 * sound, 0.9 * sound], axis=1), 0.9 * sound),
        ("offset.wav", np.stack([sound + 0.2, 0.2 - sound], axis=1), sound + 0.2),
        ("one of 32.wav", faint, faint[:, 7]),
    ):
        path = write(tmp_path / name, channels, subtype="FLOAT")
        caplog.clear()
        waveform = load(path, SR)
        np.testing.assert_allclose(waveform, loudest, atol=1e-6)
        assert not is_silent(waveform)
        (record,) = caplog.records  # once a file
        assert record.getMessage().startswith(f"{path}: its channels cancel")
    silent = write(tmp_path / "silent.wav", np.zeros((SR, 2)))
    assert is_silent(load(silent, SR)) and len(caplog.records) == 1


# windows


def test_windows_joined_are_the_whole_recording(tmp_path):
    for rate in (SR, 44_100):
        path = write(tmp_path / "noise.flac", noise(7.3, rate), rate)
        parts = list(windows(path, SR, seconds=2.0))
        assert [len(part) for part in parts[:-1]] == [2 * SR] * 3
        np.testing.assert_allclose(np.concatenate(parts), load(path, SR), atol=1e-6)


def test_windows_of_a_waveform_are_those_of_a_file(tmp_path):
    path, rate = tmp_path / "noise.wav", 8_000
    for length in (0.2, 0.5, 0.501, 1.5, 1.6, 2.4, 2.6, 3.0):
        waveform = noise(length, rate).astype(np.float32)
        write(path, waveform, rate, subtype="FLOAT")
        for seconds in (0.5, 1.5):
            of_file = list(windows(path, rate, seconds))
            of_waveform = waveform_windows(waveform, rate, seconds)
            assert len(of_file) == len(of_waveform)
            for window, expected in zip(of_waveform, of_file, strict=True):
                np.testing.assert_array_equal(window, expected)
    [first] = waveform_windows(waveform, rate, 0.5, beginning=True)
    np.testing.assert_array_equal(first, waveform[: rate // 2])


def test_a_short_tail_is_dropped_and_an_only_window_kept():
    lengths = {
        seconds: [len(w) / SR for w in waveform_windows(tone(seconds), SR, 2.0)]
        for seconds in (0.5, 2.0, 4.5, 5.0)
    }
    assert lengths == {0.5: [0.5], 2.0: [2.0], 4.5: [2.0, 2.0], 5.0: [2.0, 2.0, 1.0]}


def test_the_beginning_is_cut_from_the_first_channel_alone(tmp_path):
    middle = slice(SR // 10, -SR // 10)  # away from the resampler's edges
    for rate in (SR, 44_100):
        channels = [tone(3.0, rate), tone(3.0, rate, hertz=1000.0)]
        path = write(tmp_path / "stereo.wav", np.stack(channels, axis=1), rate)
        beginning = first_seconds(path, SR, 2.0)
        assert beginning.dtype == np.float32 and beginning.shape == (2 * SR,)
        np.testing.assert_allclose(beginning[middle], tone(2.0)[middle], atol=1e-3)
    assert len(first_seconds(write(tmp_path / "a.wav", tone(0.5)), SR, 10.0)) == SR / 2


def test_memory_does_not_grow_with_the_recording(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 22_050, 2) as recording:
        for _ in range(120):
            recording.write(0.1 * np.ones((22_050, 2), np.float32))
    tracemalloc.start()
    try:
        assert sum(1 for _ in windows(path, SR)) == 12
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20  # the waveform at SR alone would be 7.7 MB


# files that break off


def test_a_compressed_recording_that_breaks_off_is_refused(tmp_path):
    for kind in ("flac", "ogg", "opus"):
        path = truncate(write(tmp_path / f"noise.{kind}", noise(4.0)))
        assert "truncated or damaged" in error_of(path)
        assert "truncated or damaged" in error_of(path, first_seconds)


def test_windows_before_a_break_are_given_and_the_break_is_then_raised(tmp_path):
    path = truncate(write(tmp_path / "noise.flac", noise(30.0)))
    stream = windows(path, SR, seconds=5.0)
    assert len(next(stream)) == 5 * SR
    with pytest.raises(AudioError, match="truncated"):
        list(stream)


def test_what_an_uncompressed_file_lacks_is_a_warning(tmp_path, caplog):
    for kind in ("wav", "aiff", "au"):
        path = truncate(write(tmp_path / f"noise.{kind}", noise(4.0)))
        caplog.clear()
        assert abs(len(load(path, SR)) - 2 * SR) < SR / 100
        (record,) = caplog.records
        assert record.getMessage().startswith(f"{path}: lacks 2.0 s of what its header")


def with_sizes(path, sizes):
    """Write other sizes into the chunks of a WAV file."""
    data = bytearray(path.read_bytes())
    for name, size in sizes.items():
        place = data.index(name) + 4
        data[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def test_a_wav_header_that_is_a_little_off_or_states_no_length(tmp_path, caplog):
    for subtype, width in (("PCM_16", 2), ("PCM_24", 3), ("FLOAT", 4)):
        path = write(tmp_path / "tone.wav", tone(), subtype=subtype)
        for more in (1, 16, 0xFFFF_FFFF - width * SR):  # the last of a pipe
            with_sizes(path, {b"data": width * SR + more})
            np.testing.assert_allclose(load(path, SR), tone(), atol=1e-4)
        assert not caplog.records
        with_sizes(path, {b"RIFF": 0, b"data": 0})  # a recorder that was killed
        np.testing.assert_allclose(load(path, SR), tone(), atol=1e-4)
        assert "states no length" in caplog.text
        caplog.clear()
    empty = with_sizes(write(tmp_path / "empty.wav", np.zeros(0)), {b"data": 0})
    assert "no samples" in error_of(empty)
    empty.write_bytes(empty.read_bytes() + b"LIST\x04\0\0\0INFO")
    assert "no samples" in error_of(empty)


def test_an_mp3_that_breaks_off_is_read_with_a_warning(tmp_path, caplog):
    path = write(tmp_path / "tone.mp3", tone(8.0))
    assert len(load(path, SR)) == 8 * SR and not caplog.records
    assert len(load(truncate(path), SR)) < 5 * SR
    assert "may be truncated" in caplog.text


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "piped.flac", noise(9.0))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # 36 bits of STREAMINFO: the number of samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert len(load(path, SR)) == 9 * SR and measure(path) == 9.0


def test_an_ogg_file_of_several_streams_is_refused(tmp_path):
    for kind in ("ogg", "opus"):
        path = write(tmp_path / f"a.{kind}", tone())
        path.write_bytes(2 * path.read_bytes())
        assert "holds several Ogg streams" in error_of(path)


# what is refused


def test_what_is_no_recording_is_refused_in_one_line(tmp_path, monkeypatch):
    text = b"\0\0\0\x20ftypM4A these are no samples" * 50
    for name in ("notes.wav", "notes.mp3", "notes.raw", "notes.txt"):
        (tmp_path / name).write_bytes(text)
        assert "convert it to wav, flac, ogg or mp3" in error_of(tmp_path / name)
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    for path, fault in {
        tmp_path / "absent.wav": "no such file",
        tmp_path: "is a folder",
        tmp_path / "pipe.wav": "or a device",
        tmp_path / "empty.wav": "empty (0 bytes)",
        write(tmp_path / "none.wav", np.zeros(0)): "no samples",
        write(tmp_path / "none.ogg", np.zeros(0)): "no samples",
        write(tmp_path / "slow.wav", tone(), 10): "10 Hz",
        write(tmp_path / "fast.wav", tone(), 2_000_000_000): "2000000000 Hz",
    }.items():
        assert fault in error_of(path) and fault in error_of(path, first_seconds)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    path = tmp_path / "none.wav"
    assert "cannot be opened (Permission denied)" in error_of(path)


def test_samples_that_are_no_numbers_or_far_too_loud_are_refused(tmp_path):
    for value, fault in (
        (np.nan, "NaN or infinite samples"),
        (-np.inf, "NaN or infinite samples"),
        (11_485.0, "samples up to 11,485.0"),
        (-5.0, "probably integers saved as floats"),
    ):
        waveform = tone().astype(np.float32)
        waveform[SR // 2] = value
        path = write(tmp_path / "odd.wav", waveform, subtype="FLOAT")
        assert fault in error_of(path)
        with pytest.raises(AudioError, match=f"^waveform: holds .*{fault[:10]}"):
            waveform_windows(waveform, SR, 0.5)
    path = write(tmp_path / "loud.wav", tone(level=2.8), subtype="FLOAT")
    assert load(path, SR).max() == pytest.approx(2.8, abs=0.01)


def test_what_is_no_waveform_is_refused():
    for waveform, fault in (
        (np.zeros((2, 9)), r"expected \(n,\) samples, got \(2, 9\)"),
        (np.zeros(0), "expected"),
        (np.zeros(9, np.int16), "got int16"),
    ):
        with pytest.raises(AudioError, match=fault):
            waveform_windows(waveform, SR, 0.5)


# what ffmpeg reads

FFMPEG = """#!/bin/sh
while [ "$1" != -i ]; do shift; done
case "$2" in *broken*) echo "moov atom not found" >&2; exit 1;; esac
case "$2" in *odd*) echo "File ended prematurely" >&2;; esac
cat "${2#file:}"
"""


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Put a program in its place that hands on the AU file it is given."""
    program = tmp_path / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def film(path):
    channels = np.stack([tone(7.0, 44_100)] * 2, axis=1)
    soundfile.write(path, channels, 44_100, format="AU", subtype="FLOAT", endian="BIG")
    return path


@pytest.mark.usefixtures("ffmpeg")
def test_other_containers_are_read_through_ffmpeg(tmp_path, caplog):
    waveform = load(film(tmp_path / "film.MP4"), SR)
    assert len(waveform) == 7 * SR and not caplog.records
    np.testing.assert_allclose(waveform[SR:-SR], tone(7.0)[SR:-SR], atol=1e-3)
    assert len(first_seconds(tmp_path / "film.MP4", SR, 1.0)) == SR
    assert "cannot decode it (moov atom not found)" in error_of(
        film(tmp_path / "broken.m4a")
    )
    assert measure(film(tmp_path / "odd.webm")) == 7.0
    assert "odd.webm: ffmpeg reports: File ended prematurely" in caplog.text


def test_without_ffmpeg_other_containers_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = error_of(film(tmp_path / "film.webm"))
    assert "is read through ffmpeg, which is not installed" in message


# folders


def tree(root):
    names = ("b.WAV", "a.flac", ".hidden.wav", "notes.txt", "deep/c.ogg", ".git/d.wav")
    for name in (*names, "deep/er/e.m4a", "film.mkv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_of(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_stands_for_its_recordings_in_order(tmp_path):
    root = tree(tmp_path)
    here = ["a.flac", "b.WAV", "film.mkv"]
    assert names_of(find_recordings([root]), root) == here
    deep = ["a.flac", "b.WAV", "deep/c.ogg", "deep/er/e.m4a", "film.mkv"]
    assert names_of(find_recordings([root], recursive=True), root) == deep


def test_linked_folders_are_followed_once_and_loops_end(tmp_path):
    root, other = tree(tmp_path / "root"), tree(tmp_path / "other")
    (root / "deep/loop").symlink_to(root)
    (root / "again").symlink_to(root / "deep")
    (root / "linked").symlink_to(other / "deep")
    (root / "nowhere").symlink_to(tmp_path / "absent")
    recordings = names_of(find_recordings([root], recursive=True), root)
    assert recordings == [
        *("a.flac", "b.WAV", "deep/c.ogg", "deep/er/e.m4a", "film.mkv"),
        *("linked/c.ogg", "linked/er/e.m4a"),
    ]


def test_files_are_kept_as_given_each_once_even_if_they_do_not_exist(tmp_path):
    root = tree(tmp_path)
    given = [root / "b.WAV", root / "absent.wav", root / "deep/../b.WAV", root]
    recordings = find_recordings(map(str, given))
    assert names_of(recordings, root) == ["b.WAV", "absent.wav", "a.flac", "film.mkv"]


def test_a_folder_without_recordings_is_an_error(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match="holds no recordings .*subfolders") as caught:
        find_recordings([tmp_path])
    assert str(caught.value).startswith(str(tmp_path))


def test_a_file_name_need_not_be_utf_8(tmp_path):
    path = write(tmp_path / "tone.wav", tone())
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.rename(odd)
    assert find_recordings([tmp_path]) == [odd] and len(load(odd, SR)) == SR


# small pieces


def test_a_waveform_is_cropped_or_padded_at_its_end():
    waveform = np.arange(1, 5, dtype=np.float32)
    assert fit_length(waveform, 3).tolist() == [1, 2, 3]
    assert fit_length(waveform, 6).tolist() == [1, 2, 3, 4, 0, 0]
    assert fit_length(waveform, 6).dtype == np.float32


def test_silence_differs_from_a_faint_or_brief_sound():
    threshold = 10 ** (audio.SILENCE_DBFS / 20)
    click = np.zeros(10 * SR, np.float32)
    assert is_silent(click) and is_silent(click[:0])
    assert is_silent(np.full(SR, 0.2, np.float32))  # a constant offset is no sound
    click[1234] = 0.1
    assert not is_silent(click)
    assert is_silent(tone(level=0.9 * threshold))
    assert not is_silent(tone(level=1.1 * threshold))
