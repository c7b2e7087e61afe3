"""The log-mel spectrogram that the figures show."""

import numpy as np

from drcap.audio import fit_length

MELS = 64
FLOOR_DB = -100.0
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.010


def log_mel(waveform: np.ndarray, sr: int) -> np.ndarray:
    """Return the log-mel spectrogram of a mono waveform -> (MELS, T) float32, in dB.

    Columns are HOP_SECONDS apart, the first centred on the first sample. 0 dB is a sine
    of full scale at the centre of a mel band; nothing is below FLOOR_DB.
    """
    import librosa

    window = round(WINDOW_SECONDS * sr)
    power = librosa.feature.melspectrogram(
        y=fit_length(waveform, max(len(waveform), window)),
        sr=sr,
        n_fft=window,
        hop_length=round(HOP_SECONDS * sr),
        n_mels=MELS,
        norm=None,
    )
    full_scale = (window / 4) ** 2  # a full-scale sine's peak under a Hann window
    quietest = np.float32(1e-30)  # keeps the logarithm finite
    return np.maximum(10 * np.log10(power / full_scale + quietest), FLOOR_DB)
