import numpy as np
import pytest
from scipy import signal

from drcap.data.soundscapes.dsp import SR, count
from drcap.data.soundscapes.rooms import ROOMS, reverberate

NOISE = np.random.default_rng(0).standard_normal(count(1.0)).astype(np.float32)
CLICK = np.zeros(count(2.5), dtype=np.float32)
CLICK[0] = 1


def power(wave, low, high):
    hertz, density = signal.welch(wave, SR, nperseg=4_096)
    return density[(hertz >= low) & (hertz < high)].sum()


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("samples", [1, 2, 1_001, 32_000])
def test_a_sound_keeps_its_length_and_kind(room, samples):
    heard = reverberate(NOISE[:samples], room, 3.0)
    assert heard.shape == (samples,) and heard.dtype == np.float32
    assert np.isfinite(heard).all()


def test_nothing_is_added_to_silence():
    assert not reverberate(np.zeros(1_000, np.float32), "hall", 5.0).any()


def test_a_metre_away_in_the_open_a_sound_is_itself():
    np.testing.assert_array_equal(reverberate(NOISE, "open air", 1.0), NOISE)


def test_what_is_far_is_duller():
    shares = [
        power(heard, 8_000, 16_000) / power(heard, 0, 2_000)
        for heard in (reverberate(NOISE, "open air", d) for d in (2.0, 10.0, 50.0))
    ]
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize("room", ["small room", "bathroom", "hall"])
def test_a_click_dies_away_by_sixty_decibels_in_the_rooms_time(room):
    """The slope of Schroeder's backward integral, as acousticians measure it."""
    tail = reverberate(CLICK, room, 1.0).astype(float)
    tail[: count(0.005)] = 0  # the click itself
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] + 1e-30)
    left -= left[0]
    inside = np.flatnonzero((left < -5) & (left > -25))
    slope = np.polyfit(inside / SR, left[inside], 1)[0]  # dB a second
    assert -60 / slope == pytest.approx(ROOMS[room].seconds, rel=0.15)


def test_there_is_more_reverberation_farther_away():
    levels = []
    for distance in (1.0, 4.0, 16.0):
        heard = reverberate(CLICK, "hall", distance)
        levels.append((heard[count(0.05) :] ** 2).sum())
    assert levels[0] < levels[1] < levels[2]


def test_treble_does_not_fold_into_the_reverberation():
    """A tone above the reverberation's highest frequency leaves no other tone."""
    tone = np.sin(2 * np.pi * 12_000 * np.arange(count(1.0)) / SR).astype(np.float32)
    heard = reverberate(tone, "hall", 1.0)
    assert power(heard, 0, 8_000) < 1e-5 * power(heard, 11_000, 13_000)
