"""A waveform in memory is read by the windows of a file that holds it."""

import numpy as np
import pytest
import soundfile

from drcap import audio
from drcap.audio import waveforms
from drcap.errors import AudioError

SR = 8_000


def noise(seconds):
    draw = np.random.default_rng(0)
    return draw.uniform(-0.5, 0.5, round(seconds * SR)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.5, 1.5])
@pytest.mark.parametrize("length", [0.2, 0.5, 0.501, 1.5, 1.6, 2.4, 2.6, 3.0])
def test_the_windows_are_those_of_a_file(tmp_path, length, seconds):
    soundfile.write(tmp_path / "noise.wav", noise(length), SR, subtype="FLOAT")
    of_file = list(audio.windows(tmp_path / "noise.wav", SR, seconds))
    found = list(waveforms.windows(noise(length), SR, seconds))
    assert len(found) == len(of_file)
    for window, expected in zip(found, of_file, strict=True):
        np.testing.assert_array_equal(window, expected)


def test_only_the_beginning_is_one_window():
    [first] = waveforms.windows(noise(1.2), SR, 0.5, beginning=True)
    np.testing.assert_array_equal(first, noise(1.2)[: SR // 2])


@pytest.mark.parametrize(
    "waveform, said",
    [
        (np.zeros((2, 9)), r"expected \(n,\) samples, got \(2, 9\)"),
        (np.zeros(0), "expected"),
        (np.zeros(9, np.int16), "got int16"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
    ],
)
def test_what_is_no_waveform_is_refused(waveform, said):
    with pytest.raises(AudioError, match=said):
        waveforms.windows(waveform, SR, 0.5)
