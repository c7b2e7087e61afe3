"""Figures of the modality gap: two cones, in training, what makes it, a point moved."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from drcap.modality_gap import fixed_plane, gap_statistics
from drcap.plots.style import (
    COLOURS,
    INK,
    PALE,
    PER_CENT,
    THOUSANDS,
    headline,
    panels,
    styled,
)

MODALITIES = {"audio": COLOURS[0], "text": COLOURS[1]}
KINDS = {"paired": COLOURS[2], "unpaired": COLOURS[5]}
MEASURES = {
    "gap": "Distance of the centroids",
    "paired": "Mean cosine of pairs",
    "R@10": "R@10, audio to text",
}
LINES_SHOWN = 40  # between a clip and its caption; more would hide the points


@styled
def plot_cones(stages: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Show audio and text embeddings of the same pairs, stage by stage, in one plane.

    stages : name -> audio and text, (N, D) each; below each its histogram of cosines
    """
    width = 2.3 * len(stages)
    figure, grid = plt.subplots(
        2, len(stages), figsize=(width, 4.8), sharex="row", sharey="row"
    )
    points = iter(fixed_plane([rows for pair in stages.values() for rows in pair]))
    for (above, below), (name, pair) in zip(grid.T, stages.items(), strict=True):
        ends = [next(points), next(points)]
        joined = np.stack(ends, axis=1)[:: max(1, len(ends[0]) // LINES_SHOWN)]
        lines = {"colors": PALE, "linewidths": 0.7, "zorder": 0}
        above.add_collection(LineCollection(joined, **lines))
        for rows, (label, colour) in zip(ends, MODALITIES.items(), strict=True):
            above.scatter(*rows.T, s=8, alpha=0.75, lw=0, color=colour, label=label)
        gap = gap_statistics(*pair).distance
        above.set_title(f"{name}\ngap {gap:.2f}", fontsize=10)
        above.set(xticks=[], yticks=[], xlabel="First axis")
        cosines, own = pair[0] @ pair[1].T, np.eye(len(pair[0]), dtype=bool)
        found = {"paired": cosines[own], "unpaired": cosines[~own]}
        for kind, colour in KINDS.items():
            counts, edges = np.histogram(
                found[kind].clip(-1, 1), np.linspace(-1, 1, 41)
            )
            style = {"color": colour, "fill": True, "alpha": 0.5, "label": kind}
            below.stairs(counts / counts.sum(), edges, **style)
        below.set(xlabel="Cosine", xlim=(-0.7, 1))
        below.yaxis.set_major_formatter(PER_CENT)
    grid[0, 0].set_ylabel("Second axis")
    grid[1, 0].set_ylabel("Share of pairs")
    for axes in grid[:, 0]:
        axes.legend(fontsize=8, loc="upper right", markerscale=1.6, borderpad=0)
    return figure


@styled
def plot_gap_over_training(log: pd.DataFrame) -> Figure:
    """Show how MEASURES develop in CLAP training.

    log : columns step, gap, paired and recall_at_10, NaN where nothing was measured
    """
    measured = log.dropna(subset="gap").rename(columns={"recall_at_10": "R@10"})
    figure, row = panels(len(MEASURES), 3.0)
    for axes, (column, label) in zip(row, MEASURES.items(), strict=True):
        axes.plot(measured["step"], measured[column], ".-")
        lowest, highest = measured[column].agg(["min", "max"])
        axes.set(xlabel="Step", ylabel=label)
        axes.set_ylim(min(0, 1.1 * lowest), 1.1 * max(highest, 0.01))
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.grid(axis="y")
    recall, gap = (measured[name].iloc[[0, -1]] for name in ("R@10", "gap"))
    title = (
        "Training takes R@10 from {:.2f} to {:.2f} and the gap from {:.2f} to {:.2f}"
    )
    return headline(figure, title.format(*recall, *gap))


@styled
def plot_heads(trained: pd.DataFrame, title: str, used: pd.Series) -> Figure:
    """Show gap, cosine of pairs and R@10 over the temperature, a line a way to train.

    trained : columns heads (the name of a line), temperature and MEASURES
    used : temperature and MEASURES of the model in use, drawn as a star
    """
    figure, row = panels(len(MEASURES), 4.0)
    for axes, (column, label) in zip(row, MEASURES.items(), strict=True):
        lines = trained.groupby("heads", sort=False)
        for mark, (name, line) in zip("os^Dv", lines, strict=False):
            axes.plot(line["temperature"], line[column], mark + "-", label=name)
        star = {"color": INK, "markersize": 13, "label": "the CLAP in use"}
        axes.plot(used["temperature"], used[column], "*", **star)
        top = 1.1 * max(trained[column].max(), used[column])
        axes.set(xscale="log", xlabel="Temperature", ylabel=label, ylim=(0, top))
        axes.grid()
    named = row[0].get_legend_handles_labels()
    figure.legend(*named, loc="outside lower center", ncols=3, fontsize=9)
    return headline(figure, title)


@styled
def plot_conditions(scores: pd.DataFrame, title: str) -> Figure:
    """Show CIDEr-D of each condition with its 95 % interval over clips.

    scores : columns condition, cider_d, low and high, per cent
    """
    figure, axes = plt.subplots(figsize=(8.4, 1.3 + 0.36 * len(scores)))
    places = np.arange(len(scores))[::-1]
    axes.hlines(places, scores["low"], scores["high"], color=COLOURS[0])
    axes.plot(scores["cider_d"], places, "o", color=COLOURS[0])
    axes.axvline(scores["cider_d"].iloc[0], color=PALE, zorder=0)
    axes.set(xlabel="CIDEr-D (per cent, lines: 95 % intervals)", xlim=(0, None))
    axes.set_yticks(places, scores["condition"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return headline(figure, title)


@styled
def plot_point(
    clouds: Mapping[str, np.ndarray], marked: Mapping[str, np.ndarray], title: str
) -> Figure:
    """Show some points among all audio and text embeddings, in the plane of the latter.

    clouds : "audio" and "text" -> (N, D)     marked : label -> (M, D)
    """
    figure, axes = plt.subplots(figsize=(8.4, 4.2))
    points = fixed_plane([*clouds.values(), *marked.values()], len(clouds))
    for name, place in zip(clouds, points, strict=False):
        style = {"s": 9, "lw": 0, "alpha": 0.4, "color": MODALITIES[name]}
        axes.scatter(*place.T, label=name, **style)
    styles = zip(COLOURS[2:], "DXP*", strict=False)
    for name, place, (colour, mark) in zip(
        marked, points[len(clouds) :], styles, strict=False
    ):
        style = {"s": 110, "color": colour, "marker": mark, "edgecolor": "white"}
        axes.scatter(*place.T, label=name, **style)
    axes.set(xticks=[], yticks=[], xlabel="First axis", ylabel="Second axis")
    axes.legend(fontsize=9, bbox_to_anchor=(1, 1), loc="upper left")
    return headline(figure, title)
