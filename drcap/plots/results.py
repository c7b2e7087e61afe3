"""Figures of the results: differences beside the paper's, losses, sweeps, retrieval.

Lines through a point are 95 % intervals over clips; the paper's numbers have none.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from drcap.evaluation.bootstrap import interval
from drcap.plots.style import COLOURS, INK, OURS, PAPERS, headline, styled

CURVES = ("train_loss", "validation_loss")
SWEPT = {"cider_d": "CIDEr-D (per cent)", "copied": "Captions copied from the prompt"}
LEGEND_ABOVE = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderpad": 0}


@styled
def plot_differences(frame: pd.DataFrame, label: str, title: str) -> Figure:
    """Show differences of two systems with their intervals, and the paper's beside.

    frame : columns group, metric, difference, low, high, paper_difference, in points
        of per cent, NaN where there is none; a panel a group
    """
    groups = list(frame.groupby("group", sort=False))
    tall = 1.5 + 0.42 * max(len(lines) for _, lines in groups)
    same = all(
        list(lines["metric"]) == list(groups[0][1]["metric"]) for _, lines in groups
    )
    figure, panels = plt.subplots(
        1, len(groups), figsize=(9.2, tall), sharex=True, sharey=same, squeeze=False
    )
    for axes, (name, lines) in zip(panels[0], groups, strict=True):
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
    panels[0, -1].legend(loc="best", fontsize=9)
    headline(figure, title)
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
    width = 0.82 / len(counts)
    kinds = [*map(str, range(wanted)), f"{wanted} or more"]
    for number, (name, found) in enumerate(counts.items()):
        kept = np.minimum(found, wanted)
        share = np.bincount(kept, minlength=wanted + 1) / len(kept)
        places = np.arange(wanted + 1) + (number - (len(counts) - 1) / 2) * width
        bars = axes.bar(places, share, width * 0.92, label=name)
        axes.bar_label(bars, [f"{part:.0%}" for part in share], padding=2, fontsize=8)
    axes.set_xticks(range(wanted + 1), kinds)
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel="Captions inside the range", ylabel="Share of training captions")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.margins(y=0.12)
    axes.grid(axis="y")
    axes.legend(fontsize=8)
    headline(figure, title)
    return figure


@styled
def plot_losses(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Show training against validation loss, a panel a run, on one scale.

    logs : run -> its log, with columns step, train_loss and validation_loss (NaN
        between validations)
    """
    figure, panels = plt.subplots(
        1, len(logs), figsize=(9.2, 3.6), sharey=True, squeeze=False
    )
    gaps = []
    for axes, (name, log) in zip(panels[0], logs.items(), strict=True):
        smooth = log["train_loss"].rolling(max(1, len(log) // 20), min_periods=1).mean()
        measured = log.dropna(subset="validation_loss")
        axes.plot(log["step"], smooth, label="training, running mean")
        axes.plot(
            measured["step"], measured["validation_loss"], ".-", label="validation"
        )
        gap = measured["validation_loss"].iloc[-1] - smooth.iloc[-1]
        gaps.append(f"{gap:.2f} ({name})")
        axes.set(xlabel="Step", title=name)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y")
    panels[0, 0].set_ylabel("Loss (nats per token)")
    panels[0, -1].legend()
    headline(figure, f"Validation loss less training loss: {', '.join(gaps)}")
    return figure


@styled
def plot_sweep(
    sweeps: Mapping[str, pd.DataFrame], label: str, title: str, clips: int
) -> Figure:
    """Show CIDEr-D and the share of copies over one setting, a line a captioner.

    sweeps : captioner -> what `drcap.experiments.sweeps.sweep` returns
    label : what the variants are settings of        clips : how many were captioned
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.2, 3.6))
    for axes, (column, name) in zip(panels, SWEPT.items(), strict=True):
        for number, (captioner, table) in enumerate(sweeps.items()):
            mark = "os^D"[number % 4] + "-"
            axes.plot(table["variant"], table[column], mark, label=captioner)
        highest = max(table[column].max() for table in sweeps.values())
        axes.set(xlabel=label, ylabel=name, ylim=(0, 1.1 * highest or 1))
        axes.margins(x=0.12)
        axes.grid(axis="y")
    panels[1].set_ylim(0, 1)
    panels[1].yaxis.set_major_formatter("{x:.0%}")
    panels[0].set_title(f"{clips} validation clips", fontsize=10)
    if len(sweeps) > 1:
        panels[1].legend(**LEGEND_ABOVE, ncols=len(sweeps))
    headline(figure, title)
    return figure


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
    low, high = ([getattr(each, side) for each in means] for side in ("low", "high"))
    axes.vlines(places, low, high, color=COLOURS[0], linewidth=2)
    axes.plot(
        *(places, [each.mean for each in means]),
        "o-",
        color=COLOURS[0],
        label=f"means of {len(parts)} parts of the clips",
    )
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
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.tick_params(axis="y", length=0)
    axes.legend(**LEGEND_ABOVE, ncols=len(shares.columns), fontsize=9)
    headline(figure, title)
    return figure
