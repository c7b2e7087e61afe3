"""Diagrams of systems: what flows into the language model, in training and after."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from drcap.plots.style import COLOURS, INK, PALE, headline, styled

TRAINED = "*"  # marks, at the end of a text, what is trained


@styled
def plot_flows(flows: Mapping[str, Sequence[str]], title: str) -> Figure:
    """Draw boxes joined by arrows, a row a flow.

    flows : name of a row -> texts of its boxes; one that ends with "*" is coloured, as
        what is trained
    """
    longest = max(len(boxes) for boxes in flows.values())
    figure, axes = plt.subplots(figsize=(9.2, 0.5 + 0.95 * len(flows)))
    for row, (name, boxes) in enumerate(flows.items()):
        axes.text(-0.12, -row, name, ha="right", va="center", fontweight="bold")
        for column, text in enumerate(boxes):
            _box(axes, column, -row, text)
            if column:
                arrow = {"arrowstyle": "->", "color": INK}
                ends = (column - 0.02, -row), (column - 0.18, -row)
                axes.annotate("", *ends, arrowprops=arrow)
    axes.set(xlim=(-0.65, longest), ylim=(0.55 - len(flows), 0.5))
    axes.set_axis_off()
    return headline(figure, title)


def _box(axes, column: int, height: float, text: str) -> None:
    trained = text.endswith(TRAINED)
    axes.add_patch(
        FancyBboxPatch(
            (column, height - 0.32),
            0.8,
            0.64,
            boxstyle="round,pad=0.0,rounding_size=0.06",
            facecolor=COLOURS[0] if trained else PALE,
            edgecolor="none",
        )
    )
    axes.text(
        column + 0.4,
        height,
        text.removesuffix(TRAINED),
        ha="center",
        va="center",
        fontsize=8,
        color="white" if trained else INK,
    )
