"""Copies are found whatever was done to them; what only sounds alike is not."""

from functools import cache

import numpy as np
import pytest
import soundfile
from scipy import signal
from scipy.ndimage import maximum_filter

from drcap.data import fingerprint
from drcap.data.fingerprint import SKIPS, SR, find_copies, landmarks, peaks, peaks_of
from drcap.errors import AudioError

SECONDS = 8.0
RATE = 32_000  # Hz, of the synthetic recordings


def noise(rng, colour):
    """Stationary noise through one resonance: rain, wind, an engine's hiss."""
    wave = rng.standard_normal(round(SECONDS * RATE))
    b, a = signal.iirpeak(colour, 0.7, fs=RATE)
    return signal.lfilter(b, a, wave)


def bursts(rng, colour):
    """A few short bursts over a faint floor: knocks, barks, shots."""
    wave = 1e-3 * rng.standard_normal(round(SECONDS * RATE))
    shape = np.exp(-np.arange(RATE // 4) / (RATE / 15))
    for start in rng.integers(0, len(wave) - RATE // 4, 5):
        burst = noise(rng, colour)[: RATE // 4]
        wave[start : start + RATE // 4] += 3 * shape * burst
    return wave


def syllables(rng, colour):
    """Short rising and falling tones with an overtone: birds, voices, whistling."""
    wave = 1e-3 * rng.standard_normal(round(SECONDS * RATE))
    for _ in range(40):
        n = round(rng.uniform(0.1, 0.3) * RATE)
        hertz = np.linspace(*rng.uniform(0.4, 1.6, 2) * colour, n)
        phase = 2 * np.pi * np.cumsum(hertz) / RATE
        start = rng.integers(0, len(wave) - n)
        tone = np.sin(phase) + 0.5 * np.sin(2 * phase)
        wave[start : start + n] += rng.uniform(0.3, 1) * np.hanning(n) * tone
    return wave


@cache
def recordings(seed):
    """9 recordings of three kinds, three of the same parameters each."""
    rng = np.random.default_rng(seed)
    kinds = [(make, 1500.0) for make in (noise, bursts, syllables) for _ in range(3)]
    waves = [make(rng, colour) for make, colour in kinds]
    return [(0.5 * wave / np.abs(wave).max()).astype(np.float32) for wave in waves]


def steady(*hertz):
    t = np.arange(round(SECONDS * RATE)) / RATE
    return sum(0.2 * np.sin(2 * np.pi * each * t) for each in hertz).astype(np.float32)


def with_noise(wave):
    hiss = np.random.default_rng(9).standard_normal(len(wave))
    return wave + 0.1 * wave.std() * hiss  # 20 dB below


def low_pass(wave):
    sections = signal.butter(4, 6000, fs=RATE, output="sos")
    return signal.sosfilt(sections, wave)


ALTERED = {
    "gain": lambda wave: wave * 10 ** (-12 / 20),
    "later": lambda wave: np.pad(wave, (round(0.37 * RATE), 0)),
    "earlier": lambda wave: wave[round(0.37 * RATE) :],
    "noise": with_noise,
    "low-pass": low_pass,
    "excerpt": lambda wave: wave[3 * RATE : 8 * RATE],
    "embedded": lambda wave: np.concatenate([steady(700)[:RATE], wave, wave[:RATE]]),
    "all": lambda wave: 0.25 * low_pass(with_noise(wave[round(0.37 * RATE) :])),
}


def peaks_at_rate(wave, skip=0):
    """Resample as scipy does, not as the package does."""
    return peaks_of(signal.resample_poly(wave, SR, RATE).astype(np.float32)[skip:])


def reference(wave):
    return [peaks_at_rate(wave, skip) for skip in SKIPS]


@pytest.fixture(scope="module")
def originals():
    return [reference(wave) for wave in recordings(0)]


def test_every_altered_copy_is_found_and_nothing_else(originals):
    wanted, found = [], []
    for alter in ALTERED.values():  # 8 x 9 copies
        copies = [peaks_at_rate(alter(wave)) for wave in recordings(0)]
        wanted += range(len(copies))
        found += find_copies(copies, originals)
    others = [peaks_at_rate(wave) for wave in recordings(1)]
    others += [peaks_at_rate(with_noise(wave)) for wave in recordings(2)]
    false = find_copies(others, originals)
    assert len(wanted) == 72
    assert found == wanted  # recall 1, and each copy to its own original
    assert false == [None] * 18  # precision 1 among as many recordings of the kinds


def test_recordings_of_one_kind_are_not_copies_of_each_other(originals):
    for row, each in enumerate(originals):
        rest = originals[:row] + originals[row + 1 :]
        assert find_copies([each[0]], rest) == [None]


def test_silence_tones_and_hum_are_like_nothing_else():
    alike = [
        np.zeros(round(SECONDS * RATE), np.float32),
        steady(1000),
        steady(440, 880, 1320),
        steady(*range(50, 2000, 50)),
    ]
    found = [reference(wave) for wave in alike]
    again = [peaks_at_rate(np.roll(wave, 777)) for wave in alike]
    assert find_copies(again, found) == [None] * 4
    assert len(found[0][0]) == 0
    assert find_copies([], found) == []
    assert find_copies(again, []) == [None] * 4


def test_the_order_of_the_references_does_not_matter(originals):
    count = len(originals)
    same = [starts[0] for starts in originals]
    turned = find_copies(same, originals[::-1])
    assert turned == list(range(count))[::-1]


def test_a_file_of_another_rate_has_the_same_sound(tmp_path, originals):
    wave = signal.resample_poly(recordings(0)[0], 441, 320)
    soundfile.write(tmp_path / "a.flac", 0.5 * wave, 44_100)
    found = peaks(tmp_path / "a.flac")
    assert find_copies([found], originals) == [0]


def test_a_long_recording_is_read_in_blocks_and_its_times_run_on(
    tmp_path, monkeypatch, originals
):
    wave = np.concatenate([recordings(1)[0], recordings(0)[0]])
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    whole = peaks(tmp_path / "a.wav")
    monkeypatch.setattr(fingerprint, "SECONDS", 4.0)
    parts = peaks(tmp_path / "a.wav")
    rows = set(map(tuple, whole.tolist()))
    assert len(rows & set(map(tuple, parts.tolist()))) > 0.9 * len(rows)
    assert (np.diff(parts[:, 0]) >= 0).all()
    assert find_copies([whole, parts], originals) == [0, 0]


def test_peaks_are_the_largest_around_them():
    wave = signal.resample_poly(recordings(0)[0], SR, RATE).astype(np.float32)
    power = fingerprint._power(wave)
    largest = maximum_filter(power, (5, 7), mode="constant")
    rows = peaks_of(wave) - [0, fingerprint.LOWEST]
    assert (power[*rows.T] == largest[*rows.T]).all()
    assert fingerprint.PEAKS * SECONDS <= len(rows) < 3 * fingerprint.PEAKS * SECONDS


def test_landmarks_are_the_pairs_that_occur_once():
    rows = [(0, 10), (0, 20), (5, 10), (5, 20), (9, 300), (40, 300), (50, 290)]
    found = landmarks(np.int32(rows))
    pairs = {}
    for a, (frame, low) in enumerate(rows):
        for later, high in rows[a + 1 :]:
            if later - frame <= 24 and abs(high - low) <= 32:
                pairs.setdefault((low, high - low, later - frame), []).append(frame)
    once = sorted(starts[0] for starts in pairs.values() if len(starts) == 1)
    assert sorted(found[1].tolist()) == once and len(once) == 5
    assert (np.diff(found[0]) > 0).all()
    assert len(landmarks(np.empty((0, 2), np.int32))[0]) == 0


def test_a_file_that_is_no_recording_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    with pytest.raises(AudioError, match="is damaged or not audio"):
        peaks(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="no such file"):
        peaks(tmp_path / "b.wav")
