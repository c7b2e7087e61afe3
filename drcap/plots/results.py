"""Figures of results: scores, differences beside the paper's, sweeps, flows.

Lines through a point are 95 % intervals over clips; the paper's numbers have none.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from scipy.stats import binomtest

from drcap.evaluation.bootstrap import interval
from drcap.evaluation.tables import TITLES
from drcap.plots.style import (
    COLOURS,
    INK,
    LEGEND_ABOVE,
    PALE,
    PER_CENT,
    headline,
    panels,
    styled,
)

PARTS = 5  # of the clips, whose mean gains are shown with their intervals
SWEPT = {"cider_d": "CIDEr-D (per cent)", "copied": "Captions copied from the prompt"}


@styled
def plot_counts(
    counts: Mapping[str, int], total: int, label: str, title: str
) -> Figure:
    """Show how many of `total` there are of each kind, with 95 % Wilson intervals."""
    rows = pd.Series(counts)[::-1]
    figure, axes = plt.subplots(figsize=(7.2, 1.3 + 0.42 * len(rows)))
    axes.barh(rows.index, rows / total, 0.6, color=COLOURS[0], alpha=0.85)
    bounds = [binomtest(n, total).proportion_ci(method="wilson") for n in rows]
    axes.hlines(rows.index, *zip(*bounds, strict=True), color=INK, linewidth=1)
    for place, number in enumerate(rows):
        axes.text(1.03, place, f"{number} of {total}", va="center")
    axes.set(xlabel=f"{label} (lines: 95 % intervals)", title=title, xlim=(0, 1))
    axes.xaxis.set_major_formatter(PER_CENT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


@styled
def plot_counts_in_range(
    counts: Mapping[str, np.ndarray], wanted: int, title: str
) -> Figure:
    """Show how many captions are there to draw from, a group of bars a range.

    counts : name of a range -> captions inside it, of each query      wanted : so many
    """
    figure, axes = plt.subplots(figsize=(7.8, 3.8))
    edges = np.arange(wanted + 2)
    shares = {
        name: np.histogram(np.minimum(inside, wanted), edges)[0] / len(inside)
        for name, inside in counts.items()
    }
    kinds = [*map(str, range(wanted)), f"{wanted} or more"]
    pd.DataFrame(shares, index=kinds).plot.bar(ax=axes, rot=0, width=0.8)
    for bars in axes.containers:
        axes.bar_label(bars, fmt="{:.0%}", padding=2, fontsize=8)
    axes.grid(axis="y")
    axes.set(xlabel="Captions inside the range", ylabel="Share of training captions")
    axes.yaxis.set_major_formatter(PER_CENT)
    axes.margins(y=0.12)
    axes.legend(fontsize=8)
    return headline(figure, title)


@styled
def plot_differences(frame: pd.DataFrame, label: str, title: str) -> Figure:
    """Show differences of two systems with their intervals, and the paper's beside.

    frame : what `drcap.experiments.effects.effects` returns; a panel a group
    """
    groups = list(frame.groupby("group", sort=False))
    tall = 1.5 + 0.42 * max(len(lines) for _, lines in groups)
    same = len({tuple(lines["metric"]) for _, lines in groups}) == 1
    figure, row = panels(len(groups), tall, sharex=True, sharey=same)
    for axes, (name, lines) in zip(row, groups, strict=True):
        places = np.arange(len(lines))[::-1]
        axes.axvline(0, color=INK, linewidth=0.8)
        _draw_rows(axes, places, lines, "difference", "paper_difference")
        axes.set_yticks(places, [textwrap.fill(text, 21) for text in lines["metric"]])
        axes.set(xlabel=label, ylim=(-0.6, len(lines) - 0.4))
        axes.set_title(name, fontsize=10)
    row[-1].legend(loc="best", fontsize=9)
    return headline(figure, title)


@styled
def plot_systems(frame: pd.DataFrame, metrics: Sequence[str], title: str) -> Figure:
    """Show the scores of every system: a column a pair of domains, a row a metric.

    frame : what `drcap.experiments.tables.result_table` returns, of a table or several

    A system has its row in every panel, also where it was not run; DRCap's stands out.
    """
    systems = list(frame["system"].unique())[::-1]  # from the bottom up
    blocks = list(frame.groupby(["ours_on", "paper_on"], sort=False))
    figure, grid = plt.subplots(
        len(metrics),
        len(blocks),
        figsize=(11.6, 0.9 + len(metrics) * (0.7 + 0.25 * len(systems))),
        sharey=True,
        squeeze=False,
    )
    for row, metric in zip(grid, metrics, strict=True):
        for axes, (_, block) in zip(row, blocks, strict=True):
            lines = block[block["metric"] == metric]
            places = [systems.index(name) for name in lines["system"]]
            _draw_rows(axes, places, lines, "ours", "paper")
            axes.set_yticks(np.arange(len(systems)), systems)
            axes.set(xlim=(0, None), ylim=(-0.6, len(systems) - 0.4))
            place = systems.index("DRCap")
            axes.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.5, zorder=0)
            label = f"{TITLES.get(metric, metric)} (per cent)"
            axes.set_xlabel(textwrap.fill(label, 30, break_on_hyphens=False))
    in_paper = frame["paper"].notna().any()
    for axes, ((ours_on, paper_on), _) in zip(grid[0], blocks, strict=True):
        paper = f"\nthe paper: {paper_on}" if in_paper else ""
        axes.set_title(ours_on + paper, fontsize=10)
    if in_paper:
        handles = grid[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="upper right", ncols=2, borderpad=0)
    return headline(figure, title)


def _draw_rows(
    axes: Axes, places: Sequence[int], lines: pd.DataFrame, ours: str, paper: str
) -> None:
    """Draw a row a line: our number with its interval low to high, and the paper's."""
    axes.hlines(places, lines["low"], lines["high"], color=COLOURS[0])
    style = {"marker": "o", "color": COLOURS[0], "linestyle": "none"}
    axes.plot(lines[ours], places, label="ours", **style)
    style |= {"marker": "D", "color": COLOURS[1], "markerfacecolor": "none"}
    axes.plot(lines[paper], places, label="the paper's", **style)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


@styled
def plot_sweep(
    sweeps: Mapping[str, pd.DataFrame], label: str, title: str, clips: int
) -> Figure:
    """Show CIDEr-D and the share of copies over one setting, a line a captioner.

    sweeps : captioner -> what `drcap.experiments.analysis.sweep` returns
    """
    figure, (scores, copies) = panels(2, 3.6)
    for axes, (column, name) in zip((scores, copies), SWEPT.items(), strict=True):
        for number, (captioner, table) in enumerate(sweeps.items()):
            mark = "os^D"[number % 4] + "-"
            axes.plot(table["variant"], table[column], mark, label=captioner)
        highest = max(table[column].max() for table in sweeps.values())
        axes.set(xlabel=label, ylabel=name, ylim=(0, 1.1 * highest or 1))
        axes.margins(x=0.12)
        axes.grid(axis="y")
    scores.set_title(f"{clips} validation clips", fontsize=10)
    copies.set_ylim(0, 1)
    copies.yaxis.set_major_formatter(PER_CENT)
    if len(sweeps) > 1:
        copies.legend(**LEGEND_ABOVE, ncols=len(sweeps))
    return headline(figure, title)


@styled
def plot_gain(
    similarities: Sequence[float], gains: Sequence[float], label: str
) -> Figure:
    """Show what each clip gains over the similarity of its first retrieved caption."""
    table = pd.DataFrame({"similarity": similarities, "gain": gains})
    table = table.sort_values("similarity", kind="stable")
    parts = np.array_split(np.arange(len(table)), min(PARTS, len(table)))
    figure, axes = plt.subplots(figsize=(7.4, 4.0))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.scatter(table["similarity"], table["gain"], s=9, color=COLOURS[5], alpha=0.6)
    places = [table["similarity"].iloc[part].mean() for part in parts]
    means = pd.DataFrame(interval(table["gain"].iloc[part]) for part in parts)
    means = means[["mean", "low", "high"]]
    axes.vlines(places, means["low"], means["high"], color=COLOURS[0], linewidth=2)
    legend = f"means of {len(parts)} parts of the clips"
    axes.plot(places, means["mean"], "o-", color=COLOURS[0], label=legend)
    spread = table["gain"].abs().quantile(0.97)
    reach = 1.1 * max(spread, means.abs().max(axis=None), 1e-3)
    outside = int((table["gain"].abs() > reach).sum())
    axes.set(ylim=(-reach, reach), ylabel=label)
    axes.set_xlabel(
        "Similarity of the first retrieved caption (cosine)"
        + (f"; {outside} clips lie outside the picture" if outside else "")
    )
    rank = table["similarity"].corr(table["gain"], method="spearman")
    related = f"{rank:.2f}" if np.isfinite(rank) else "not defined"
    axes.set_title(f"Rank correlation of the gain with the similarity: {related}")
    axes.grid(axis="y")
    axes.legend()
    return figure


@styled
def plot_origins(shares: pd.DataFrame, title: str) -> Figure:
    """Show from which corpora captions are: a bar a row, parts that add up to one."""
    figure, axes = plt.subplots(figsize=(8.4, 1.5 + 0.5 * len(shares)))
    shares[::-1].plot.barh(ax=axes, stacked=True, width=0.62)
    for bars in axes.containers:
        texts = [f"{share:.0%}" if share >= 0.06 else "" for share in bars.datavalues]
        axes.bar_label(bars, texts, label_type="center", color="white", fontsize=9)
    axes.set(xlim=(0, 1), xlabel="Share of captions")
    axes.xaxis.set_major_formatter(PER_CENT)
    axes.tick_params(axis="y", length=0)
    axes.legend(**LEGEND_ABOVE, ncols=len(shares.columns), fontsize=9)
    return headline(figure, title)


@styled
def plot_flows(flows: Mapping[str, Sequence[str]], title: str) -> Figure:
    """Draw boxes joined by arrows, a row a flow: what goes into a language model.

    flows : name of a row -> texts of its boxes; one that ends with "*" is coloured, as
        what is trained
    """
    longest = max(len(boxes) for boxes in flows.values())
    figure, axes = plt.subplots(figsize=(9.2, 0.5 + 0.95 * len(flows)))
    shape = {"boxstyle": "round,pad=0.0,rounding_size=0.06", "edgecolor": "none"}
    for row, (name, boxes) in enumerate(flows.items()):
        axes.text(-0.12, -row, name, ha="right", va="center", fontweight="bold")
        for column, text in enumerate(boxes):
            fill, ink = (COLOURS[0], "white") if text.endswith("*") else (PALE, INK)
            corner = column, -row - 0.32
            axes.add_patch(FancyBboxPatch(corner, 0.8, 0.64, facecolor=fill, **shape))
            centred = {"ha": "center", "va": "center", "fontsize": 8}
            axes.text(column + 0.4, -row, text.removesuffix("*"), color=ink, **centred)
            if column:
                arrow = {"arrowstyle": "->", "color": INK}
                ends = (column - 0.02, -row), (column - 0.18, -row)
                axes.annotate("", *ends, arrowprops=arrow)
    axes.set(xlim=(-0.65, longest), ylim=(0.55 - len(flows), 0.5))
    axes.set_axis_off()
    return headline(figure, title)
