"""Figures are labelled, show what their data hold, and are the same file every time."""

import functools
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from doubles_scores import grid_of
from matplotlib.colors import to_hex
from matplotlib.patches import FancyBboxPatch

from drcap import plots
from drcap.evaluation.bootstrap import interval
from drcap.experiments.effects import effects
from drcap.experiments.tables import result_table
from drcap.modality_gap import fixed_plane
from drcap.plots import style
from drcap.plots.recordings import FLOOR_DB, MELS, log_mel

SR = 16_000
DOMAINS = {"ac": "scapes-ac", "cl": "scapes-cl"}
TAGS = {"Silence": 0.01, "Dog": 0.9, "Bark": 0.8, **{f"Tag {n}": 0.1 for n in range(9)}}
DRAW = np.random.default_rng(0)
NOISE = (0.1 * DRAW.standard_normal(10 * SR)).astype(np.float32)
SIMILARITIES, GAINS = DRAW.uniform(0, 1, 60), DRAW.normal(2, 30, 60)
SUPPORT = np.eye(4, 6)
WEIGHTS = {0.1: np.array([0.97, 0.01, 0.01, 0.01]), 9.0: np.full(4, 0.25)}
COUNTS = {"paper": np.array([0, 0, 1, 9]), "refitted": np.array([3, 4, 5, 6])}
SHARES = pd.DataFrame({"weak": [0.7, 1.0], "ac": [0.3, 0.0]}, index=["to ac", "to cl"])
FLOWS = {"training": ["caption", "CLAP", "LM*"], "inference": ["audio", "CLAP"]}


def training_log(validated=True):
    steps = np.arange(1, 101)
    validation = np.full(100, np.nan)
    if validated:
        validation[[19, 59, 99]] = 2.0, 1.5, 1.75
    rate, train = np.linspace(1e-3, 0, 100), 3 / np.sqrt(steps)
    columns = {"step": steps, "train_loss": train, "validation_loss": validation}
    return pd.DataFrame({**columns, "learning_rate": rate})


def log_with_gap(gap):
    step = np.arange(1, 21)
    validated = np.where(step % 10 == 0, 2.0 + gap, np.nan)
    values = {"step": step, "train_loss": 2.0, "validation_loss": validated}
    return pd.DataFrame(values)


def clap_log(steps=40, every=10):
    step = np.arange(steps + 1)
    epoch_ends = step % every == 0
    columns = {
        "step": step,
        "loss": np.where(step == 0, np.nan, 4 - step / steps),
        "learning_rate": np.where(step == 0, np.nan, 1e-3),
        "validation_loss": np.where(epoch_ends, 4.0, np.nan),
        "recall_at_10": np.where(epoch_ends, 0.05 + step / 50, np.nan),
        "gap": np.where(epoch_ends, 1 - step / 100, np.nan),
        "paired": np.where(epoch_ends, step / 100 - 0.1, np.nan),
    }
    return pd.DataFrame(columns)


def cones(shift, count=100):
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((2, count, 8)) + np.array([0, shift])[:, None, None]
    return tuple(rows / np.linalg.norm(rows, axis=2, keepdims=True))


STAGES = {"before": cones(2), "after": cones(0)[:1] * 2}
CLOUDS = dict(zip(("audio", "text"), cones(1), strict=True))
HEADS = pd.DataFrame(
    {
        "heads": ["fast", "fast", "slow", "slow"],
        "temperature": [0.01, 0.1] * 2,
        "gap": [0.5, 0.2, 0.9, 0.3],
        "paired": 0.4,
        "R@10": 1.0,
    }
)
CONDITIONS = pd.DataFrame(
    {
        "condition": ["as it is", "w/o PD"],
        "cider_d": [30.0, 20.0],
        "low": [25.0, 15.0],
        "high": [35.0, 26.0],
    }
)


def swept(*copied):
    variants = [str(number) for number in range(len(copied))]
    return pd.DataFrame({"variant": variants, "cider_d": 20.0, "copied": copied})


@functools.cache
def table():
    results = grid_of({"w/o SS": 0.1, "w/o RAG": 0.18, "w/o PD": 0.05})
    return result_table("table3_ablation_in_domain", results, domains=DOMAINS)


@functools.cache
def differences():
    return effects("DRCap", "w/o PD", grid_of({"w/o PD": 0.05}), domains=DOMAINS)


FIGURES = {
    "clip": (
        lambda: plots.plot_clip(NOISE, SR),
        {"Amplitude", "Time (s)", "Frequency (kHz)", "Level (dB re full scale)"},
    ),
    "tags": (
        lambda: plots.plot_clip(NOISE, SR, TAGS, "Noise"),
        {"Probability of the likeliest tags"},
    ),
    "examples": (
        lambda: plots.plot_examples([NOISE] * 4, SR, ["A\nB"] * 4, "Wrong"),
        {"Time (s)"},
    ),
    "encoder input": (
        lambda: plots.plot_encoder_input(
            DRAW.uniform(-60, 0, (251, 64)), DRAW.random((128, 128)), 4, 10.0
        ),
        {"Time (s)", "Mel band"},
    ),
    "training": (
        lambda: plots.plot_training(training_log()),
        {"Loss (nats per token)", "Step", "Learning rate"},
    ),
    "clap training": (
        lambda: plots.plot_training(clap_log()),
        {"Contrastive loss (nats)", "R@10, audio to text", "Step"},
    ),
    "losses": (
        lambda: plots.plot_losses(
            {"DRCap": log_with_gap(0.5), "w/o SS": log_with_gap(1.25)}
        ),
        {"Loss (nats per token)", "Step"},
    ),
    "gap over training": (
        lambda: plots.plot_gap_over_training(clap_log()),
        {"Distance of the centroids", "Mean cosine of pairs"},
    ),
    "cones": (lambda: plots.plot_cones(STAGES), {"First axis", "Cosine"}),
    "heads": (
        lambda: plots.plot_heads(HEADS, "Colder, further apart", HEADS.iloc[0]),
        {"Temperature", "Distance of the centroids", "R@10, audio to text"},
    ),
    "conditions": (
        lambda: plots.plot_conditions(CONDITIONS, "Projection"),
        {"CIDEr-D (per cent, lines: 95 % intervals)"},
    ),
    "point": (
        lambda: plots.plot_point(CLOUDS, {"here": CLOUDS["text"][:1]}, "A point"),
        {"First axis", "Second axis"},
    ),
    "similarities": (
        lambda: plots.plot_similarity_histogram([-1.0, 0.76, 0.8, 1.0], (0.75, 0.85)),
        {"Cosine similarity", "Pairs of captions"},
    ),
    "matrices": (
        lambda: plots.plot_similarity_matrices({"before": np.eye(5)[::-1]}),
        {"Text", "Clip"},
    ),
    "projection": (
        lambda: plots.plot_projection(
            *(SUPPORT[0], SUPPORT, WEIGHTS, ["A dog", "A cat", "Rain", "Wind"])
        ),
        {"97%: A dog"},
    ),
    "counts": (
        lambda: plots.plot_counts({"with": 8, "without": 0}, 10, "Hits", "Hits"),
        {"Hits (lines: 95 % intervals)"},
    ),
    "in range": (
        lambda: plots.plot_counts_in_range(COUNTS, 3, "Few"),
        {"Captions inside the range", "Share of training captions"},
    ),
    "differences": (
        lambda: plots.plot_differences(differences(), "Points", "Projection"),
        {"Points"},
    ),
    "systems": (
        lambda: plots.plot_systems(table(), ["meteor", "cider_d"], "Systems"),
        {"METEOR (per cent)", "CIDEr-D (per cent)"},
    ),
    "sweep": (
        lambda: plots.plot_sweep(
            {"DRCap": swept(0.1, 0.2), "w/o SS": swept(0.0, 0.9)}, "k", "Copies", 60
        ),
        {"k", "CIDEr-D (per cent)", "Captions copied from the prompt"},
    ),
    "gain": (
        lambda: plots.plot_gain(SIMILARITIES, GAINS, "Gain (points)"),
        {"Gain (points)"},
    ),
    "origins": (lambda: plots.plot_origins(SHARES, "Origins"), {"Share of captions"}),
    "flows": (lambda: plots.plot_flows(FLOWS, "A system"), set()),
}


@functools.cache
def drawn(name):
    return FIGURES[name][0]()


def axes_of(name):
    return drawn(name).axes


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def title_of(figure):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    return " ".join([figure.get_suptitle(), *titles]).strip()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_labelled_shown_once_and_small_enough_to_commit(tmp_path, name):
    figure = drawn(name)
    assert title_of(figure) and not plt.get_fignums()
    found = {
        text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())
    }
    assert FIGURES[name][1] <= found
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save_figure(figure, tmp_path / "figure.png")
    content = (tmp_path / "figure.png").read_bytes()
    assert content.startswith(b"\x89PNG") and b"Software" not in content
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("name", ["training", "flows"])
def test_the_same_data_gives_the_same_bytes_under_any_settings(name):
    before = dict(matplotlib.rcParams)
    odd = {"font.size": 20, "savefig.dpi": 300, "lines.color": "r"}
    with matplotlib.rc_context(odd):
        again = plots.png(FIGURES[name][0]())
    assert again == plots.png(drawn(name))
    assert dict(matplotlib.rcParams) == before  # our style does not leak


def test_a_figure_too_large_to_commit_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "LARGEST_FIGURE", 1_000)
    with pytest.warns(UserWarning, match="counts.png: has .* bytes, over 1,000"):
        plots.save_figure(drawn("counts"), tmp_path / "counts.png")


@pytest.mark.parametrize("waveform", (np.zeros(800), np.ones(1)))
def test_the_shortest_and_the_silent_clip_can_be_drawn(waveform):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.png(plots.plot_clip(waveform.astype(np.float32), SR))


def test_only_the_likeliest_tags_are_drawn_the_highest_on_top():
    texts = texts_of(axes_of("tags")[-1])
    names, values = texts[0::2], texts[1::2]
    assert len(names) == plots.TAGS_SHOWN and "Silence" not in names
    assert names[-2:] == ["Bark", "Dog"] and values[-2:] == ["0.80", "0.90"]


def test_a_tone_lies_at_its_frequency_on_the_axis():
    tone = np.sin(2 * np.pi * 2_000 * np.arange(SR) / SR).astype(np.float32)
    axes = plots.plot_clip(tone, SR).axes[1]
    band = axes.images[0].get_array()[:, 50].argmax() + 0.5
    ticks = dict(zip(axes.get_yticks(), axes.get_yticklabels(), strict=True))
    nearest = min(ticks, key=lambda tick: abs(tick - band))
    assert ticks[nearest].get_text() == "2" and abs(nearest - band) <= 0.5


@pytest.mark.parametrize(
    "name, title",
    [
        ("encoder input", "10 s become 2 pieces of 128 frames, in 1,024 patches"),
        ("training", "Validation loss is lowest, 1.500, at step 60"),
        ("clap training", "from 0.05 to 0.85"),
        ("gap over training", "R@10 from 0.05 to 0.85 and the gap from 1.00 to 0.60"),
        ("losses", "0.50 (DRCap), 1.25 (w/o SS)"),
        ("cones", "after\ngap 0.00"),
        ("similarities", "50.0% of the similarities lie in [0.75, 0.85]"),
        ("sweep", "60 validation clips"),
        ("matrices", "before: 1 of 5 clips\nare nearest"),
    ],
)
def test_titles_tell_what_the_data_hold(name, title):
    assert title in title_of(drawn(name))


def test_a_training_without_validation_is_drawn():
    assert "Training loss" in title_of(plots.plot_training(training_log(False)))


def test_every_pair_is_drawn_in_one_plane_and_some_are_joined():
    above = axes_of("cones")[:2]  # row by row
    for axes, audio_and_text in zip(above, _planes(), strict=True):
        lines, *points = axes.collections
        assert 0 < len(lines.get_segments()) <= 50
        for drawn_points, expected in zip(points, audio_and_text, strict=True):
            np.testing.assert_allclose(drawn_points.get_offsets(), expected)
    equal = axes_of("cones")[3].patches[0].get_data().values  # pairs of the same rows
    assert equal[-1] == 1


def _planes():
    points = fixed_plane([rows for pair in STAGES.values() for rows in pair])
    return points[:2], points[2:]


def test_each_way_to_train_heads_is_a_line_and_the_model_in_use_a_star():
    for axes, column in zip(axes_of("heads"), ("gap", "paired", "R@10"), strict=True):
        fast, slow, star = (list(line.get_ydata()) for line in axes.lines)
        assert fast + slow == list(HEADS[column]) and star == [HEADS[column][0]]


def test_conditions_are_drawn_from_top_to_bottom_with_their_intervals():
    [axes] = axes_of("conditions")
    assert list(axes.lines[0].get_ydata()) == [1, 0]
    bounds = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(bounds, CONDITIONS[["low", "high"]])


def test_eq_4_is_drawn_with_the_captions_as_large_as_their_weight():
    first, second = axes_of("projection")
    for axes, weights in ((first, WEIGHTS[0.1]), (second, WEIGHTS[9.0])):
        sizes = axes.collections[0].get_sizes()
        np.testing.assert_allclose(sizes, 4 + 900 * weights)
    heard, projected = (line.get_xydata()[0] for line in first.lines)
    points = np.asarray(first.collections[0].get_offsets())
    np.testing.assert_allclose(heard, points[0], atol=1e-9)  # it is a caption's place
    mean = WEIGHTS[0.1] @ points  # a plane's mean is the mean's place in the plane
    np.testing.assert_allclose(projected, mean, atol=1e-9)


def test_the_histogram_counts_every_similarity():
    bars = axes_of("similarities")[0].containers[0]
    assert sum(bar.get_height() for bar in bars) == 4


def test_counts_are_drawn_from_top_to_bottom_with_wilson_intervals():
    axes = axes_of("counts")[0]
    assert texts_of(axes) == ["0 of 10", "8 of 10"]  # from the bottom up
    assert [text.get_text() for text in axes.get_yticklabels()] == ["without", "with"]
    intervals = axes.collections[0].get_segments()
    # reference: Wilson's formula at p = 0.8 and 0, n = 10, z = 1.96
    np.testing.assert_allclose(intervals[1][:, 0], [0.4902, 0.9433], atol=1e-4)
    np.testing.assert_allclose(intervals[0][:, 0], [0, 0.2775], atol=1e-4)


def test_captions_in_range_are_counted_up_to_what_is_wanted():
    axes = axes_of("in range")[0]
    shares = [bar.get_height() for bar in axes.patches]
    assert shares == pytest.approx([2 / 4, 1 / 4, 0, 1 / 4, 0, 0, 0, 1])
    assert texts_of(axes) == ["50%", "25%", "0%", "25%", "0%", "0%", "0%", "100%"]


def test_differences_are_drawn_with_their_intervals_and_the_papers():
    frame = differences()
    first = frame[frame["group"] == "scapes-ac"]
    axes = axes_of("differences")[0]
    zero, ours, paper = axes.lines
    for line, column in ((ours, "difference"), (paper, "paper_difference")):
        given = list(first[column])
        assert list(line.get_xdata()) == pytest.approx(given, nan_ok=True)
    bounds = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    assert np.allclose(bounds, first[["low", "high"]], equal_nan=True)


def test_every_system_is_a_row_with_our_score_and_the_papers():
    names = [text.get_text() for text in axes_of("systems")[0].get_yticklabels()]
    for axes, metric in zip(axes_of("systems"), ("meteor", "cider_d"), strict=True):
        block = table().set_index("metric").loc[metric].set_index("system")
        assert names == list(block.index)[::-1]  # from the bottom up
        for line, column in zip(axes.lines, ("ours", "paper"), strict=True):
            values = dict(zip(line.get_ydata(), line.get_xdata(), strict=True))
            by_row = [values[row] for row in range(len(names))]
            assert by_row == pytest.approx(list(block[column])[::-1], nan_ok=True)


def test_a_system_keeps_its_row_where_it_was_not_run():
    frame = table()
    other = frame[frame["system"] != "w/o RAG"].assign(ours_on="elsewhere")
    both = pd.concat([frame, other])
    first, second = plots.plot_systems(both, ["cider_d"], "Systems").axes
    rows = [len(axes.lines[0].get_ydata()) for axes in (first, second)]
    assert rows == [5, 4]
    assert {*second.lines[0].get_ydata()} < {*first.lines[0].get_ydata()}


def test_each_captioner_of_a_sweep_has_a_line_in_both_panels():
    score, copies = axes_of("sweep")
    assert [list(line.get_ydata()) for line in copies.lines] == [[0.1, 0.2], [0.0, 0.9]]
    assert len(score.lines) == 2


def test_the_gain_is_averaged_over_parts_of_rising_similarity():
    order = np.argsort(SIMILARITIES, kind="stable")
    parts = np.array_split(GAINS[order], 5)
    [axes] = axes_of("gain")
    means = list(axes.lines[-1].get_ydata())
    assert means == pytest.approx([part.mean() for part in parts])
    bounds = axes.collections[1].get_segments()[0][:, 1]
    first = interval(parts[0])
    assert bounds == pytest.approx([first.low, first.high])


def test_the_origins_of_a_row_fill_its_bar():
    bars = axes_of("origins")[0].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(len(SHARES))


def test_every_box_of_a_diagram_is_named_and_coloured_if_trained():
    [axes] = axes_of("flows")
    texts = texts_of(axes)
    named = [text for text in texts if text]
    assert named == ["training", "caption", "CLAP", "LM", "inference", "audio", "CLAP"]
    assert texts.count("") == 3  # arrows between neighbours
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    colours = [to_hex(box.get_facecolor()) for box in boxes]
    pale, trained = style.PALE, style.COLOURS[0]
    assert colours == [pale, pale, trained, pale, pale]


def test_a_spectrogram_is_in_decibels_of_full_scale():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(SR) / SR).astype(np.float32)
    decibels = log_mel(tone, SR)
    assert decibels.shape == (MELS, 101) and abs(decibels[:, 50].max()) < 2.5
    halved = log_mel(tone / 2, SR)
    assert decibels.max() - halved.max() == pytest.approx(6.02, abs=0.01)
    assert (log_mel(np.zeros(SR, np.float32), SR) == FLOOR_DB).all()
    assert np.isfinite(log_mel(np.ones(1, np.float32), SR)).all()
