"""The generators of sound events: what all share, and what sets some apart."""

from functools import cache

import numpy as np
import pytest
from scipy import signal

from soundscapes.dsp import SR, count
from soundscapes.events import GENERATORS
from soundscapes.vocabulary import VOCABULARY

SEEDS = range(2)


@cache
def make(name, seed=0, seconds=4.0):
    return GENERATORS[name](np.random.default_rng(seed), seconds)


def share(wave, low, high):
    """Return the share of the power between two frequencies (Hz)."""
    hertz, power = signal.welch(wave, SR, nperseg=4_096)
    return power[(hertz >= low) & (hertz <= high)].sum() / power.sum()


def loudness(wave, seconds=0.02):
    """Return the RMS of frames of so many seconds."""
    n = count(seconds)
    return np.sqrt((wave[: len(wave) // n * n].reshape(-1, n) ** 2).mean(1))


def strongest(values, rate, low=0.0, high=np.inf):
    """Return the strongest frequency (Hz) of values, and its share of the median."""
    hertz, power = signal.periodogram(values, rate, window="hann")
    inside = (hertz >= low) & (hertz <= high)
    place = power[inside].argmax()
    return hertz[inside][place], power[inside][place] / np.median(power[inside])


def test_every_class_of_the_vocabulary_has_a_generator_and_no_other():
    assert set(GENERATORS) == set(VOCABULARY) and len(GENERATORS) == 50


def test_a_sound_has_its_length_and_depends_on_its_seed():
    for name in GENERATORS:
        for seconds in (0.4, 1.345):
            wave = make(name, 1, seconds)
            assert wave.shape == (count(seconds),) and wave.dtype == np.float32
            assert np.isfinite(wave).all(), name
            assert np.abs(wave).max() == pytest.approx(1, abs=1e-5), name
            assert abs(wave.mean()) < 0.01 and max(abs(wave[[0, -1]])) < 0.05, name
        again = GENERATORS[name](np.random.default_rng(1), seconds)
        np.testing.assert_array_equal(wave, again)
        other = make(name, 2, seconds)
        assert np.abs(wave - other).mean() > 1e-3, name
        assert abs(np.corrcoef(wave, other)[0, 1]) < 0.9, name


def test_a_sound_lies_where_its_kind_does():
    for name, low, high in (
        ("cricket", 3_000, 6_000),
        ("bird_song", 1_500, 9_000),
        ("whistling", 500, 3_000),
        ("owl", 200, 900),
        ("thunder", 20, 1_000),
        ("explosion", 20, 1_500),
        ("alarm", 1_500, 10_000),
        ("speech", 80, 4_000),
        ("drum", 20, 9_000),
        ("glass_breaking", 1_500, SR / 2),
        ("door_knock", 20, 1_500),
        ("train", 0, 1_500),
    ):
        shares = [share(make(name, seed), low, high) for seed in range(3)]
        assert np.median(shares) > 0.8, name


def test_what_is_struck_or_called_comes_in_pulses_and_what_goes_on_has_no_gaps():
    for name in ("dog", "clock", "door_knock", "footsteps", "hammering"):
        frames = loudness(make(name))
        assert np.quantile(frames, 0.3) < 0.2 * frames.max(), name
    for name in ("rain", "vacuum_cleaner", "helicopter", "stream", "train"):
        frames = loudness(make(name), 0.25)
        assert frames.min() > 0.15 * frames.max(), name
    for name in ("alarm", "phone_ringing", "horn"):
        for seed in SEEDS:
            frames = loudness(make(name, seed, 6.0), 0.01)
            silent = frames < 0.1 * frames.max()
            assert 0.05 < silent.mean() < 0.85, name
            assert np.diff(silent.astype(int)).clip(0).sum() >= 2, name


def test_a_clock_is_regular():
    frames = loudness(make("clock", 3, 6.0), 0.005)
    pulses, _ = signal.find_peaks(frames, height=0.3 * frames.max(), distance=20)
    gaps = np.diff(pulses)
    assert len(gaps) > 3 and gaps.std() / gaps.mean() < 0.05


def test_a_siren_sweeps_and_an_alarm_keeps_its_pitch():
    for seed in SEEDS:
        hertz, _, power = signal.spectrogram(
            make("siren", seed, 6.0), SR, nperseg=2_048
        )
        audible = (hertz > 300) & (hertz < 1_800)
        pitch = hertz[audible][power[audible].argmax(0)]
        assert pitch.max() / pitch.min() > 1.2
        first, second = np.array_split(make("alarm", seed, 6.0), 2)
        pitch = strongest(first, SR)[0]
        assert 1_800 < pitch < 3_400
        assert strongest(second, SR)[0] == pytest.approx(pitch, rel=0.01)


def test_what_passes_is_loudest_in_the_middle_and_falls_in_pitch():
    falls = []
    for seed in range(4):
        wave = make("car_passing", seed, 8.0)
        frames = np.convolve(loudness(wave, 0.01), np.ones(50) / 50, "same")
        assert 0.3 < frames.argmax() / len(frames) < 0.7
        assert np.r_[frames[50:100], frames[-100:-50]].max() < 0.4 * frames.max()
        # the engine's line before and after the car is nearest
        thirds = wave[: len(wave) // 3], wave[-len(wave) // 3 :]
        before, after = (strongest(part, SR, 60, 135)[0] for part in thirds)
        falls.append(after / before)
        seconds = loudness(make("aeroplane", seed, 8.0), 1.0)
        assert 2 <= seconds.argmax() <= 6 and seconds.min() > 0.05 * seconds.max()
        assert max(seconds[0], seconds[-1]) < 0.85 * seconds.max()
    assert np.median(falls) < 0.97


def firing_rate(wave):
    """Return how often (Hz) an engine fires: its puffs' period, in the median."""
    puffs = signal.decimate(np.abs(wave), 32, ftype="fir")  # 1 kHz
    rates = []
    for part in puffs[: len(puffs) // 500 * 500].reshape(-1, 500):
        part = part - part.mean()
        likeness = np.correlate(part, part, "full")[499:]
        shortest = 1_000 // 200  # 200 Hz at most, down to 12
        rates.append(1_000 / (shortest + likeness[shortest:83].argmax()))
    return np.median(rates)


def test_engines_and_strokes_have_their_rates():
    for seed in SEEDS:
        idling = firing_rate(make("engine_idling", seed, 8.0))
        assert 18 < idling < 36
        assert firing_rate(make("motorcycle", seed, 8.0)) > 1.3 * idling
        frames = loudness(make("helicopter", seed, 8.0), 0.01)
        rate, prominence = strongest(frames, 100, 5, 25)
        assert 9.5 < rate < 20.5 and prominence > 20
        assert frames.std() > 0.25 * frames.mean()  # a beat, not a tremor
        frames = loudness(make("saw", seed, 8.0), 0.005)
        assert 0.8 < strongest(frames - frames.mean(), 200)[0] < 4  # strokes a second
        strokes = []
        for name in ("typing", "hammering"):
            frames = loudness(make(name, seed, 6.0), 0.005)
            heights = {"height": 0.15 * frames.max(), "distance": 8}
            strokes.append(len(signal.find_peaks(frames, **heights)[0]))
        assert strokes[0] > 1.5 * strokes[1]


def test_things_at_home_behave_as_they_do():
    for seed in SEEDS:
        start, *_, end = np.array_split(make("kettle", seed, 8.0), 8)
        assert (end**2).mean() > 4 * (start**2).mean()
        frames = loudness(make("glass_breaking", seed, 6.0), 0.005)
        assert frames.argmax() < 120 and frames[-200:].max() < 0.1 * frames.max()
        frames = loudness(make("door_knock", seed, 8.0), 0.005)
        knocks, _ = signal.find_peaks(frames, height=0.3 * frames.max(), distance=20)
        gaps = np.diff(knocks) * 0.005  # groups of knocks
        assert (gaps < 0.3).sum() >= 2 and (gaps > 0.7).sum() >= 1
        wave = np.abs(make("door_creak", seed, 6.0))
        slips, _ = signal.find_peaks(wave, height=0.05, distance=count(0.004))
        gaps = np.diff(slips) / SR
        assert len(gaps) > 30 and np.quantile(gaps, 0.9) > 2 * np.quantile(gaps, 0.1)
        wave = make("vacuum_cleaner", seed, 6.0)
        hertz, power = signal.welch(wave, SR, nperseg=8_192)
        motor = power[(hertz > 170) & (hertz < 330)]
        assert motor.max() > 3 * np.median(motor) and share(wave, 1_000, SR) > 0.05
    frames = [loudness(make("drill", seed, 8.0)) for seed in range(6)]
    quiet = [(each < 0.05 * each.max()).mean() for each in frames]
    assert max(quiet) > 0.1 and np.median(quiet) < 0.6


def test_a_plucked_string_fades():
    frames = loudness(make("plucked_string", 0, 0.4), 0.05)
    assert frames[-2] < frames[1]
