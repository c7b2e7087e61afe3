"""Figures of the results show every number they are given, and their intervals."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from doubles_scores import grid_of

from drcap import plots
from drcap.evaluation.bootstrap import interval
from drcap.experiments.effects import effects
from drcap.experiments.tables import beside_paper, result_table

DOMAINS = {"ac": "scapes-ac", "cl": "scapes-cl"}


def results():
    return grid_of({"w/o SS": 0.1, "w/o RAG": 0.18, "w/o PD": 0.05})


def table():
    return result_table("table3_ablation_in_domain", results(), domains=DOMAINS)


def log(gap):
    step = np.arange(1, 21)
    validated = np.where(step % 10 == 0, 2.0 + gap, np.nan)
    values = {"step": step, "train_loss": 2.0, "validation_loss": validated}
    return pd.DataFrame(values)


def swept(*copied):
    variants = [str(number) for number in range(len(copied))]
    values = {"variant": variants, "cider_d": 20.0, "copied": copied}
    return pd.DataFrame(values)


DRAW = np.random.default_rng(0)
SIMILARITIES, GAINS = DRAW.uniform(0, 1, 60), DRAW.normal(2, 30, 60)
COUNTS = {"paper": np.array([0, 0, 1, 9]), "refitted": np.array([3, 4, 5, 6])}
SHARES = pd.DataFrame({"weak": [0.7, 1.0], "ac": [0.3, 0.0]}, index=["to ac", "to cl"])
FIGURES = {
    "differences": lambda: plots.plot_differences(
        effects("DRCap", "w/o PD", results(), domains=DOMAINS),
        "DRCap less w/o PD (points)",
        "Projection",
    ),
    "counts": lambda: plots.plot_counts_in_range(COUNTS, 3, "Few"),
    "losses": lambda: plots.plot_losses({"DRCap": log(0.5), "w/o SS": log(1.25)}),
    "sweep": lambda: plots.plot_sweep(
        {"DRCap": swept(0.1, 0.2), "w/o SS": swept(0.0, 0.9)}, "k", "Copies", 60
    ),
    "gain": lambda: plots.plot_gain(SIMILARITIES, GAINS, "Gain (points)"),
    "origins": lambda: plots.plot_origins(SHARES, "Origins"),
    "systems": lambda: plots.plot_systems(
        beside_paper(table()), ["METEOR", "CIDEr-D"], "Systems"
    ),
}
every_figure = pytest.mark.parametrize("name", FIGURES)


def titles_of(figure):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return " ".join([figure.get_suptitle(), *titles]).strip()


@every_figure
def test_a_figure_has_a_title_and_labelled_axes_and_is_shown_once(name):
    figure = FIGURES[name]()
    assert titles_of(figure) and not plt.get_fignums()
    labels = {text for a in figure.axes for text in (a.get_xlabel(), a.get_ylabel())}
    assert labels - {""}


@every_figure
def test_a_figure_is_small_enough_to_commit_and_the_same_every_time(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in ("first.png", "second.png"):
            plots.save_figure(FIGURES[name](), tmp_path / file)
    first = (tmp_path / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes()


def test_differences_are_drawn_with_their_intervals_and_the_papers():
    frame = effects("DRCap", "w/o PD", results(), domains=DOMAINS)
    first = frame[frame["group"] == "scapes-ac"]
    axes = FIGURES["differences"]().axes[0]
    zero, ours, paper = axes.lines
    assert list(ours.get_xdata()) == pytest.approx(
        list(first["difference"]), nan_ok=True
    )
    given = list(first["paper_difference"])
    assert list(paper.get_xdata()) == pytest.approx(given, nan_ok=True)
    bounds = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    assert np.allclose(bounds, first[["low", "high"]], equal_nan=True)


def test_captions_in_range_are_counted_up_to_what_is_wanted():
    axes = FIGURES["counts"]().axes[0]
    shares = [bar.get_height() for bar in axes.patches]
    assert shares == pytest.approx([2 / 4, 1 / 4, 0, 1 / 4, 0, 0, 0, 1])


def test_the_gap_of_the_losses_is_read_off_in_the_title():
    assert "0.50 (DRCap), 1.25 (w/o SS)" in titles_of(FIGURES["losses"]())


def test_each_captioner_of_a_sweep_has_a_line_in_both_panels():
    score, copies = FIGURES["sweep"]().axes
    assert [list(line.get_ydata()) for line in copies.lines] == [[0.1, 0.2], [0.0, 0.9]]
    assert len(score.lines) == 2
    assert "60 validation clips" in titles_of(FIGURES["sweep"]())


def test_the_gain_is_averaged_over_parts_of_rising_similarity():
    order = np.argsort(SIMILARITIES, kind="stable")
    parts = np.array_split(GAINS[order], 5)
    means = FIGURES["gain"]().axes[0].lines[-1]
    assert list(means.get_ydata()) == pytest.approx([part.mean() for part in parts])
    bounds = FIGURES["gain"]().axes[0].collections[1].get_segments()[0][:, 1]
    first = interval(parts[0])
    assert bounds == pytest.approx([first.low, first.high])


def test_the_origins_of_a_row_fill_its_bar():
    bars = FIGURES["origins"]().axes[0].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(len(SHARES))


def test_every_system_is_a_row_with_our_score_and_the_papers():
    figure = FIGURES["systems"]()
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    for axes, metric in zip(figure.axes, ("meteor", "cider_d"), strict=True):
        block = table().set_index("metric").loc[metric].set_index("system")
        assert names == list(block.index)
        for line, column in zip(axes.lines, ("ours", "paper"), strict=True):
            drawn = dict(zip(line.get_ydata(), line.get_xdata(), strict=True))
            by_row = [drawn[len(names) - 1 - row] for row in range(len(names))]
            assert by_row == pytest.approx(list(block[column]), nan_ok=True)


def test_a_system_keeps_its_row_where_it_was_not_run():
    frame = beside_paper(table())
    other = frame[frame["system"] != "w/o RAG"].assign(ours_on="elsewhere")
    both = pd.concat([frame, other])
    first, second = plots.plot_systems(both, ["CIDEr-D"], "Systems").axes
    rows = [len(axes.lines[0].get_ydata()) for axes in (first, second)]
    assert rows == [5, 4]
    assert {*second.lines[0].get_ydata()} < {*first.lines[0].get_ydata()}
