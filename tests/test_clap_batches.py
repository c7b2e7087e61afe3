import numpy as np
import pytest
import soundfile
import torch
from doubles import ToyCLAP

from drcap.clap.batches import encode_captions, encode_recordings, encode_windows
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
def test_windows_are_averaged_by_their_duration(clap, recordings, batch_size):
    paths, waveforms = recordings
    embeddings = encode_recordings(paths, clap, batch_size=batch_size, progress=False)
    assert embeddings.dtype == np.float32 and embeddings.shape == (4, 32)

    def embed(waveform):
        return clap.encode_audio([waveform])[0].numpy()

    long, short, half, silent = waveforms
    parts = [long[start * SR : (start + 10) * SR] for start in (0, 10, 20)]
    expected = [
        unit(sum(s * embed(w) for s, w in zip((10, 10, 5), parts, strict=True))),
        embed(short),
        embed(half[10 * SR :]),
        embed(silent),
    ]
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_a_recording_without_an_audible_window_is_zeros(clap):
    silence, sound = np.zeros(SR, np.float32), tone(1, 300)
    rows = encode_windows([(0, silence), (2, sound), (0, silence)], 3, clap)
    assert not rows[:2].any()
    torch.testing.assert_close(rows[2], clap.encode_audio([sound])[0])


def test_an_unreadable_recording_is_named(clap, recordings, tmp_path):
    with pytest.raises(AudioError, match="none.wav: no such file"):
        encode_recordings([recordings[0][0], tmp_path / "none.wav"], clap)


def test_captions_come_back_in_their_order(clap):
    captions = ["a dog", "rain falls on a roof", "wind"]
    found = encode_captions(captions, clap, batch_size=2, progress=False)
    expected = np.concatenate([clap.encode_text([each]) for each in captions])
    np.testing.assert_allclose(found, expected, atol=1e-6)
