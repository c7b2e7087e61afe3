"""Figures of recordings, of text-only training and of captions."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from drcap.audio.spectrogram import FLOOR_DB, HOP_SECONDS, MELS, log_mel
from drcap.plots.style import COLOURS, INK, PALE, headline, styled

TAGS_SHOWN = 8
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
    draw_spectrogram(mel, waveform, sr)
    for axes in (wave, mel):
        axes.set_xlim(0, len(waveform) / sr)
    if tags is not None:
        _draw_tags(figure.add_subplot(grid[:, 1]), tags)
    headline(figure, title)
    return figure


def draw_spectrogram(
    axes: Axes, waveform: np.ndarray, sr: int, *, scale: bool = True
) -> None:
    """Draw the log-mel spectrogram of a waveform (n,), its colour scale beside it."""
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
    if not scale:
        return
    bar = axes.figure.colorbar(image, ax=axes, pad=0.015, aspect=14)
    bar.set_label("Level (dB re full scale)")
    bar.outline.set_visible(False)


def _draw_tags(axes: Axes, tags: Mapping[str, float]) -> None:
    highest = pd.Series(tags, dtype=float).nlargest(TAGS_SHOWN)[::-1]
    axes.barh(range(len(highest)), 1, color=PALE, height=0.22)
    axes.barh(range(len(highest)), highest, color=COLOURS[1], height=0.22)
    for place, (name, probability) in enumerate(highest.items()):
        label = textwrap.shorten(name, 30, placeholder=" …")
        axes.text(0, place + 0.22, label, fontsize=9)
        axes.text(1.02, place, f"{probability:.2f}", va="center", fontsize=9)
    axes.set(xlabel="Probability of the likeliest tags", xlim=(0, 1))
    axes.set(
        xticks=(0, 0.5, 1), yticks=[], ylim=(len(highest) - TAGS_SHOWN - 0.3, None)
    )
    axes.spines[:].set_visible(False)


@styled
def plot_training(log: pd.DataFrame, title: str | None = None) -> Figure:
    """Show a training log: losses in nats per token above, learning rate below.

    log : columns step, train_loss, validation_loss (NaN between validations),
        learning_rate
    """
    figure, (loss, rate) = plt.subplots(
        2, 1, figsize=(7.2, 4.6), sharex=True, height_ratios=(3, 1)
    )
    width = max(1, len(log) // 50)
    smooth = log.train_loss.rolling(width, min_periods=1).mean()
    loss.plot(log.step, log.train_loss, color=COLOURS[0], alpha=0.22, linewidth=0.7)
    loss.plot(log.step, smooth, label=f"training, mean of {width} steps")
    if (measured := log.dropna(subset="validation_loss")).size:
        loss.plot(measured.step, measured.validation_loss, ".-", label="validation")
        best = measured.loc[measured.validation_loss.idxmin()]
        loss.plot(best.step, best.validation_loss, "*", color=COLOURS[3], markersize=14)
        title = title or (
            f"Validation loss is lowest, {best.validation_loss:.3f}, "
            f"at step {best.step:,.0f}"
        )
    top = max(smooth.quantile(0.98), measured.validation_loss.max()) * 1.08
    loss.set(ylabel="Loss (nats per token)", title=title or "Training loss")
    loss.set_ylim(top=top)  # the first, untrained steps would flatten the rest
    rate.plot(log.step, log.learning_rate, color=COLOURS[5])
    rate.set(xlabel="Step", ylabel="Learning rate", ylim=(0, None))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (loss, rate):
        axes.grid(axis="y")
    loss.legend()
    return figure


@styled
def plot_similarity_histogram(
    similarities: Sequence[float], band: tuple[float, float]
) -> Figure:
    """Show how cosine similarities are spread, and the share inside `band`."""
    values, (low, high) = np.asarray(similarities, dtype=float), band
    share = ((values >= low) & (values <= high)).mean()
    figure, axes = plt.subplots(figsize=(7.2, 3.4))
    axes.axvspan(low, high, color=COLOURS[1], alpha=0.25, linewidth=0, zorder=0)
    axes.axvline(low, color=COLOURS[1], linewidth=0.8)
    axes.axvline(high, color=COLOURS[1], linewidth=0.8)
    axes.hist(values, bins=np.arange(-1, 1.02, 0.02), color=COLOURS[0], alpha=0.9)
    axes.set(
        xlabel="Cosine similarity",
        ylabel="Pairs of captions",
        xlim=(min(values.min(), low) - 0.03, 1.0),
        title=f"{share:.1%} of the similarities lie in [{low:g}, {high:g}]",
    )
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y")
    return figure


@styled
def plot_scores(scores: pd.DataFrame, title: str | None = None) -> Figure:
    """Show scores as grouped bars with their values: index systems, columns metrics."""
    systems, metrics = scores.shape
    width, crowded = 0.82 / systems, scores.size > 20
    figure, axes = plt.subplots(figsize=(10.0 if crowded else 8.0, 3.8))
    for number, (system, row) in enumerate(scores.iterrows()):
        places = np.arange(metrics) + (number - (systems - 1) / 2) * width
        bars = axes.bar(places, row.fillna(0), width * 0.92, label=system)
        values = ["–" if np.isnan(score) else f"{score:.3f}" for score in row]
        axes.bar_label(bars, values, padding=2, fontsize=8, rotation=90 * crowded)
    leads = scores.dropna(axis=1, how="all").idxmax().value_counts()
    axes.set_title(
        title or f"{leads.index[0]} leads on {leads.iloc[0]} of {metrics} metrics",
        pad=28,
    )
    axes.set(ylabel="Score (higher is better)", xlabel="Metric")
    axes.set_xticks(range(metrics), scores.columns)
    axes.tick_params(axis="x", length=0)
    axes.margins(y=0.12)
    axes.grid(axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=systems)
    return figure


@styled
def plot_counts(
    counts: Mapping[str, int], total: int, label: str, title: str
) -> Figure:
    """Show how many of `total` there are of each kind, with 95 % Wilson intervals."""
    names, share = list(counts)[::-1], np.array([*counts.values()])[::-1] / total
    figure, axes = plt.subplots(figsize=(7.2, 1.3 + 0.42 * len(names)))
    axes.barh(names, share, 0.6, color=COLOURS[0], alpha=0.85)
    spread = 1.96**2 / total
    centre = (share + spread / 2) / (1 + spread)
    reach = np.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    axes.errorbar(
        centre, names, xerr=reach, fmt="none", ecolor=INK, elinewidth=1, capsize=3
    )
    for place, number in enumerate(reversed(counts.values())):
        axes.text(1.03, place, f"{number} of {total}", va="center")
    axes.set(xlabel=f"{label} (lines: 95 % intervals)", title=title, xlim=(0, 1))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


@styled
def plot_effective_support(
    temperatures: np.ndarray, captions: np.ndarray, chosen: float
) -> Figure:
    """Show how many captions eq. 4 averages over, a line a recording.

    temperatures : (T,)     captions : (T, B)     chosen : the temperature in use
    """
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    middle = np.median(captions, axis=1)
    axes.loglog(temperatures, captions, color=COLOURS[0], alpha=0.25, linewidth=0.8)
    axes.loglog(temperatures, middle, color=COLOURS[0], label="median recording")
    axes.axvline(chosen, color=COLOURS[1], label=f"in use: tau = {chosen:g}")
    at_chosen = np.exp(np.interp(chosen, temperatures, np.log(middle)))
    axes.set(
        xlabel="Temperature tau",
        ylabel="Effective number of captions",
        title=f"At tau = {chosen:g} a caption rests on some {at_chosen:,.0f} others",
    )
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid()
    axes.legend()
    return figure
