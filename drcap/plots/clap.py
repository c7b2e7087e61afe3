"""Figures of the joint space: retrieval, similarities, projection."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from drcap.modality_gap import fixed_plane
from drcap.plots.style import (
    COLOURS,
    INK,
    THOUSANDS,
    headline,
    panels,
    styled,
)


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
def plot_similarity_matrices(similarities: Mapping[str, np.ndarray]) -> Figure:
    """Show the cosines of N clips, in rows, and their N texts, in columns; panels.

    similarities : name of a panel -> (N, N)
    """
    figure, row = panels(len(similarities), 3.9)
    for axes, (name, cosines) in zip(row, similarities.items(), strict=True):
        image = axes.imshow(cosines, cmap="magma")
        figure.colorbar(image, ax=axes, shrink=0.8).outline.set_visible(False)
        own = (cosines.argmax(axis=1) == np.arange(len(cosines))).sum()
        title = f"{name}: {own} of {len(cosines)} clips\nare nearest to their own text"
        axes.set(xlabel="Text", ylabel="Clip", xticks=[], yticks=[], title=title)
    return figure


@styled
def plot_projection(
    audio_embed: np.ndarray,
    support: np.ndarray,
    weights: Mapping[float, np.ndarray],
    texts: Sequence[str],
) -> Figure:
    """Show eq. 4 in the plane of the support's first two principal components.

    audio_embed : E_a, (D,)     support : E_1 to E_N, (N, D), with its captions, `texts`
    weights : tau -> softmax weights (N,); a panel each
    """
    projected = [share @ support for share in weights.values()]
    rows = [support, audio_embed[None], np.array(projected)]
    captions, [heard], places = fixed_plane(rows, fitted=1)
    figure, row = panels(len(weights), 3.9, sharex=True, sharey=True)
    panel_of = zip(row, weights.items(), places, strict=True)
    for axes, (tau, share), place in panel_of:
        size = {"s": 4 + 900 * share, "alpha": 0.5, "lw": 0}
        axes.scatter(*captions.T, color=COLOURS[1], **size)
        arrow = {"arrowstyle": "->", "color": INK}
        axes.annotate("", place, heard, arrowprops=arrow)
        axes.plot(*heard, "o", color=COLOURS[0], label="$E_a$, the recording")
        axes.plot(*place, "D", color=COLOURS[3], label="$E'_t$, projected")
        largest = int(share.argmax())
        heaviest = textwrap.fill(f"{share[largest]:.0%}: {texts[largest]}", 34)
        axes.set(title=f"tau = {tau:g}", xlabel=heaviest, xticks=[], yticks=[])
    figure.legend(*row[0].get_legend_handles_labels(), loc="upper right", ncols=2)
    return headline(figure, "Eq. 4 in two dimensions: captions by weight")
