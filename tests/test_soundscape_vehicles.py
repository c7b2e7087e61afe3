"""What tells vehicles apart; what all generators share is in test_soundscape_events."""

import numpy as np
import pytest
from scipy import signal

from drcap.data.soundscapes.dsp import SR, count
from drcap.data.soundscapes.events.vehicles import GENERATORS

SEEDS = range(4)
FRAME = 0.01  # seconds


def make(name, seed, seconds=8.0):
    return GENERATORS[name](np.random.default_rng(seed), seconds)


def envelope(wave):
    """Return the RMS of frames of 10 ms."""
    n = count(FRAME)
    return np.sqrt((wave[: len(wave) // n * n].reshape(-1, n) ** 2).mean(1))


def beats(frames, low, high):
    """Return the strongest rate (Hz) at which loudness varies, and its prominence."""
    hertz, power = signal.periodogram(frames, 1 / FRAME, window="hann")
    inside = (hertz >= low) & (hertz <= high)
    strongest = power[inside].argmax()
    return hertz[inside][strongest], power[inside][strongest] / np.median(power[inside])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_passing_car_is_loudest_near_the_middle(seed):
    frames = np.convolve(envelope(make("car_passing", seed)), np.ones(50) / 50, "same")
    assert 0.3 < frames.argmax() / len(frames) < 0.7
    ends = np.r_[frames[50:100], frames[-100:-50]]
    assert ends.max() < 0.4 * frames.max()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_helicopters_blades_beat_ten_to_twenty_times_a_second(seed):
    frames = envelope(make("helicopter", seed))
    rate, prominence = beats(frames, 5, 25)
    assert 9.5 < rate < 20.5
    assert prominence > 20
    assert frames.std() > 0.25 * frames.mean()  # a beat, not a tremor


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


@pytest.mark.parametrize("seed", SEEDS)
def test_an_idling_engine_fires_more_slowly_than_a_motorcycle(seed):
    idling = firing_rate(make("engine_idling", seed))
    assert 18 < idling < 36
    assert firing_rate(make("motorcycle", seed)) > 1.3 * idling


@pytest.mark.parametrize("seed", SEEDS)
def test_a_train_rumbles_low_without_a_pause(seed):
    wave = make("train", seed)
    frames = envelope(wave)[:800].reshape(8, 100).mean(1)
    assert frames.min() > 0.2 * frames.max()
    hertz, power = signal.welch(wave, SR, nperseg=4_096)
    assert power[hertz < 1_500].sum() > 0.8 * power.sum()
    assert 0.05 < power[hertz < 200].sum() / power.sum() < 0.95  # rumble, not a tone


@pytest.mark.parametrize("seed", SEEDS)
def test_a_horn_honks_with_gaps_between(seed):
    frames = envelope(make("horn", seed))
    sounding = frames > 0.2 * frames.max()
    assert 0.2 < sounding.mean() < 0.95
    assert np.diff(sounding.astype(int)).clip(0).sum() >= 3  # onsets


@pytest.mark.parametrize("seed", SEEDS)
def test_an_aeroplane_is_loudest_as_it_passes_and_never_silent(seed):
    seconds = envelope(make("aeroplane", seed))[:800].reshape(8, 100).mean(1)
    assert 2 <= seconds.argmax() <= 6
    assert max(seconds[0], seconds[-1]) < 0.85 * seconds.max()
    assert seconds.min() > 0.05 * seconds.max()
