"""Figures of recordings: waveform, log-mel spectrogram, tags, what an encoder sees."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from drcap.audio import fit_length
from drcap.plots.style import COLOURS, PALE, headline, panels, styled

TAGS_SHOWN = 8
MELS, FLOOR_DB = 64, -100.0  # of a spectrogram
WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.010
SPECTROGRAM_RANGE_DB = 70
SPECTROGRAM_COLOURS = 28  # steps of 2.5 dB: as clear to the eye, and a far smaller file
FREQUENCY_TICKS = (500, 1_000, 2_000, 4_000, 8_000, 16_000)  # Hz


@styled
def plot_clip(
    waveform: np.ndarray,
    sr: int,
    tags: Mapping[str, float] | None = None,
    title: str = "A recording and its log-mel spectrogram",
) -> Figure:
    """Show a mono waveform (n,) and its spectrogram, beside its likeliest tags if any.

    tags : class name -> probability; the TAGS_SHOWN highest are drawn
    """
    figure = plt.figure(figsize=(7.2 if tags is None else 9.2, 3.8))
    widths = (1,) if tags is None else (1, 0.36)
    grid = figure.add_gridspec(
        2, len(widths), height_ratios=(1, 2), width_ratios=widths, wspace=0.07
    )
    wave, mel = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    seconds = np.arange(len(waveform)) / sr
    wave.plot(seconds, waveform, linewidth=0.5)
    reach = max(float(np.abs(waveform).max(initial=0)), 1e-3) * 1.05
    wave.set(ylabel="Amplitude", ylim=(-reach, reach), xticklabels=[])
    image = _draw_spectrogram(mel, waveform, sr)
    bar = figure.colorbar(image, ax=mel, pad=0.015, aspect=14)
    bar.set_label("Level (dB re full scale)")
    bar.outline.set_visible(False)
    for axes in (wave, mel):
        axes.set_xlim(0, len(waveform) / sr)
    if tags is not None:
        _draw_tags(figure.add_subplot(grid[:, 1]), tags)
    return headline(figure, title)


@styled
def plot_examples(
    waveforms: Sequence[np.ndarray], sr: int, texts: Sequence[str], title: str
) -> Figure:
    """Show recordings below one another, each spectrogram beside its own text.

    waveforms : each (n,), mono at `sr` Hz     texts : as many, with line breaks
    """
    figure, rows = plt.subplots(
        len(waveforms),
        2,
        figsize=(9.2, 1.9 * len(waveforms) + 0.6),
        width_ratios=(1, 1.15),
        squeeze=False,
    )
    for (mel, beside), waveform, text in zip(rows, waveforms, texts, strict=True):
        _draw_spectrogram(mel, waveform, sr)
        lines = [textwrap.fill(line, 58) for line in text.splitlines()]
        beside.text(0, 0.95, "\n".join(lines), va="top", fontsize=9)
        beside.set_axis_off()
    for mel in rows[:-1, 0]:
        mel.set_xlabel("")
    return headline(figure, title)


@styled
def plot_encoder_input(
    log_mel: np.ndarray, square: np.ndarray, patch_size: int, seconds: float
) -> Figure:
    """Show a log-mel spectrogram and the square of patches that HTS-AT makes of it.

    log_mel : (frames, mels), dB     square : (side, side), as the encoder folds it
    patch_size : side of a patch     seconds : duration of the spectrogram
    """
    figure, (mel, folded) = panels(2, 3.6, width_ratios=(1.7, 1))
    picture = {"origin": "lower", "cmap": plt.get_cmap("magma", SPECTROGRAM_COLOURS)}
    edges = (0, seconds, 0, log_mel.shape[1])
    mel.imshow(log_mel.T, extent=edges, aspect="auto", **picture)
    mel.set(xlabel="Time (s)", ylabel="Mel band")
    folded.imshow(square, aspect="equal", **picture)
    side = len(square)
    places, ends = np.arange(0, side + 1, patch_size) - 0.5, (-0.5, side - 0.5)
    for draw in (folded.hlines, folded.vlines):
        draw(places, *ends, color="white", linewidth=0.25, alpha=0.6)
    folded.set(xlabel="Frame, within a piece of time", ylabel="Mel band of each piece")
    pieces, patches = side // log_mel.shape[1], (side // patch_size) ** 2
    mel.set_title(
        f"{seconds:g} s become {pieces} pieces of {side} frames, in {patches:,} patches"
    )
    return figure


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


def _draw_spectrogram(axes: Axes, waveform: np.ndarray, sr: int) -> AxesImage:
    import librosa

    decibels = log_mel(waveform, sr)
    loudest = max(float(decibels.max()), FLOOR_DB + SPECTROGRAM_RANGE_DB)
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=(0, decibels.shape[1] * HOP_SECONDS, 0, MELS),
        vmin=loudest - SPECTROGRAM_RANGE_DB,
        vmax=loudest,
        cmap=plt.get_cmap("magma", SPECTROGRAM_COLOURS),
    )
    shown = [hertz for hertz in FREQUENCY_TICKS if hertz < sr / 2]
    # Band i is centred on mel (i + 1) / (MELS + 1) of the highest, drawn at i + 1/2.
    bands = librosa.hz_to_mel(shown) / librosa.hz_to_mel(sr / 2) * (MELS + 1) - 0.5
    axes.set_yticks(bands, [f"{hertz / 1000:g}" for hertz in shown])
    axes.set(xlabel="Time (s)", ylabel="Frequency (kHz)")
    return image


def _draw_tags(axes: Axes, tags: Mapping[str, float]) -> None:
    highest = pd.Series(tags, dtype=float).nlargest(TAGS_SHOWN)[::-1]
    axes.barh(range(len(highest)), 1, color=PALE, height=0.22)
    axes.barh(range(len(highest)), highest, color=COLOURS[1], height=0.22)
    for place, (name, probability) in enumerate(highest.items()):
        label = textwrap.shorten(name, 30, placeholder=" …")
        axes.text(0, place + 0.22, label, fontsize=9)
        axes.text(1.02, place, f"{probability:.2f}", va="center", fontsize=9)
    axes.set(xlabel="Probability of the likeliest tags", xlim=(0, 1), yticks=[])
    axes.set(xticks=(0, 0.5, 1), ylim=(len(highest) - TAGS_SHOWN - 0.3, None))
    axes.spines[:].set_visible(False)
