"""Fig. 1 of the paper, drawn: the modality gap, and DRCap in training and inference."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drcap.plots.style import COLOURS, INK, PALE, headline, styled

PLAIN, FROZEN, TRAINED, SWAPPED = "white", PALE, COLOURS[0], COLOURS[1]
BOXES = (  # column, row, colour, text in training and in inference
    (0, 0, PLAIN, ("caption t", "recording a")),
    (1, 0, FROZEN, ("text encoder $f_t$", "audio encoder $f_a$")),
    (2, 0, SWAPPED, (None, "projection onto\nthe support, eq. 4")),
    (3, 0, TRAINED, ("mapper m", "mapper m")),
    (4, 0, TRAINED, ("language model\n+ LoRA", "language model\n+ LoRA")),
    (5, 0, PLAIN, ("the same\ncaption t", "a caption\nof a")),
    (2, -1, SWAPPED, ("similar captions,\nnot too near", "the datastore's\nnearest k")),
)
ARROWS = (  # from, to, and what goes along
    ((0, 0), (1, 0), ("", "")),
    ((1, 0), (2, 0), (None, "$E_a$")),
    ((2, 0), (3, 0), (None, "$E'_t$")),
    ((1, 0), (3, 0), ("$E_t$", None)),
    ((3, 0), (4, 0), ("$e_t$", "$e_t$")),
    ((4, 0), (5, 0), ("", "")),
    ((1, 0), (2, -1), ("", "")),
    ((2, -1), (4, 0), ("prompt", "prompt")),
)
HALF = np.array([0.4, 0.27])  # of a box


@styled
def plot_overview() -> Figure:
    """Draw the two cones of Fig. 1 and, beside them, both ways through DRCap."""
    figure, (gap, flow) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1, 4))
    _draw_cones(gap)
    headings = "Training: text alone", "Inference: no weight changes"
    for way, (top, heading) in enumerate(zip((3, 1), headings, strict=True)):
        flow.text(-0.4, top + 0.5, heading, fontweight="bold")
        for start, end, texts in ARROWS:
            across, up = np.sign(np.subtract(end, start))
            ends = (
                start + HALF * (across, 0),
                end - HALF * ((0, up) if up else (across, 0)),
            )
            ends = np.array(ends) + (0, top)
            if (text := texts[way]) is not None:
                arrow = {"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 0}
                flow.annotate("", ends[1], ends[0], arrowprops=arrow)
                above = {"ha": "center", "va": "bottom", "fontsize": 9}
                flow.text(*ends.mean(axis=0) + (0, 0.06), text, **above)
        for column, row, colour, texts in BOXES:
            if (text := texts[way]) is not None:
                centre, edge = (column, row + top), INK if colour == PLAIN else colour
                box = {"facecolor": colour, "edgecolor": edge}
                flow.add_patch(plt.Rectangle(centre - HALF, *2 * HALF, **box))
                middle = {"ha": "center", "va": "center", "fontsize": 8}
                ink = "white" if colour == TRAINED else INK
                flow.text(*centre, text, color=ink, **middle)
    flow.set(xlim=(-0.45, 5.45), ylim=(-0.4, 3.8))
    flow.set_axis_off()
    title = "DRCap: blue is trained, grey frozen, orange is text that can be swapped"
    return headline(figure, title)


def _draw_cones(axes: Axes) -> None:
    """Draw embeddings on the unit circle, each modality in a cone of its own."""
    angles = np.linspace(-0.3, 0.3, 7)
    for name, centre, colour in (("audio", 2.1, TRAINED), ("text", 1.0, SWAPPED)):
        points = np.array([np.cos(centre + angles), np.sin(centre + angles)])
        axes.fill([0, *points[0]], [0, *points[1]], color=colour, alpha=0.15)
        axes.plot(*points, "o", color=colour)
        axes.text(*1.12 * points[:, 3], name, ha="center")
    axes.set(xlim=(-1.1, 1.1), ylim=(-0.1, 1.4), aspect="equal")
    axes.set_title("The modality gap", fontsize=10)
    axes.set_axis_off()
