import librosa
import numpy as np
import pytest
import torch

from drcap.clap.front_end import LogMel, fixed_length
from drcap.config import FrontEndConfig

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
    found = LogMel(config)(torch.from_numpy(waveform)[None])[0]
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_clip_has_the_frames_that_its_settings_tell():
    for config in SETTINGS.values():
        log_mels = LogMel(config)(torch.zeros(2, config.samples))
        assert log_mels.shape == (2, config.frames, config.mels)


def test_silence_lies_at_the_floor():
    for config, level in zip(SETTINGS.values(), (-60, -60, -100), strict=True):
        log_mels = LogMel(config)(torch.zeros(1, config.samples))
        torch.testing.assert_close(log_mels, torch.full_like(log_mels, level))


def test_a_row_does_not_depend_on_its_batch(waveform):
    front_end = LogMel(FrontEndConfig())
    pair = torch.from_numpy(np.stack([waveform, waveform[::-1].copy()]))
    torch.testing.assert_close(front_end(pair)[:1], front_end(pair[:1]))


def test_waveforms_are_cropped_or_followed_by_zeros(waveform):
    config = FrontEndConfig(seconds=1.0)
    fitted = fixed_length([waveform, waveform[:100]], config)
    assert fitted.shape == (2, 32_000) and fitted.dtype == torch.float32
    np.testing.assert_array_equal(fitted[0], waveform[:32_000])
    np.testing.assert_array_equal(fitted[1, :100], waveform[:100])
    assert not fitted[1, 100:].any()


def test_what_follows_from_the_settings_is_not_saved():
    assert not LogMel(FrontEndConfig()).state_dict()
