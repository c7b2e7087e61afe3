"""Figures of the CLAP model: its input, training, retrieval and modality gap."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from drcap.plots.captioning import SPECTROGRAM_COLOURS, draw_spectrogram
from drcap.plots.style import COLOURS, INK, PALE, headline, styled

AUDIO, TEXT = COLOURS[:2]  # colours of the two modalities
DIRECTIONS = {
    "audio_to_text": "audio to text",
    "text_to_audio": "text to audio",
}
RECALLS = ("R@1", "R@5", "R@10")
COSINE_COLOURS = dict(
    zip(
        ("within audio", "within text", "unpaired", "paired"),
        (AUDIO, TEXT, COLOURS[5], COLOURS[2]),
        strict=True,
    )
)
LINES_SHOWN = 40  # between a clip and its caption; more would hide the points


@styled
def plot_encoder_input(
    log_mel: np.ndarray, square: np.ndarray, patch_size: int, seconds: float
) -> Figure:
    """Show a log-mel spectrogram and the square of patches that HTS-AT makes of it.

    log_mel : (frames, mels), dB     square : (side, side), as the encoder folds it
    patch_size : side of a patch     seconds : duration of the spectrogram
    """
    figure, (mel, folded) = plt.subplots(
        1, 2, figsize=(9.2, 3.6), width_ratios=(1.7, 1)
    )
    colours = plt.get_cmap("magma", SPECTROGRAM_COLOURS)
    edges = (0, seconds, 0, log_mel.shape[1])
    picture = {"origin": "lower", "aspect": "auto", "cmap": colours}
    mel.imshow(log_mel.T, extent=edges, **picture)
    mel.set(xlabel="Time (s)", ylabel="Mel band")
    folded.imshow(square, **picture | {"aspect": "equal"})
    side = len(square)
    for place in np.arange(0, side + 1, patch_size) - 0.5:
        folded.axhline(place, color="white", linewidth=0.25, alpha=0.6)
        folded.axvline(place, color="white", linewidth=0.25, alpha=0.6)
    folded.set(xlabel="Frame, within a piece of time", ylabel="Mel band of each piece")
    pieces, patches = side // log_mel.shape[1], (side // patch_size) ** 2
    mel.set_title(
        f"{seconds:g} s become {pieces} pieces of {side} frames, in {patches:,} patches"
    )
    return figure


@styled
def plot_clap_training(log: pd.DataFrame) -> Figure:
    """Show a CLAP training log: losses, the recall on validation and learning rate.

    log : columns step, loss, learning_rate and, NaN within epochs, validation_loss and
        recall_at_10
    """
    figure, (loss, recall, rate) = plt.subplots(
        3, 1, figsize=(7.2, 5.6), sharex=True, height_ratios=(3, 2, 1)
    )
    steps = log.dropna(subset="loss")
    width = max(1, len(steps) // 50)
    smooth = steps.loss.rolling(width, min_periods=1).mean()
    loss.plot(steps.step, steps.loss, color=COLOURS[0], alpha=0.22, linewidth=0.7)
    loss.plot(steps.step, smooth, label=f"training, mean of {width} steps")
    measured = log.dropna(subset="recall_at_10")
    loss.plot(measured.step, measured.validation_loss, ".-", label="validation")
    recall.plot(measured.step, measured.recall_at_10, ".-", color=COLOURS[2])
    rate.plot(steps.step, steps.learning_rate, color=COLOURS[5])
    first, last = measured.recall_at_10.iloc[[0, -1]]
    loss.set_title(f"R@10 on validation clips goes from {first:.2f} to {last:.2f}")
    loss.set(ylabel="Contrastive loss (nats)")
    recall.set(ylabel="R@10, audio to text", ylim=(0, 1))
    rate.set(xlabel="Step", ylabel="Learning rate", ylim=(0, None))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for axes in (loss, recall, rate):
        axes.grid(axis="y")
    loss.legend()
    return figure


@styled
def plot_cross_modal(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    chance: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Show recall at 1, 5 and 10 in both directions, a bar a domain, with chance.

    scores : domain -> what `drcap.evaluation.cross_modal.retrieval_scores` returns
    chance : what `drcap.evaluation.cross_modal.chance` returns
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True)
    width = 0.8 / len(scores)
    for axes, (direction, title) in zip(panels, DIRECTIONS.items(), strict=True):
        for number, (domain, found) in enumerate(scores.items()):
            places = np.arange(len(RECALLS)) + (number - (len(scores) - 1) / 2) * width
            values = [found[direction][name] for name in RECALLS]
            bars = axes.bar(places, values, width * 0.92, label=domain)
            axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=2)
        for place, name in enumerate(RECALLS):
            axes.hlines(
                chance[direction][name],
                *(place - 0.45, place + 0.45),
                color=INK,
                linestyle=":",
                label="chance" if place == 0 else None,
            )
        axes.set_xticks(range(len(RECALLS)), RECALLS)
        axes.tick_params(axis="x", length=0)
        axes.set(xlabel=title.capitalize(), ylim=(0, 1))
        axes.grid(axis="y")
    panels[0].set_ylabel("Share of queries")
    panels[1].legend(loc="upper left")
    found = ", ".join(
        f"{each['audio_to_text']['R@10']:.1%} of {domain}"
        for domain, each in scores.items()
    )
    headline(figure, f"A right caption is among the first ten for {found}")
    return figure


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
        draw_spectrogram(mel, waveform, sr, scale=False)
        lines = [textwrap.fill(line, 58) for line in text.splitlines()]
        beside.text(0, 0.95, "\n".join(lines), va="top", fontsize=9)
        beside.set_axis_off()
    for mel in rows[:-1, 0]:
        mel.set_xlabel("")
    headline(figure, title)
    return figure


@styled
def plot_modality_gap(
    planes: Mapping[str, Mapping[str, np.ndarray]], title: str
) -> Figure:
    """Show paired embeddings in planes: a row a model, a column a projection.

    planes : model -> projection -> points (2N, 2), N clips and then their N captions
    """
    columns = len(next(iter(planes.values())))
    figure, grid = plt.subplots(
        len(planes), columns, figsize=(8.4, 3.9 * len(planes)), squeeze=False
    )
    for row, (model, projections) in zip(grid, planes.items(), strict=True):
        for axes, (name, points) in zip(row, projections.items(), strict=True):
            _draw_pairs(axes, *np.split(points, 2))
            axes.set(xlabel=f"{name}, first axis", ylabel=f"{name}, second axis")
            axes.set(xticks=[], yticks=[], title=model if axes is row[0] else "")
    above = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.99)}
    grid[0, -1].legend(**above, ncols=2, markerscale=1.6)
    headline(figure, title)
    return figure


def _draw_pairs(axes: Axes, audio: np.ndarray, text: np.ndarray) -> None:
    pairs = np.stack([audio, text], axis=1)  # (N, 2 ends, 2)
    shown = pairs[:: max(1, len(pairs) // LINES_SHOWN)]
    axes.add_collection(LineCollection(shown, colors=PALE, linewidths=0.7, zorder=0))
    for points, colour, label in ((audio, AUDIO, "audio"), (text, TEXT, "text")):
        axes.scatter(*points.T, s=9, color=colour, alpha=0.75, lw=0, label=label)


@styled
def plot_cosines(cosines: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show how alike embeddings are, by kind of pair; a panel a model.

    cosines : model -> what `drcap.modality_gap.sampled_cosines` returns
    """
    figure, panels = plt.subplots(
        1, len(cosines), figsize=(9.2, 3.4), sharey=True, squeeze=False
    )
    for axes, (model, kinds) in zip(panels[0], cosines.items(), strict=True):
        for kind, colour in COSINE_COLOURS.items():
            inside = np.clip(kinds[kind], -1, 1)  # rounding goes a little beyond
            counts, edges = np.histogram(inside, np.linspace(-1, 1, 41))
            share = counts / counts.sum()
            axes.stairs(share, edges, color=colour, fill=True, alpha=0.22)
            axes.stairs(share, edges, color=colour, linewidth=1.4, label=kind)
        own, others = kinds["paired"].mean(), kinds["within audio"].mean()
        nearer = "nearer to its caption" if own > others else "nearer to other clips"
        axes.set_title(f"{model}: a clip is\n{nearer} ({own:.2f} against {others:.2f})")
        axes.set(xlabel="Cosine similarity", xlim=(-0.8, 1))
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(axis="y")
    panels[0, 0].set_ylabel("Share of pairs")
    panels[0, -1].legend(loc="upper left")
    return figure


@styled
def plot_gap_over_training(log: pd.DataFrame) -> Figure:
    """Show how gap, cosine of pairs and recall develop in CLAP training.

    log : columns step, gap, paired and recall_at_10, NaN where nothing was measured
    """
    measured = log.dropna(subset="gap")
    figure, panels = plt.subplots(1, 3, figsize=(9.2, 3.0))
    shown = {
        "gap": ("Distance of the centroids", COLOURS[3], None),
        "paired": ("Mean cosine of pairs", COLOURS[2], None),
        "recall_at_10": ("R@10, audio to text", COLOURS[0], 1),
    }
    for axes, (column, (label, colour, top)) in zip(panels, shown.items(), strict=True):
        axes.plot(measured.step, measured[column], ".-", color=colour)
        axes.set(xlabel="Step", ylabel=label)
        lowest, highest = measured[column].min(), measured[column].max()
        axes.set_ylim(min(0, 1.1 * lowest), top or 1.1 * max(highest, 0.01))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y")
    first, last = measured.iloc[0], measured.iloc[-1]
    headline(
        figure,
        f"Training takes R@10 from {first.recall_at_10:.2f} to "
        f"{last.recall_at_10:.2f} and the gap from {first.gap:.2f} to {last.gap:.2f}",
    )
    return figure
