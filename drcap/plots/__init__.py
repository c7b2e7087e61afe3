"""Every figure of the project, in one style: data in, a matplotlib Figure out.

Axes carry units and the title says the one thing the figure shows. A figure is closed
to pyplot when it is returned, so that a notebook shows it once, as a cell's value.
"""

# ruff: noqa: F401
from drcap.plots.clap import (
    plot_projection,
    plot_similarity_histogram,
    plot_similarity_matrices,
)
from drcap.plots.gap import (
    plot_conditions,
    plot_cones,
    plot_gap_over_training,
    plot_heads,
    plot_point,
)
from drcap.plots.recordings import (
    TAGS_SHOWN,
    plot_clip,
    plot_encoder_input,
    plot_examples,
)
from drcap.plots.results import (
    plot_counts,
    plot_counts_in_range,
    plot_differences,
    plot_flows,
    plot_gain,
    plot_origins,
    plot_sweep,
    plot_systems,
)
from drcap.plots.style import png, save_figure
from drcap.plots.training import plot_losses, plot_training
