"""Figures of results: scores, differences beside the paper's, sweeps, datastores.

Lines through a point are 95 % intervals over clips; the paper's numbers have none.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from drcap.evaluation.bootstrap import interval
from drcap.plots.style import (
    COLOURS,
    INK,
    LEGEND_ABOVE,
    OURS,
    PALE,
    PAPERS,
    PER_CENT,
    THOUSANDS,
    grouped_bars,
    headline,
    panels,
    styled,
)

SWEPT = {"cider_d": "CIDEr-D (per cent)", "copied": "Captions copied from the prompt"}
INDEXES = ("exact", "ivf", "hnsw")
JOBS = {
    "build on disk": ("build", "seconds"),
    "index: ivf": ("search, ivf", "index_seconds"),
    "index: hnsw": ("search, hnsw", "index_seconds"),
    "select": ("select", "seconds"),
    "project": ("project", "seconds"),
}
MEMORY_LIMIT = 4.0  # GB that any job may have resident


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
    axes.xaxis.set_major_formatter(PER_CENT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return figure


@styled
def plot_counts_in_range(
    counts: Mapping[str, np.ndarray], wanted: int, title: str
) -> Figure:
    """Show how many captions are there to draw from, a group of bars a range.

    counts : name of a range -> number of captions inside it, of each query
    wanted : how many are to be drawn; as many or more count as one kind
    """
    figure, axes = plt.subplots(figsize=(7.8, 3.8))
    shares = {
        name: np.bincount(np.minimum(inside, wanted), minlength=wanted + 1)
        / len(inside)
        for name, inside in counts.items()
    }
    kinds = [*map(str, range(wanted)), f"{wanted} or more"]
    grouped_bars(axes, shares, kinds, "{:.0%}".format, fontsize=8)
    axes.set(xlabel="Captions inside the range", ylabel="Share of training captions")
    axes.yaxis.set_major_formatter(PER_CENT)
    axes.margins(y=0.12)
    axes.legend(fontsize=8)
    return headline(figure, title)


@styled
def plot_differences(frame: pd.DataFrame, label: str, title: str) -> Figure:
    """Show differences of two systems with their intervals, and the paper's beside.

    frame : columns group, metric, difference, low, high, paper_difference, in points
        of per cent, NaN where there is none; a panel a group
    """
    groups = list(frame.groupby("group", sort=False))
    tall = 1.5 + 0.42 * max(len(lines) for _, lines in groups)
    same = len({tuple(lines["metric"]) for _, lines in groups}) == 1
    figure, row = panels(len(groups), tall, sharex=True, sharey=same)
    for axes, (name, lines) in zip(row, groups, strict=True):
        places = np.arange(len(lines))[::-1]
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.hlines(places, lines["low"], lines["high"], color=COLOURS[0])
        axes.plot(lines["difference"], places, label="ours", **OURS)
        paper = {"label": "the paper's", "markersize": 7}
        axes.plot(lines["paper_difference"], places, **paper, **PAPERS)
        axes.set_yticks(places, [textwrap.fill(text, 21) for text in lines["metric"]])
        axes.set(xlabel=label, ylim=(-0.6, len(lines) - 0.4))
        axes.set_title(name, fontsize=10)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    row[-1].legend(loc="best", fontsize=9)
    return headline(figure, title)


@styled
def plot_systems(
    frame: pd.DataFrame, metrics: Sequence[str], title: str, own: str = "DRCap"
) -> Figure:
    """Show the scores of every system: a column a pair of domains, a row a metric.

    frame : what `drcap.experiments.tables.beside_paper` returns, of a table or several
    metrics : some of its metrics        own : the system whose row stands out

    A system has its row in every panel, also where it was not run.
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
            axes.hlines(places, lines["low"], lines["high"], color=COLOURS[0])
            axes.plot(lines["ours"], places, **OURS)
            axes.plot(lines["paper"], places, markersize=6, **PAPERS)
            axes.set_yticks(np.arange(len(systems)), systems)
            axes.set(xlim=(0, None), ylim=(-0.6, len(systems) - 0.4))
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
            place = systems.index(own)
            axes.axhspan(place - 0.5, place + 0.5, color=PALE, alpha=0.5, zorder=0)
            label = f"{metric} (per cent)"
            axes.set_xlabel(textwrap.fill(label, 30, break_on_hyphens=False))
    in_paper = frame["paper"].notna().any()
    for axes, ((ours_on, paper_on), _) in zip(grid[0], blocks, strict=True):
        paper = f"\nthe paper: {paper_on}" if in_paper else ""
        axes.set_title(ours_on + paper, fontsize=10)
    if in_paper:
        marks = {"ours": OURS, "the paper's": PAPERS}
        handles = [Line2D([], [], label=name, **mark) for name, mark in marks.items()]
        figure.legend(handles=handles, loc="upper right", ncols=2, borderpad=0)
    return headline(figure, title)


@styled
def plot_sweep(
    sweeps: Mapping[str, pd.DataFrame], label: str, title: str, clips: int
) -> Figure:
    """Show CIDEr-D and the share of copies over one setting, a line a captioner.

    sweeps : captioner -> what `drcap.experiments.sweeps.sweep` returns
    label : what the variants are settings of        clips : how many were captioned
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
    similarities: Sequence[float], gains: Sequence[float], label: str, bins: int = 5
) -> Figure:
    """Show what a clip gains over the similarity of its first retrieved caption.

    similarities, gains : one each a clip        label : what is gained, with its unit
    bins : of as many clips each; their means have intervals
    """
    table = pd.DataFrame({"similarity": similarities, "gain": gains})
    table = table.sort_values("similarity", kind="stable")
    parts = np.array_split(np.arange(len(table)), min(bins, len(table)))
    figure, axes = plt.subplots(figsize=(7.4, 4.0))
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.scatter(table["similarity"], table["gain"], s=9, color=COLOURS[5], alpha=0.6)
    means = [interval(table["gain"].to_numpy()[part]) for part in parts]
    places = [table["similarity"].to_numpy()[part].mean() for part in parts]
    low, high = ([getattr(mean, side) for mean in means] for side in ("low", "high"))
    axes.vlines(places, low, high, color=COLOURS[0], linewidth=2)
    legend = f"means of {len(parts)} parts of the clips"
    middle = [mean.mean for mean in means]
    axes.plot(places, middle, "o-", color=COLOURS[0], label=legend)
    spread = table["gain"].abs().quantile(0.97)
    reach = 1.1 * max(spread, *np.abs(low), *np.abs(high), 1e-3)
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
    left, names = np.zeros(len(shares)), list(shares.index)[::-1]
    for origin, colour in zip(shares.columns, COLOURS, strict=False):
        part = shares[origin].to_numpy()[::-1]
        bars = axes.barh(names, part, 0.62, left=left, color=colour, label=origin)
        texts = [f"{share:.0%}" if share >= 0.06 else "" for share in part]
        axes.bar_label(bars, texts, label_type="center", color="white", fontsize=9)
        left = left + part
    axes.set(xlim=(0, 1), xlabel="Share of captions")
    axes.xaxis.set_major_formatter(PER_CENT)
    axes.tick_params(axis="y", length=0)
    axes.legend(**LEGEND_ABOVE, ncols=len(shares.columns), fontsize=9)
    return headline(figure, title)


@styled
def plot_scale(results: Sequence[dict]) -> Figure:
    """Show seconds a job, milliseconds a query and peak memory over the captions.

    results : one of each size, as `benchmarks/scale.py` writes them to result.json
    """
    figure, (jobs, search, memory) = plt.subplots(1, 3, figsize=(11.6, 3.9))
    for label, (job, name) in JOBS.items():
        _draw_sizes(jobs, results, label, [size[job][name] for size in results])
    for index in INDEXES:
        spent = [size[f"search, {index}"]["milliseconds"] for size in results]
        _draw_sizes(search, results, index, spent)
    for name in ("resident", "allocated"):
        largest = [
            max(
                job[name]
                for job in size.values()
                if isinstance(job, dict) and name in job
            )
            for size in results
        ]
        _draw_sizes(memory, results, name, np.array(largest) / 1e9)
    limit = {"color": INK, "linewidth": 0.8, "linestyle": "--", "label": "the limit"}
    memory.axhline(MEMORY_LIMIT, **limit)
    memory.legend(fontsize=8, loc="center left")
    jobs.set(ylabel="Time of a job (s)")
    search.set(ylabel="Time of a query, of 64 at once (ms)")
    memory.set(ylabel="Peak memory of the largest job (GB)", yscale="linear", ylim=0)
    return headline(figure, "What a datastore takes as it grows")


def _largest(size: dict, name: str) -> float:
    """Return the most memory that any job of a size had, in GB."""
    jobs = (job for job in size.values() if isinstance(job, dict) and name in job)
    return max(job[name] for job in jobs) / 1e9


def _draw_sizes(
    axes: Axes, results: Sequence[dict], label: str, values: Sequence[float]
) -> None:
    sizes = [size["captions"] for size in results]
    axes.plot(sizes, values, "o-", markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="Captions (N)")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params("x", rotation=30)
    axes.grid(True, which="major")
    axes.legend(fontsize=8)
