"""Heads learn on states that are read once; what makes the gap can be set."""

import numpy as np
import pytest
import torch
from doubles_clap import tiny_clap_config, tiny_text_encoder, write_clips
from torch.nn import functional as F

from drcap.clap.heads import States, read_states, train_heads
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.errors import ConfigError
from drcap.modality_gap import gap_statistics

PAIRS, HELD_OUT, RATE = 64, 20, 5e-3


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clap")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TrainedCLAP(CLAPModel(tiny_clap_config(tiny_text_encoder(folder))))


@pytest.fixture(scope="module")
def states(clap):
    """The same content, seen through a random matrix by each modality."""
    draw = torch.Generator().manual_seed(0)
    content = torch.randn(PAIRS + HELD_OUT, 6, generator=draw)
    widths = clap.model.audio_projection[0].in_features, clap.model.text_encoder.width
    audio, text = (content @ torch.randn(6, n, generator=draw) for n in widths)
    parts = audio.split([PAIRS, HELD_OUT]), text[:, None].split([PAIRS, HELD_OUT])
    return [States(*part) for part in zip(*parts, strict=True)]


def last(clap, states, **changes):
    options = {"temperature": 0.07, "rate": RATE, "stops": (150,)}
    return train_heads(clap.model, *states, **options | changes)[-1]


def gap(stage):
    return gap_statistics(stage.audio, stage.text).distance


def test_states_are_what_the_heads_make_the_models_embeddings_of(
    clap, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    clips = write_clips(tmp_path, 3, longest=1.0)
    read = read_states(clips, clap)
    with torch.no_grad():
        audio = F.normalize(clap.model.audio_projection(read.audio), dim=-1)
        text = clap.model.project_text(read.text[:, 0])
    waveforms = [np.zeros(8_000, np.float32) for _ in clips]
    for row, clip in enumerate(clips):
        import soundfile

        heard = soundfile.read(clip.path, dtype="float32")[0][:8_000]
        waveforms[row][: len(heard)] = heard
    torch.testing.assert_close(audio, clap.encode_audio(waveforms), atol=1e-4, rtol=0)
    first = clap.encode_text([clip.captions[0] for clip in clips])
    torch.testing.assert_close(text, first, atol=1e-5, rtol=0)
    monkeypatch.setattr(clap, "log_mels", None)  # they are kept: nothing is read again
    assert torch.equal(read_states(clips, clap).audio, read.audio)


def test_training_brings_pairs_together_and_leaves_the_model_as_it_was(clap, states):
    before = [weight.clone() for weight in clap.model.parameters()]
    first, final = train_heads(
        clap.model, *states, temperature=0.07, rate=RATE, stops=(0, 150)
    )
    for weight, old in zip(clap.model.parameters(), before, strict=True):
        assert torch.equal(weight, old)
    for stage in (first, final):
        assert stage.text.shape[:2] == (HELD_OUT, 1)
        np.testing.assert_allclose(np.linalg.norm(stage.audio, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        untrained = F.normalize(clap.model.audio_projection(states[1].audio), dim=-1)
    np.testing.assert_allclose(first.audio, untrained.numpy(), atol=1e-6)
    nearer = [gap_statistics(stage.audio, stage.text) for stage in (first, final)]
    assert nearer[1].paired - nearer[1].unpaired > 0.3
    assert nearer[0].paired - nearer[0].unpaired < 0.1
    assert first.temperature == final.temperature == pytest.approx(0.07)


def test_a_lower_temperature_and_mismatched_pairs_leave_pairs_further_apart(
    clap, states
):
    paired = {
        name: gap_statistics(stage.audio, stage.text).paired
        for name, stage in {
            "as it is": last(clap, states),
            "mismatched": last(clap, states, mismatched=0.5),
        }.items()
    }
    assert paired["mismatched"] < paired["as it is"] - 0.05
    assert gap(last(clap, states, temperature=0.005)) > gap(last(clap, states))


def test_the_same_seed_gives_the_same_heads(clap, states):
    one, same, other = (last(clap, states, seed=seed, stops=(5,)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.audio, same.audio)
    assert not np.array_equal(one.audio, other.audio)


def test_a_learned_temperature_moves_and_centred_heads_start_without_a_gap(
    clap, states
):
    assert last(clap, states, learned=True).temperature != pytest.approx(0.07)
    start = {"temperature": 0.07, "stops": (0,)}
    cones, none = (
        train_heads(clap.model, states[0], states[0], centred=centred, **start)[0]
        for centred in (False, True)
    )
    assert gap(none) < 0.3 < gap(cones)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"mismatched": 1.5}])
def test_impossible_settings_are_refused(clap, states, wrong):
    with pytest.raises(ConfigError, match="must be above 0, the second in"):
        last(clap, states, **wrong)
