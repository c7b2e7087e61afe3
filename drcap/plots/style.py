"""The one style of all figures, and how they are rendered and written."""

import functools
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from drcap.atomic import atomic_path

INK, PALE = "#2b2f36", "#d9dde3"
COLOURS = ("#2f6db3", "#e08a2b", "#3f9b6e", "#b8507a", "#7a68b8", "#8c9099")
STYLE = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "grid.color": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "image.interpolation": "nearest",
}
LEGEND_ABOVE = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderpad": 0}
THOUSANDS, PER_CENT = "{x:,.0f}", "{x:.0%}"  # of an axis's numbers
LARGEST_FIGURE = 150_000  # bytes; figures are committed


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in STYLE, whatever the caller's settings, and close the figure to pyplot."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> Figure:
        with plt.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return drawn


def headline(figure: Figure, title: str) -> Figure:
    """Write the one thing that a figure of several panels shows above them all."""
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def panels(count: int, height: float, **options) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of `count` panels beside one another, and the panels."""
    figure, [row] = plt.subplots(
        1, count, figsize=(9.2, height), squeeze=False, **options
    )
    return figure, row


def png(figure: Figure) -> bytes:
    """Render a figure as PNG of 256 colours; the same figure, the same bytes.

    To the eye that is all there are, and the file has a third of the size.
    """
    drawn, reduced = io.BytesIO(), io.BytesIO()
    with plt.style.context(["default", STYLE]):
        figure.savefig(drawn, format="png", dpi=100)
    image = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG, whole or not at all."""
    content = png(figure)
    with atomic_path(Path(path)) as aside:
        aside.write_bytes(content)
    if len(content) > LARGEST_FIGURE:
        warnings.warn(
            f"{path}: has {len(content):,} bytes, over {LARGEST_FIGURE:,}; "
            "draw less in it",
            stacklevel=2,
        )
