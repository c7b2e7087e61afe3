from threading import Event

import numpy as np
import pytest
import soundfile
import torch
from doubles import ToyCLAP
from doubles_clap import write_clips

from drcap.audio import load
from drcap.clap.batches import (
    embed_clips,
    encode_captions,
    encode_over_time,
    encode_recordings,
    encode_windows,
)
from drcap.errors import AudioError

SR = ToyCLAP.sr


def tone(seconds: float, hertz: float) -> np.ndarray:
    time = np.arange(round(seconds * SR)) / SR
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


@pytest.fixture
def clap():
    return ToyCLAP()


@pytest.fixture
def recordings(tmp_path):
    """25 s of two tones, 3 s of one, 10 s of silence then 4 s, and silence alone."""
    silence = np.zeros(10 * SR, np.float32)
    waveforms = [
        np.concatenate([tone(10, 300), tone(10, 900), tone(5, 2_000)]),
        tone(3, 500),
        np.concatenate([silence, tone(4, 700)]),
        silence,
    ]
    paths = [tmp_path / f"{number}.wav" for number in range(len(waveforms))]
    for path, waveform in zip(paths, waveforms, strict=True):
        soundfile.write(path, waveform, SR, subtype="FLOAT")
    return paths, waveforms


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_windows_are_averaged_by_their_duration_and_silence_is_zeros(
    clap, recordings, batch_size
):
    paths, waveforms = recordings
    embeddings = encode_recordings(paths, clap, batch_size=batch_size, progress=False)
    assert embeddings.dtype == np.float32 and embeddings.shape == (4, 32)

    def embed(waveform):
        return clap.encode_audio([waveform])[0].numpy()

    long, short, half, _ = waveforms
    parts = [long[start * SR : (start + 10) * SR] for start in (0, 10, 20)]
    expected = [
        unit(sum(s * embed(w) for s, w in zip((10, 10, 5), parts, strict=True))),
        embed(short),
        embed(half[10 * SR :]),
    ]
    np.testing.assert_allclose(embeddings[:3], expected, atol=1e-5)
    assert not embeddings[3].any()


def test_the_authors_read_the_beginning_of_the_first_channel(clap, tmp_path):
    stereo = np.stack([tone(12, 300), tone(12, 900)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, SR, subtype="FLOAT")
    silence = np.zeros(10 * SR, np.float32)
    late = np.concatenate([silence, tone(4, 700)])
    soundfile.write(tmp_path / "late.wav", late, SR, subtype="FLOAT")
    paths = [tmp_path / "stereo.wav", tmp_path / "late.wav"]
    rows = encode_recordings(paths, clap, beginning=True, progress=False)
    expected = clap.encode_audio([stereo[: 10 * SR, 0]])[0]
    np.testing.assert_allclose(rows[0], expected, atol=1e-5)
    assert not rows[1].any()


def test_the_windows_of_a_recording_may_come_one_by_one(clap):
    silence, sound = np.zeros(SR, np.float32), tone(1, 300)
    rows = encode_windows([(0, silence), (2, sound), (0, silence)], 3, clap)
    assert not rows[:2].any()
    torch.testing.assert_close(rows[2], clap.encode_audio([sound])[0])


def test_the_next_batch_is_decoded_while_one_is_encoded(clap):
    waiting, encode_audio = Event(), clap.encode_audio

    def windows():
        yield 0, tone(1, 300)
        waiting.set()  # reached before the first batch is encoded to its end
        yield 1, tone(1, 500)

    def encode_while_waiting(waveforms):
        assert waiting.wait(30)
        return encode_audio(waveforms)

    clap.encode_audio = encode_while_waiting
    rows = encode_windows(windows(), 2, clap)
    expected = encode_audio([tone(1, 300), tone(1, 500)])
    torch.testing.assert_close(rows, expected)


def test_an_unreadable_recording_is_named(clap, recordings, tmp_path):
    with pytest.raises(AudioError, match="none.wav: no such file"):
        encode_recordings([recordings[0][0], tmp_path / "none.wav"], clap)


def test_windows_over_time_are_followed_by_silence_or_cut(clap, recordings):
    def encode(waveforms):  # the level of each of two halves of a window
        halves = [np.array_split(wave, 2) for wave in waveforms]
        levels = [[[np.abs(half).max()] for half in both] for both in halves]
        return torch.tensor(np.array(levels, np.float32))

    rows = encode_over_time(recordings[0][:2], clap, encode, 2, progress=False)
    assert rows.shape == (2, 4, 1)
    np.testing.assert_allclose(rows[..., 0] > 0.1, [[1] * 4, [1, 1, 0, 0]])


def test_captions_come_back_in_their_order(clap):
    captions = ["a dog", "rain falls on a roof", "wind"]
    rows = encode_captions(captions, clap, batch_size=2, progress=False)
    expected = np.concatenate([clap.encode_text([text]) for text in captions])
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert encode_captions([], clap).shape == (0, 32)


def test_clips_are_embedded_with_all_their_captions(clap, tmp_path):
    clips = write_clips(tmp_path, 4)
    embedded = embed_clips(clips, clap)
    assert embedded.clip_of_text.tolist() == [0, 1, 1, 2, 3, 3]
    captions = [caption for clip in clips for caption in clip.captions]
    np.testing.assert_allclose(embedded.text, clap.encode_text(captions), atol=1e-6)
    np.testing.assert_array_equal(embedded.first_text, embedded.text[[0, 1, 3, 4]])
    waves = [load(clip.path, clap.sr) for clip in clips]
    np.testing.assert_allclose(embedded.audio, clap.encode_audio(waves), atol=1e-5)
    assert 0 <= embedded.scores()["audio_to_text"]["R@1"] <= 1
