import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import AutoTokenizer, BertConfig, BertModel

from drcap.clap.model import (
    CLAPModel,
    TrainedCLAP,
    contrastive_loss,
)
from drcap.config import clap_profile, override
from drcap.errors import AssetError, CheckpointError, ConfigError

CAPTIONS = ["A dog barks", "Rain is heard nearby while people talk in a park"]


@pytest.fixture(scope="module")
def text_model(language_model, tmp_path_factory) -> str:
    """The folder of a tiny BERT whose tokens are whole words."""
    folder = tmp_path_factory.mktemp("text-model")
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            **{"vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 1},
            **{"num_attention_heads": 2, "intermediate_size": 32},
        )
        BertModel(config).save_pretrained(folder)
    return str(folder)


def make(text_model: str, trained: bool = False, **text) -> CLAPModel:
    text |= {"model": text_model, "trained": trained}
    config = override(clap_profile("smoke"), {"text_encoder": text})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLAPModel(config)


@pytest.fixture(scope="module")
def clap(text_model) -> TrainedCLAP:
    return TrainedCLAP(make(text_model))


@pytest.fixture(scope="module")
def waveforms():
    random = np.random.default_rng(0)
    lengths = (320_000, 50_000, 400_000)
    return [random.standard_normal(n).astype(np.float32) / 10 for n in lengths]


def test_embeddings_are_unit_rows_of_the_models_width(clap, waveforms):
    for rows in (clap.encode_audio(waveforms[:2]), clap.encode_text(CAPTIONS)):
        assert rows.shape == (2, 32) and rows.dtype == torch.float32
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(2))
    assert clap.encode_audio([]).shape == clap.encode_text([]).shape == (0, 32)


def test_an_embedding_does_not_depend_on_its_batch(clap, waveforms):
    for encode, batch in (
        (clap.encode_audio, waveforms),
        (clap.encode_text, CAPTIONS),
    ):
        alone = torch.cat([encode([each]) for each in batch])
        torch.testing.assert_close(encode(batch), alone, atol=1e-5, rtol=0)


def test_bfloat16_moves_an_embedding_little_and_none_with_its_batch(clap, waveforms):
    halved = TrainedCLAP(clap.model, "bfloat16")
    rows = halved.encode_audio(waveforms)
    assert rows.dtype == torch.float32
    assert 0.99 < (rows * clap.encode_audio(waveforms)).sum(1).min() < 1 - 1e-7
    for row, waveform in zip(rows, waveforms, strict=True):
        assert torch.equal(halved.encode_audio([waveform])[0], row)
    texts = [each.encode_text(CAPTIONS) for each in (halved, clap)]
    assert 0.99 < (texts[0] * texts[1]).sum(1).min()


def test_a_clip_is_followed_by_zeros_and_cropped(clap, waveforms):
    _, short, long = waveforms
    padded = np.concatenate([short, np.zeros(270_000, np.float32)])
    pairs = (short, padded), (long, long[:320_000])
    for one, other in pairs:
        assert torch.equal(clap.encode_audio([one]), clap.encode_audio([other]))


def test_training_mode_keeps_the_normalisation_and_a_frozen_text_encoder(text_model):
    model = make(text_model).train()
    log_mels = torch.randn(2, 126, 32)
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    alone = model.embed_log_mels(log_mels[:1])
    together = model.embed_log_mels(log_mels)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    after = dict(model.named_buffers())
    assert all(torch.equal(after[name], before[name]) for name in before)
    tokens = model.text_encoder.tokenize(CAPTIONS)
    features = model.text_encoder(**tokens)
    assert torch.equal(model.text_encoder(**tokens), features)
    assert not features.requires_grad
    assert model.embed_text(CAPTIONS).requires_grad  # its projection learns


def test_a_trained_text_encoder_learns(text_model):
    model = make(text_model, trained=True).train()
    model.embed_text(CAPTIONS).sum().backward()
    weights = model.text_encoder.parameters()
    assert any(each.grad is not None and each.grad.any() for each in weights)


def test_the_fitted_normalisation_makes_bands_standard(text_model):
    model = make(text_model)
    log_mels = 5 * torch.randn(8, 126, 32) - torch.arange(32.0)
    bands = log_mels.flatten(0, 1)
    model.fit_normalisation(bands.mean(0), bands.var(0))
    standard = model.normalisation(log_mels.permute(0, 2, 1)[..., None])
    torch.testing.assert_close(
        standard.mean((0, 2, 3)), torch.zeros(32), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        standard.std((0, 2, 3)), torch.ones(32), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_token_states_are_pooled_without_the_padding(text_model, pooling):
    model = make(text_model, pooling=pooling).eval()
    ids = model.text_encoder.tokenize(CAPTIONS[:1])["input_ids"]
    states = BertModel.from_pretrained(text_model).eval()(ids).last_hidden_state[0]
    expected = states[0] if pooling == "first" else states.mean(0)
    features = model.text_encoder(**model.text_encoder.tokenize(CAPTIONS))[0]
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def test_long_captions_are_cut(text_model):
    model = make(text_model, max_tokens=5)
    tokens = model.text_encoder.tokenize(["dog " * 40, "a dog"])
    assert sorted(tokens) == ["attention_mask", "input_ids"]
    assert tokens["input_ids"].shape == (2, 5)
    assert tokens["attention_mask"].sum(1).tolist() == [5, 2]


def test_the_temperature_starts_as_configured_and_is_learned(text_model):
    model = make(text_model)
    assert float(model.temperature.detach()) == pytest.approx(0.07)
    (torch.ones(2) / model.temperature).sum().backward()
    assert model.log_temperature.grad is not None


@pytest.mark.parametrize("trained", [True, False])
def test_a_saved_model_embeds_alike(text_model, waveforms, tmp_path, trained):
    clap = TrainedCLAP(make(text_model, trained))
    clap.save(tmp_path / "model")
    loaded = TrainedCLAP.load(tmp_path / "model", device="cpu")
    assert loaded.fingerprint == clap.fingerprint
    assert torch.equal(loaded.encode_audio(waveforms), clap.encode_audio(waveforms))
    assert torch.equal(loaded.encode_text(CAPTIONS), clap.encode_text(CAPTIONS))
    written = sorted(path.name for path in (tmp_path / "model").iterdir())
    always = ["config.json", "model.safetensors"]
    assert written == always + ["text_encoder"] * trained
    names = load_file(tmp_path / "model" / "model.safetensors")
    assert any(name.startswith("text_encoder.") for name in names) is trained
    assert any(name.startswith("text_projection.") for name in names)


def test_the_fingerprint_changes_with_any_weight(text_model):
    model = make(text_model)
    before = TrainedCLAP(model).fingerprint
    assert TrainedCLAP(model).fingerprint == before
    with torch.no_grad():
        model.audio_projection[2].bias[0] += 1
    assert TrainedCLAP(model).fingerprint != before


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", "config.json: not of a saved CLAP model"),
        ("config.json", '{"kind": "drcap"}', "its kind is not clap"),
        ("config.json", '{"kind": "clap", "dims": 3}', "dims: unknown"),
        ("config.json", "wider", "safetensors: cannot be loaded .*size mismatch"),
        ("model.safetensors", "damaged", "model.safetensors: cannot be loaded"),
        ("config.json", None, "config.json: not of a saved .*No such file"),
        ("model.safetensors", None, "safetensors: cannot be loaded .*No such file"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(clap, tmp_path, file, content, message):
    folder = tmp_path / "model"
    clap.save(folder)
    if content == "wider":
        values = json.loads((folder / file).read_text())
        content = json.dumps(values | {"dim": 31})
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        TrainedCLAP.load(folder)


def test_missing_and_unexpected_weights_are_named(clap, tmp_path):
    weights, path = clap.model.saved(), tmp_path / "model.safetensors"
    save_file({n: t for n, t in weights.items() if n != "log_temperature"}, path)
    with pytest.raises(CheckpointError, match="log_temperature is missing"):
        clap.model.load(path)
    save_file({**weights, "odd": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="odd is unexpected"):
        clap.model.load(path)


def test_a_missing_text_encoder_is_named():
    with pytest.raises(AssetError, match="no model folder at ./nowhere"):
        make("./nowhere")


def test_heads_that_do_not_divide_their_stage_are_refused():
    with pytest.raises(
        ConfigError, match="audio_encoder.heads must divide their stage"
    ):
        override(clap_profile("smoke"), {"audio_encoder": {"heads": (3, 4)}})


# the loss


def rows(count, dim=5, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=draw), dim=1)


def by_hand(audio, text, temperature, clip_ids):
    """Sum -q log p over every pair of rows, in float64, one row at a time."""
    cosines = audio.double().numpy() @ text.double().numpy().T
    total, count = 0.0, len(clip_ids)
    for scores in (cosines / temperature, cosines.T / temperature):
        for row in range(count):
            right = [
                other for other in range(count) if clip_ids[other] == clip_ids[row]
            ]
            log_normaliser = np.log(np.exp(scores[row]).sum())
            for other in right:
                total -= (scores[row, other] - log_normaliser) / len(right)
    return total / (2 * count)


@pytest.mark.parametrize(
    "clip_ids", [[0, 1, 2, 3, 4, 5], [7, 3, 7, 1, 3, 7], [2, 2, 2, 2, 2, 2]]
)
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_the_loss_is_the_mean_over_rows_of_both_directions(clip_ids, temperature):
    audio, text = rows(6, seed=1), rows(6, seed=2)
    loss = contrastive_loss(audio, text, temperature, torch.tensor(clip_ids))
    expected = by_hand(audio, text, temperature, clip_ids)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_shared_clips_it_is_the_usual_cross_entropy():
    audio, text, clip_ids = rows(8, seed=1), rows(8, seed=2), torch.arange(8)
    cosines = audio @ text.T / 0.1
    usual = (
        F.cross_entropy(cosines, clip_ids) + F.cross_entropy(cosines.T, clip_ids)
    ) / 2
    torch.testing.assert_close(contrastive_loss(audio, text, 0.1, clip_ids), usual)


def test_the_loss_of_matched_swapped_and_equal_embeddings_is_known():
    audio, clips = torch.eye(4), torch.arange(4)
    assert contrastive_loss(audio, audio, 0.05, clips) < 1e-6
    swapped = contrastive_loss(audio, audio.flip(0), 0.05, clips)
    assert swapped == pytest.approx(20, rel=1e-3)
    same = F.normalize(torch.ones(4, 3), dim=1)
    equal = contrastive_loss(same, same, 0.07, clips)
    assert equal.item() == pytest.approx(np.log(4))


def test_neither_the_order_of_pairs_nor_swapping_the_modalities_matters():
    audio, text = rows(6, seed=1), rows(6, seed=2)
    clip_ids, order = torch.tensor([0, 1, 1, 2, 3, 0]), torch.tensor([3, 5, 0, 2, 4, 1])
    loss = contrastive_loss(audio, text, 0.2, clip_ids)
    shuffled = contrastive_loss(audio[order], text[order], 0.2, clip_ids[order])
    torch.testing.assert_close(shuffled, loss)
    torch.testing.assert_close(contrastive_loss(text, audio, 0.2, clip_ids), loss)


def test_the_gradient_agrees_with_finite_differences():
    clip_ids = torch.tensor([0, 1, 0, 2])
    inputs = (
        rows(4, seed=1).double().requires_grad_(),
        rows(4, seed=2).double().requires_grad_(),
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(
        lambda audio, text, tau: contrastive_loss(audio, text, tau, clip_ids), inputs
    )
