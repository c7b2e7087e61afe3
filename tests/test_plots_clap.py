"""Figures of the CLAP model are labelled, claim what their data say, and stay small."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from drcap import plots
from drcap.modality_gap import sampled_cosines

SR = 32_000


def clap_log(steps=40, every=10):
    step = np.arange(steps + 1)
    epoch_ends = step % every == 0
    loss = np.where(step == 0, np.nan, 4 - step / steps)
    columns = {
        "step": step,
        "loss": loss,
        "learning_rate": np.where(step == 0, np.nan, 1e-3),
        "validation_loss": np.where(epoch_ends, 4.0, np.nan),
        "recall_at_10": np.where(epoch_ends, 0.05 + step / 50, np.nan),
        "gap": np.where(epoch_ends, 1 - step / 100, np.nan),
        "paired": np.where(epoch_ends, step / 100 - 0.1, np.nan),
    }
    return pd.DataFrame(columns)


def retrieval(value):
    one = {"R@1": value / 4, "R@5": value / 2, "R@10": value, "mAP@10": value / 3}
    return {"audio_to_text": one, "text_to_audio": one}


SCORES = {"scapes-ac": retrieval(0.64), "scapes-cl": retrieval(0.48)}
CHANCE = {
    direction: {"R@1": 0.005, "R@5": 0.025, "R@10": 0.05}
    for direction in ("audio_to_text", "text_to_audio")
}


def cones(shift, count=100):
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((2, count, 8)) + np.array([0, shift])[:, None, None]
    return rows / np.linalg.norm(rows, axis=2, keepdims=True)


def noise(seconds=10):
    draw = np.random.default_rng(0)
    return 0.1 * draw.standard_normal(round(seconds * SR)).astype(np.float32)


def log_mel():
    draw = np.random.default_rng(0)
    return draw.uniform(-60, 0, (251, 64))


PLANES = {
    model: {name: np.random.default_rng(0).random((400, 2)) for name in ("PCA", "tSNE")}
    for model in ("CLAP", "tag bridge")
}
FIGURES = {
    "encoder input": lambda: plots.plot_encoder_input(
        log_mel(), np.random.default_rng(0).random((128, 128)), 4, 10.0
    ),
    "training": lambda: plots.plot_clap_training(clap_log()),
    "cross-modal": lambda: plots.plot_cross_modal(SCORES, CHANCE),
    "examples": lambda: plots.plot_examples([noise()] * 4, SR, ["A\nB"] * 4, "Wrong"),
    "gap": lambda: plots.plot_modality_gap(PLANES, "Two cones"),
    "cosines": lambda: plots.plot_cosines({"CLAP": sampled_cosines(*cones(2))}),
    "gap over training": lambda: plots.plot_gap_over_training(clap_log()),
}
every_figure = pytest.mark.parametrize("name", FIGURES)


def titles_of(figure):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return " ".join([figure.get_suptitle(), *titles]).strip()


@every_figure
def test_a_figure_has_a_title_and_is_shown_once(name):
    assert titles_of(FIGURES[name]()) and not plt.get_fignums()


@every_figure
def test_a_figure_is_small_enough_to_commit_and_the_same_every_time(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in ("first.png", "second.png"):
            plots.save_figure(FIGURES[name](), tmp_path / file)
    first = (tmp_path / "first.png").read_bytes()
    assert first == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize(
    "name, labels",
    {
        "encoder input": {"Time (s)", "Mel band"},
        "training": {"Contrastive loss (nats)", "R@10, audio to text", "Step"},
        "cross-modal": {"Share of queries", "Audio to text", "Text to audio"},
        "gap": {"PCA, first axis", "tSNE, second axis"},
        "cosines": {"Cosine similarity", "Share of pairs"},
        "gap over training": {"Distance of the centroids", "Mean cosine of pairs"},
    }.items(),
)
def test_axes_are_labelled(name, labels):
    axes = FIGURES[name]().axes
    assert labels <= {text for each in axes for text in _labels(each)}


def _labels(axes):
    return axes.get_xlabel(), axes.get_ylabel()


def test_the_patches_of_the_input_are_counted():
    title = titles_of(FIGURES["encoder input"]())
    assert title == "10 s become 2 pieces of 128 frames, in 1,024 patches"


def test_a_log_that_begins_with_an_untrained_model_is_read_from_there():
    assert "from 0.05 to 0.85" in titles_of(FIGURES["training"]())
    title = titles_of(FIGURES["gap over training"]())
    assert (
        title == "Training takes R@10 from 0.05 to 0.85 and the gap from 1.00 to 0.60"
    )


def test_every_recall_is_printed_beside_chance():
    figure = FIGURES["cross-modal"]()
    printed = [text.get_text() for text in figure.axes[0].texts]
    assert printed == ["0.16", "0.32", "0.64", "0.12", "0.24", "0.48"]
    assert "64.0% of scapes-ac, 48.0% of scapes-cl" in titles_of(figure)
    heights = [lines.get_segments()[0][0, 1] for lines in figure.axes[0].collections]
    assert heights == [0.005, 0.025, 0.05]


def test_every_pair_is_drawn_and_some_are_joined():
    axes = FIGURES["gap"]().axes[0]
    lines, audio, text = axes.collections
    assert len(audio.get_offsets()) == len(text.get_offsets()) == 200
    assert 0 < len(lines.get_segments()) <= 50


def test_the_histograms_say_what_a_clip_is_nearest_to():
    one, _ = cones(0)
    apart = plots.plot_cosines({"far": sampled_cosines(*cones(2))})
    together = plots.plot_cosines({"near": sampled_cosines(one, one)})
    assert "far: a clip is\nnearer to " in titles_of(apart)
    assert "near: a clip is\nnearer to its caption (1.00" in titles_of(together)
