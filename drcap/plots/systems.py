"""The figure of every system's scores: ours with intervals, the paper's beside them."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drcap.plots.style import COLOURS, OURS, PALE, PAPERS, headline, styled


@styled
def plot_systems(
    frame: pd.DataFrame, metrics: Sequence[str], title: str, own: str = "DRCap"
) -> Figure:
    """Show the scores of every system: a column a pair of domains, a row a metric.

    frame : what `drcap.experiments.tables.beside_paper` returns, of a table or several
    metrics : some of its metrics        own : the system whose row stands out

    A system has its row in every panel, also where it was not run. Lines through a
    point are 95 % intervals over clips; the paper's numbers have none.
    """
    systems = list(frame["system"].unique())
    blocks = list(frame.groupby(["ours_on", "paper_on"], sort=False))
    figure, grid = plt.subplots(
        len(metrics),
        len(blocks),
        figsize=(11.6, 0.9 + len(metrics) * (0.7 + 0.25 * len(systems))),
        sharey=True,
        squeeze=False,
    )
    for panels, metric in zip(grid, metrics, strict=True):
        for axes, (_, block) in zip(panels, blocks, strict=True):
            _draw(axes, block[block["metric"] == metric], systems)
            axes.axhspan(*_around(own, systems), color=PALE, alpha=0.5, zorder=0)
            axes.set_xlabel(_folded(f"{metric} (per cent)"))
    in_paper = frame["paper"].notna().any()
    for axes, ((ours_on, paper_on), _) in zip(grid[0], blocks, strict=True):
        paper = f"\nthe paper: {paper_on}" if in_paper else ""
        axes.set_title(ours_on + paper, fontsize=10)
    if in_paper:
        marks = {"ours": OURS, "the paper's": PAPERS}
        lines = [Line2D([], [], label=name, **mark) for name, mark in marks.items()]
        figure.legend(handles=lines, loc="upper right", ncols=2, borderpad=0)
    headline(figure, title)
    return figure


def _draw(axes: Axes, block: pd.DataFrame, systems: list[str]) -> None:
    """Draw one metric on one pair of domains, the first system on top."""
    places = [_place(name, systems) for name in block["system"]]
    axes.hlines(places, block["low"], block["high"], color=COLOURS[0])
    axes.plot(block["ours"], places, **OURS)
    axes.plot(block["paper"], places, markersize=6, **PAPERS)
    axes.set_yticks(np.arange(len(systems))[::-1], systems)
    axes.set(xlim=(0, None), ylim=(-0.6, len(systems) - 0.4))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _folded(label: str) -> str:
    return textwrap.fill(label, 30, break_on_hyphens=False)


def _place(name: str, systems: list[str]) -> int:
    return len(systems) - 1 - systems.index(name)


def _around(name: str, systems: list[str]) -> tuple[float, float]:
    """Return the lower and the upper edge of a system's row."""
    place = _place(name, systems)
    return place - 0.5, place + 0.5
