"""Figures are labelled, say what their data say, and are the same file every time."""

import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from drcap import plots

SR = 16_000
TAGS = {"Silence": 0.01, "Dog": 0.9, "Bark": 0.8, **{f"Tag {n}": 0.1 for n in range(9)}}

TAUS = np.geomspace(0.001, 1, 7)
SUPPORT = TAUS[:, None] * np.ones(3)


def chirp(seconds=2.0):
    time = np.arange(round(seconds * SR)) / SR
    return (0.5 * np.sin(2 * np.pi * (200 + 800 * time) * time)).astype(np.float32)


def training_log(validated=True):
    steps = np.arange(1, 101)
    validation = np.full(100, np.nan)
    if validated:
        validation[[19, 59, 99]] = 2.0, 1.5, 1.75
    rate, train = np.linspace(1e-3, 0, 100), 3 / np.sqrt(steps)
    columns = {"step": steps, "train_loss": train, "validation_loss": validation}
    return pd.DataFrame({**columns, "learning_rate": rate})


def score_table():
    table = {"METEOR": [0.2, 0.1], "CIDEr-D": [0.5, 0.6], "SPIDEr": [0.4, np.nan]}
    return pd.DataFrame(table, index=["DRCap", "retrieval alone"])


FIGURES = {
    "clip": lambda: plots.plot_clip(chirp(), SR),
    "clip with tags": lambda: plots.plot_clip(chirp(), SR, TAGS, "A chirp"),
    "training": lambda: plots.plot_training(training_log()),
    "similarities": lambda: plots.plot_similarity_histogram(
        np.linspace(0, 1, 101), (0.75, 0.85)
    ),
    "scores": lambda: plots.plot_scores(score_table()),
    "counts": lambda: plots.plot_counts({"with": 8, "without": 0}, 10, "Hits", "Hits"),
    "support": lambda: plots.plot_effective_support(TAUS, 10_000 * SUPPORT, 0.1),
}
every_figure = pytest.mark.parametrize("name", FIGURES)


def labels_of(figure):
    return {
        label
        for axes in figure.axes
        for label in (axes.get_xlabel(), axes.get_ylabel())
        if label
    }


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def titles_of(figure):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return " ".join([figure.get_suptitle(), *titles])


@every_figure
def test_a_figure_has_a_title_and_is_shown_once(name):
    figure = FIGURES[name]()
    assert titles_of(figure).strip() and not plt.get_fignums()


@pytest.mark.parametrize(
    "name, labels",
    {
        "clip": {
            *("Amplitude", "Time (s)", "Frequency (kHz)", "Level (dB re full scale)"),
        },
        "training": {"Loss (nats per token)", "Step", "Learning rate"},
        "similarities": {"Cosine similarity", "Pairs of captions"},
        "scores": {"Score (higher is better)", "Metric"},
        "counts": {"Hits (lines: 95 % intervals)"},
        "support": {"Temperature tau", "Effective number of captions"},
    }.items(),
)
def test_axes_are_labelled_with_their_units(name, labels):
    assert labels_of(FIGURES[name]()) == labels


@every_figure
def test_the_same_data_gives_the_same_bytes_under_any_settings(tmp_path, name):
    plots.save_figure(FIGURES[name](), tmp_path / "first.png")
    with matplotlib.rc_context(
        {"font.size": 20, "savefig.dpi": 300, "lines.color": "r"}
    ):
        plots.save_figure(FIGURES[name](), tmp_path / "second.png")
    first = (tmp_path / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes()
    assert first.startswith(b"\x89PNG") and b"Software" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first.png",
        "second.png",
    ]


def test_ten_seconds_of_noise_make_a_file_small_enough_to_commit(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * SR)
    figure = plots.plot_clip(noise.astype(np.float32), SR, TAGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save_figure(figure, tmp_path / "noise.png")


def test_a_figure_too_large_to_commit_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(plots.style, "LARGEST_FIGURE", 1_000)
    with pytest.warns(UserWarning, match="scores.png: has .* bytes, over 1,000"):
        plots.save_figure(FIGURES["scores"](), tmp_path / "scores.png")


def test_a_style_of_ours_does_not_leak_into_the_callers_figures():
    before = dict(matplotlib.rcParams)
    FIGURES["scores"]()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("waveform", (np.zeros(800), np.ones(1)))
def test_the_shortest_and_the_silent_clip_can_be_drawn(tmp_path, waveform):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.plot_clip(waveform.astype(np.float32), SR)
        plots.save_figure(figure, tmp_path / "clip.png")


def test_only_the_likeliest_tags_are_drawn_the_highest_on_top():
    texts = texts_of(plots.plot_clip(chirp(), SR, TAGS).axes[-1])
    names, values = texts[0::2], texts[1::2]
    assert len(names) == plots.TAGS_SHOWN and "Silence" not in names
    assert names[-2:] == ["Bark", "Dog"] and values[-2:] == ["0.80", "0.90"]


def test_the_training_title_names_the_best_validation():
    title = titles_of(plots.plot_training(training_log()))
    assert "Validation loss is lowest, 1.500, at step 60" in title
    assert "Training loss" in titles_of(plots.plot_training(training_log(False)))


def test_the_histogram_counts_every_similarity_and_the_share_in_the_band():
    figure = plots.plot_similarity_histogram([-1.0, 0.76, 0.8, 1.0], (0.75, 0.85))
    assert "50.0% of the similarities lie in [0.75, 0.85]" in titles_of(figure)
    bars = figure.axes[0].containers[0]
    assert sum(bar.get_height() for bar in bars) == 4


def test_every_score_is_printed_and_a_missing_one_is_a_dash():
    figure = plots.plot_scores(score_table())
    assert texts_of(figure.axes[0]) == [
        "0.200",
        "0.500",
        "0.400",
        "0.100",
        "0.600",
        "–",
    ]
    assert "DRCap leads on 2 of 3 metrics" in titles_of(figure)


def test_a_tone_lies_at_its_frequency_on_the_axis():
    tone = np.sin(2 * np.pi * 2_000 * np.arange(SR) / SR).astype(np.float32)
    axes = plots.plot_clip(tone, SR).axes[1]
    band = axes.images[0].get_array()[:, 50].argmax() + 0.5
    ticks = dict(zip(axes.get_yticks(), axes.get_yticklabels(), strict=True))
    nearest = min(ticks, key=lambda tick: abs(tick - band))
    assert ticks[nearest].get_text() == "2" and abs(nearest - band) <= 0.5


def test_counts_are_drawn_from_top_to_bottom_with_wilson_intervals():
    axes = FIGURES["counts"]().axes[0]
    assert texts_of(axes) == ["0 of 10", "8 of 10"]  # from the bottom up
    assert [text.get_text() for text in axes.get_yticklabels()] == ["without", "with"]
    intervals = axes.collections[0].get_segments()
    # reference: Wilson's formula at p = 0.8 and 0, n = 10, z = 1.96
    np.testing.assert_allclose(intervals[1][:, 0], [0.4902, 0.9433], atol=1e-4)
    np.testing.assert_allclose(intervals[0][:, 0], [0, 0.2775], atol=1e-4)


def test_the_support_in_use_is_read_off_at_the_chosen_temperature():
    assert "At tau = 0.1 a caption rests on some 1,000" in titles_of(
        FIGURES["support"]()
    )
