"""The generators of sound events: what all share, and what tells some apart."""

import numpy as np
import pytest
from scipy import signal

from drcap.data.soundscapes.dsp import SR, count
from drcap.data.soundscapes.events import GENERATORS
from drcap.data.soundscapes.vocabulary import VOCABULARY

EVERY = sorted(GENERATORS)


def make(name, seed=0, seconds=4.0):
    return GENERATORS[name](np.random.default_rng(seed), seconds)


def spectrum(wave):
    """Return frequencies (Hz) and their share of the power."""
    hertz, power = signal.welch(wave, SR, nperseg=4_096)
    return hertz, power / power.sum()


def share(wave, low, high):
    hertz, power = spectrum(wave)
    return power[(hertz >= low) & (hertz <= high)].sum()


def loudness(wave, seconds=0.02):
    """Return the RMS of frames of so many seconds."""
    n = count(seconds)
    return np.sqrt((wave[: len(wave) // n * n].reshape(-1, n) ** 2).mean(1))


def test_every_class_of_the_vocabulary_has_a_generator_and_no_other():
    assert set(GENERATORS) == set(VOCABULARY)
    assert len(GENERATORS) >= 40


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("seconds", [0.4, 2.345])
def test_a_sound_has_its_length_and_is_sound(name, seconds):
    wave = make(name, seconds=seconds)
    assert wave.shape == (count(seconds),) and wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() == pytest.approx(1, abs=1e-5)
    assert abs(wave.mean()) < 0.01
    assert abs(wave[0]) < 0.05 and abs(wave[-1]) < 0.05


@pytest.mark.parametrize("name", EVERY)
def test_a_seed_gives_the_same_sound_and_another_one_another(name):
    first, again, other = make(name, 1, 1.5), make(name, 1, 1.5), make(name, 2, 1.5)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-3
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.9


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("cricket", 3_000, 6_000),
        ("bird_song", 1_500, 9_000),
        ("whistling", 500, 3_000),
        ("owl", 200, 900),
        ("thunder", 20, 1_000),
        ("explosion", 20, 1_500),
        ("alarm", 1_500, 10_000),
        ("speech", 80, 4_000),
        ("drum", 20, 9_000),
    ],
)
def test_a_sound_lies_where_its_kind_does(name, low, high):
    assert np.median([share(make(name, seed), low, high) for seed in range(5)]) > 0.8


@pytest.mark.parametrize(
    "name", ["dog", "clock", "door_knock", "footsteps", "hammering"]
)
def test_what_is_struck_or_called_comes_in_pulses(name):
    frames = loudness(make(name))
    assert np.quantile(frames, 0.3) < 0.2 * frames.max()


@pytest.mark.parametrize("name", ["rain", "vacuum_cleaner", "helicopter", "stream"])
def test_what_goes_on_has_no_silence(name):
    frames = loudness(make(name), 0.25)
    assert frames.min() > 0.15 * frames.max()


def test_a_passing_car_falls_in_pitch():
    """The engine's line is found before and after the car is nearest."""
    falls = []
    for seed in range(5):
        wave = make("car_passing", seed, 8.0)
        before, after = wave[: len(wave) // 3], wave[-len(wave) // 3 :]
        peaks = []
        for part in (before, after):
            hertz, power = signal.periodogram(part, SR, window="hann")
            low = (hertz > 60) & (hertz < 135)
            peaks.append(hertz[low][power[low].argmax()])
        falls.append(peaks[1] / peaks[0])
    assert np.median(falls) < 0.97


def test_a_clock_is_regular():
    frames = loudness(make("clock", 3, 6.0), 0.005)
    pulses, _ = signal.find_peaks(frames, height=0.3 * frames.max(), distance=20)
    gaps = np.diff(pulses)
    assert len(gaps) > 3 and gaps.std() / gaps.mean() < 0.05


def test_a_siren_sweeps():
    for seed in range(4):
        hertz, _, power = signal.spectrogram(
            make("siren", seed, 6.0), SR, nperseg=2_048
        )
        audible = (hertz > 300) & (hertz < 1_800)
        pitch = hertz[audible][power[audible].argmax(0)]
        assert pitch.max() / pitch.min() > 1.2


def test_a_plucked_string_holds_its_pitch_and_fades():
    from drcap.data.soundscapes.events import music

    wave = music.plucked_string(np.random.default_rng(0), 0.4)
    frames = loudness(wave, 0.05)
    assert frames[-2] < frames[1]
