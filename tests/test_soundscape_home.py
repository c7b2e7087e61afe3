"""What tells household sounds apart; what all share is in test_soundscape_events."""

import numpy as np
import pytest
from scipy import signal

from drcap.data.soundscapes.dsp import SR, count
from drcap.data.soundscapes.events import home, tools

GENERATORS = home.GENERATORS | tools.GENERATORS
SEEDS = range(4)
FRAME = 0.005  # seconds


def make(name, seed, seconds=6.0):
    return GENERATORS[name](np.random.default_rng(seed), seconds)


def envelope(wave):
    """Return the RMS of frames of 5 ms."""
    n = count(FRAME)
    return np.sqrt((wave[: len(wave) // n * n].reshape(-1, n) ** 2).mean(1))


def share_above(wave, hertz):
    frequencies, power = signal.welch(wave, SR, nperseg=4_096)
    return power[frequencies > hertz].sum() / power.sum()


def pitch(wave):
    """Return the strongest frequency (Hz)."""
    hertz, power = signal.periodogram(wave, SR, window="hann")
    return hertz[power.argmax()]


@pytest.mark.parametrize("name", ["alarm", "phone_ringing"])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_rings_has_gaps(name, seed):
    frames = envelope(make(name, seed))
    silent = frames < 0.02 * frames.max()
    assert 0.2 < silent.mean() < 0.85
    assert np.diff(silent.astype(int)).clip(0).sum() >= 2  # times it falls silent


@pytest.mark.parametrize("seed", SEEDS)
def test_an_alarm_keeps_its_pitch(seed):
    wave = make("alarm", seed)
    halves = [pitch(part) for part in np.array_split(wave, 2)]
    assert halves[0] == pytest.approx(halves[1], rel=0.01)
    assert 1_800 < halves[0] < 3_400


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kettle_rises_and_grows(seed):
    start, *_, end = np.array_split(make("kettle", seed, 8.0), 8)
    assert (end**2).mean() > 4 * (start**2).mean()
    assert share_above(end, 1_500) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_breaking_glass_crashes_first_and_rings_out_high(seed):
    wave = make("glass_breaking", seed)
    frames = envelope(wave)
    assert frames.argmax() * FRAME < 0.6
    assert frames[-200:].max() < 0.1 * frames.max()
    assert share_above(wave, 1_500) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_knocks_are_low_and_come_in_groups(seed):
    wave = make("door_knock", seed, 8.0)
    frames = envelope(wave)
    knocks, _ = signal.find_peaks(frames, height=0.3 * frames.max(), distance=20)
    gaps = np.diff(knocks) * FRAME
    assert (gaps < 0.3).sum() >= 2 and (gaps > 0.7).sum() >= 1
    assert share_above(wave, 1_500) < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_creak_is_made_of_slips_whose_rate_varies(seed):
    wave = make("door_creak", seed)
    slips, _ = signal.find_peaks(np.abs(wave), height=0.05, distance=count(0.004))
    gaps = np.diff(slips) / SR
    assert len(gaps) > 30
    assert np.quantile(gaps, 0.9) > 2 * np.quantile(gaps, 0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_typing_is_faster_than_hammering(seed):
    counts = []
    for name in ("typing", "hammering"):
        frames = envelope(make(name, seed))
        strokes, _ = signal.find_peaks(frames, height=0.15 * frames.max(), distance=8)
        counts.append(len(strokes))
    assert counts[0] > 1.5 * counts[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_saw_goes_forth_and_back(seed):
    frames = envelope(make("saw", seed, 8.0))
    hertz, power = signal.periodogram(frames - frames.mean(), 1 / FRAME, window="hann")
    assert 0.8 < hertz[power.argmax()] < 4  # strokes a second


@pytest.mark.parametrize("seed", SEEDS)
def test_a_vacuum_cleaner_holds_a_motors_line_over_its_noise(seed):
    wave = make("vacuum_cleaner", seed)
    hertz, power = signal.welch(wave, SR, nperseg=8_192)
    motor = (hertz > 170) & (hertz < 330)
    assert power[motor].max() > 3 * np.median(power[motor])
    assert share_above(wave, 1_000) > 0.05  # the rushing air


def test_a_drill_stops_at_times():
    quiet = []
    for seed in range(6):
        frames = envelope(make("drill", seed, 8.0))
        quiet.append((frames < 0.05 * frames.max()).mean())
    assert max(quiet) > 0.1 and np.median(quiet) < 0.6
