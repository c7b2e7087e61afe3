"""Every figure of the project, in one style: data in, a matplotlib Figure out.

Axes carry units and the title says the one thing the figure shows. A figure is closed
to pyplot when it is returned, so that a notebook shows it once, as a cell's value.
"""

from drcap.plots.captioning import (
    TAGS_SHOWN,
    plot_clip,
    plot_counts,
    plot_effective_support,
    plot_scores,
    plot_similarity_histogram,
    plot_training,
)
from drcap.plots.clap import (
    plot_clap_training,
    plot_cosines,
    plot_cross_modal,
    plot_encoder_input,
    plot_examples,
    plot_gap_over_training,
    plot_modality_gap,
)
from drcap.plots.diagrams import plot_flows
from drcap.plots.results import (
    plot_counts_in_range,
    plot_differences,
    plot_gain,
    plot_losses,
    plot_origins,
    plot_sweep,
)
from drcap.plots.scale import plot_scale
from drcap.plots.style import png, save_figure
from drcap.plots.systems import plot_systems

__all__ = [
    "TAGS_SHOWN",
    "plot_clap_training",
    "plot_clip",
    "plot_cosines",
    "plot_counts",
    "plot_counts_in_range",
    "plot_cross_modal",
    "plot_differences",
    "plot_effective_support",
    "plot_encoder_input",
    "plot_examples",
    "plot_flows",
    "plot_gain",
    "plot_gap_over_training",
    "plot_losses",
    "plot_modality_gap",
    "plot_origins",
    "plot_scale",
    "plot_scores",
    "plot_similarity_histogram",
    "plot_sweep",
    "plot_systems",
    "plot_training",
    "png",
    "save_figure",
]
