"""Figures of the joint space: retrieval, the modality gap, similarities, projection."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from drcap.plots.style import (
    COLOURS,
    INK,
    PALE,
    PER_CENT,
    THOUSANDS,
    grouped_bars,
    headline,
    panels,
    styled,
)

MODALITIES = {COLOURS[0]: "audio", COLOURS[1]: "text"}
DIRECTIONS = {"audio_to_text": "Audio to text", "text_to_audio": "Text to audio"}
RECALLS = ("R@1", "R@5", "R@10")
COSINE_COLOURS = {
    "within audio": COLOURS[0],
    "within text": COLOURS[1],
    "unpaired": COLOURS[5],
    "paired": COLOURS[2],
}
LINES_SHOWN = 40  # between a clip and its caption; more would hide the points


@styled
def plot_cross_modal(
    scores: Mapping[str, Mapping[str, Mapping[str, float]]],
    chance: Mapping[str, Mapping[str, float]],
) -> Figure:
    """Show recall at 1, 5 and 10 in both directions, a bar a domain, with chance.

    scores : domain -> what `drcap.evaluation.retrieval_scores.retrieval_scores` returns
    chance : what `drcap.evaluation.retrieval_scores.chance` returns
    """
    figure, row = panels(2, 3.6, sharey=True)
    for axes, (direction, title) in zip(row, DIRECTIONS.items(), strict=True):
        values = {
            domain: [directions[direction][name] for name in RECALLS]
            for domain, directions in scores.items()
        }
        grouped_bars(axes, values, RECALLS, "{:.2f}".format)
        guessed, places = [chance[direction][name] for name in RECALLS], np.arange(3)
        line = {"color": INK, "linestyle": ":", "label": "chance"}
        axes.hlines(guessed, places - 0.45, places + 0.45, **line)
        axes.set(xlabel=title, ylim=(0, 1))
    row[0].set_ylabel("Share of queries")
    row[1].legend(loc="upper left")
    first_ten = ", ".join(
        f"{directions['audio_to_text']['R@10']:.1%} of {domain}"
        for domain, directions in scores.items()
    )
    return headline(figure, f"A right caption is among the first ten for {first_ten}")


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
            pairs = points.reshape(2, -1, 2).swapaxes(0, 1)  # (N, 2 ends, 2)
            shown = pairs[:: max(1, len(pairs) // LINES_SHOWN)]
            lines = {"colors": PALE, "linewidths": 0.7, "zorder": 0}
            axes.add_collection(LineCollection(shown, **lines))
            for end, (colour, label) in enumerate(MODALITIES.items()):
                style = {"s": 9, "alpha": 0.75, "lw": 0, "label": label}
                axes.scatter(*pairs[:, end].T, color=colour, **style)
            axes.set(xlabel=f"{name}, first axis", ylabel=f"{name}, second axis")
            axes.set(xticks=[], yticks=[], title=model if axes is row[0] else "")
    above = {"loc": "lower right", "bbox_to_anchor": (1.02, 0.99)}
    grid[0, -1].legend(**above, ncols=2, markerscale=1.6)
    return headline(figure, title)


@styled
def plot_cosines(cosines: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show how alike embeddings are, by kind of pair; a panel a model.

    cosines : model -> what `drcap.modality_gap.sampled_cosines` returns
    """
    figure, row = panels(len(cosines), 3.4, sharey=True)
    for axes, (model, kinds) in zip(row, cosines.items(), strict=True):
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
        axes.yaxis.set_major_formatter(PER_CENT)
        axes.grid(axis="y")
    row[0].set_ylabel("Share of pairs")
    row[-1].legend(loc="upper left")
    return figure


@styled
def plot_similarity_histogram(
    similarities: np.ndarray, band: tuple[float, float]
) -> Figure:
    """Show how cosine similarities are spread, and the share inside `band`."""
    values, (low, high) = np.asarray(similarities), band
    share = ((values >= low) & (values <= high)).mean()
    figure, axes = plt.subplots(figsize=(7.2, 3.4))
    axes.axvspan(low, high, color=COLOURS[1], alpha=0.25, linewidth=0, zorder=0)
    axes.hist(values, bins=np.arange(-1, 1.02, 0.02), color=COLOURS[0], alpha=0.9)
    axes.set(
        xlabel="Cosine similarity",
        ylabel="Pairs of captions",
        xlim=(min(values.min(), low) - 0.03, 1.0),
        title=f"{share:.1%} of the similarities lie in [{low:g}, {high:g}]",
    )
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.grid(axis="y")
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
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.grid()
    axes.legend()
    return figure
