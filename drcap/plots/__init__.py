"""Every figure of the project, in one style: data in, a matplotlib Figure out.

Axes carry units and the title says the one thing the figure shows. A figure is closed
to pyplot when it is returned, so that a notebook shows it once, as a cell's value.
"""

# ruff: noqa: F401
from drcap.plots.clap import (
    plot_cosines,
    plot_cross_modal,
    plot_effective_support,
    plot_modality_gap,
    plot_similarity_histogram,
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
from drcap.plots.training import (
    plot_clap_training,
    plot_gap_over_training,
    plot_losses,
    plot_training,
)
