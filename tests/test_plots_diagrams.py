"""A diagram has every box, in order, and colours what is trained."""

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from drcap import plots
from drcap.plots.style import COLOURS, PALE

FLOWS = {"training": ["caption", "CLAP", "LM*"], "inference": ["audio", "CLAP"]}


def boxes(figure):
    axes = figure.axes[0]
    return [each for each in axes.patches if isinstance(each, FancyBboxPatch)]


def test_every_box_is_named_without_its_mark():
    figure = plots.plot_flows(FLOWS, "A system")
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert texts == ["training", "caption", "CLAP", "LM", "inference", "audio", "CLAP"]
    assert figure.get_suptitle() == "A system" and not plt.get_fignums()


def test_what_is_trained_is_coloured():
    colours = [
        to_hex(box.get_facecolor()) for box in boxes(plots.plot_flows(FLOWS, ""))
    ]
    assert colours == [PALE, PALE, COLOURS[0], PALE, PALE]


def test_a_small_picture_with_arrows_between_neighbours(tmp_path):
    figure = plots.plot_flows(FLOWS, "A system")
    assert sum(text.get_text() == "" for text in figure.axes[0].texts) == 3
    plots.save_figure(figure, tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size < 40_000
