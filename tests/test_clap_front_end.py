import librosa
import numpy as np
import pytest
import torch

from drcap.clap.front_end import LogMel, fixed_length, spec_augment
from drcap.config import FrontEndConfig, SpecAugmentConfig

SETTINGS = {
    "the paper's": FrontEndConfig(),
    "coarse": FrontEndConfig(window=2_048, hop=1_280, mels=32),
    "LAION's": FrontEndConfig(sr=48_000, hop=480, floor=1e-10),
}


@pytest.fixture
def waveform():
    return np.random.default_rng(0).standard_normal(64_000).astype(np.float32) / 10


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_the_log_mel_is_librosas(config, waveform):
    power = librosa.feature.melspectrogram(
        **{"y": waveform, "sr": config.sr, "n_fft": config.window, "power": 2.0},
        **{"hop_length": config.hop, "n_mels": config.mels, "pad_mode": "reflect"},
        **{"fmin": config.low, "fmax": config.high},
    )
    expected = 10 * np.log10(np.maximum(power, config.floor)).T
    log_mel = LogMel(config)(torch.from_numpy(waveform)[None])[0]
    assert log_mel.dtype == torch.float32
    np.testing.assert_allclose(log_mel, expected, atol=1e-3)


def test_silence_lies_at_the_floor_in_as_many_frames_as_the_settings_have():
    for config, level in zip(SETTINGS.values(), (-60, -60, -100), strict=True):
        log_mels = LogMel(config)(torch.zeros(2, config.samples))
        assert log_mels.shape == (2, config.frames, config.mels)
        torch.testing.assert_close(log_mels, torch.full_like(log_mels, level))


def test_a_row_does_not_depend_on_its_batch_and_nothing_is_saved(waveform):
    front_end = LogMel(FrontEndConfig())
    pair = torch.from_numpy(np.stack([waveform, waveform[::-1].copy()]))
    torch.testing.assert_close(front_end(pair)[:1], front_end(pair[:1]))
    assert not front_end.state_dict()  # all of it follows from the settings


def test_waveforms_are_cropped_or_followed_by_zeros(waveform):
    config = FrontEndConfig(seconds=1.0)
    fitted = fixed_length([waveform, waveform[:100]], config)
    assert fitted.shape == (2, 32_000) and fitted.dtype == torch.float32
    np.testing.assert_array_equal(fitted[0], waveform[:32_000])
    np.testing.assert_array_equal(fitted[1, :100], waveform[:100])
    assert not fitted[1, 100:].any()


# spec_augment


def augmented(log_mels=None, seed=0, step=0, first=0, count=50, **settings):
    log_mels = torch.zeros(count, 40, 16) if log_mels is None else log_mels
    blank = 1 + torch.arange(float(log_mels.shape[2]))
    place = {"seed": seed, "step": step, "first": first}
    spec_augment(log_mels, SpecAugmentConfig(**settings), blank, **place)
    return log_mels


def test_stripes_of_time_cover_all_bands_with_what_they_are_filled_with():
    widths = []
    for log_mel in augmented(time_stripes=2, time_width=5, mel_stripes=0):
        frames = log_mel[:, 0] != 0
        assert (log_mel[frames] == 1 + torch.arange(16.0)).all()
        assert (log_mel[~frames] == 0).all()
        widths.append(int(frames.sum()))
    assert max(widths) <= 10 and min(widths) <= 2 and len(set(widths)) > 4


def test_stripes_of_bands_cover_all_frames():
    for log_mel in augmented(time_stripes=0, mel_stripes=1, mel_width=3):
        bands = log_mel[0] != 0
        assert (log_mel == log_mel[0]).all() and bands.sum() <= 3
        places = bands.nonzero().flatten()
        assert len(places) == 0 or places[-1] - places[0] == len(places) - 1
    assert augmented(time_width=500, mel_width=500).shape == (50, 40, 16)


def test_a_pairs_stripes_depend_on_its_place_in_the_batch_alone():
    widths = {"time_width": 5, "mel_width": 3}
    whole = augmented(count=6, **widths)
    torch.testing.assert_close(augmented(first=4, count=2, **widths), whole[4:])
    assert not torch.equal(whole, augmented(step=1, count=6, **widths))
    assert not torch.equal(whole, augmented(seed=1, count=6, **widths))


def test_a_roll_keeps_the_round_of_frames_and_a_gain_moves_all_alike():
    no_stripes = {"time_stripes": 0, "mel_stripes": 0}
    rolled = torch.arange(12.0).repeat(30, 1)[..., None].repeat(1, 1, 4)
    augmented(rolled, roll=True, **no_stripes)
    assert ((rolled - rolled.roll(1, 1)) % 12 == 1).all()
    assert len({int(log_mel[0, 0]) for log_mel in rolled}) > 6
    louder = augmented(count=200, gain=6.0, **no_stripes)
    levels = louder[:, 0, 0]
    assert (louder == levels[:, None, None]).all()
    assert levels.abs().max() <= 6 and levels.min() < -5 and levels.max() > 5
