import json

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from drcap.clap import load_clap
from drcap.clap.model import CLAPModel, TrainedCLAP
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


def test_a_clip_is_followed_by_zeros_and_cropped(clap, waveforms):
    _, short, long = waveforms
    padded = np.concatenate([short, np.zeros(270_000, np.float32)])
    pairs = (short, padded), (long, long[:320_000])
    for one, other in pairs:
        assert torch.equal(clap.encode_audio([one]), clap.encode_audio([other]))


def test_training_mode_keeps_the_normalisation_and_a_frozen_text_encoder(text_model):
    model = make(text_model).train()
    log_mels = torch.randn(2, 126, 32)
    before = {name: each.clone() for name, each in model.named_buffers()}
    alone = model.embed_log_mels(log_mels[:1])
    together = model.embed_log_mels(log_mels)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=0)
    assert all(torch.equal(each, before[name]) for name, each in model.named_buffers())
    tokens = model.tokenize(CAPTIONS)
    assert torch.equal(model.text_features(**tokens), model.text_features(**tokens))
    assert not model.text_features(**tokens).requires_grad
    assert model.embed_tokens(**tokens).requires_grad  # its projection learns


def test_a_trained_text_encoder_learns(text_model):
    model = make(text_model, trained=True).train()
    model.embed_tokens(**model.tokenize(CAPTIONS)).sum().backward()
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
    ids = model.tokenize(CAPTIONS[:1])["input_ids"]
    states = BertModel.from_pretrained(text_model).eval()(ids).last_hidden_state[0]
    expected = states[0] if pooling == "first" else states.mean(0)
    features = model.text_features(**model.tokenize(CAPTIONS))[0]
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def test_long_captions_are_cut(text_model):
    model = make(text_model, max_tokens=5)
    tokens = model.tokenize(["dog " * 40, "a dog"])
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
    loaded = load_clap(tmp_path / "model", device="cpu")
    assert loaded.fingerprint == clap.fingerprint
    assert torch.equal(loaded.encode_audio(waveforms), clap.encode_audio(waveforms))
    assert torch.equal(loaded.encode_text(CAPTIONS), clap.encode_text(CAPTIONS))
    written = sorted(path.name for path in (tmp_path / "model").iterdir())
    always = ["config.json", "model.safetensors"]
    assert written == always + ["text_encoder"] * trained


def test_a_frozen_text_encoder_is_not_saved(clap, tmp_path):
    from safetensors.torch import load_file

    clap.save(tmp_path / "model")
    names = load_file(tmp_path / "model" / "model.safetensors")
    assert not any(name.startswith("text_encoder.") for name in names)
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
        ("config.json", "{", "not JSON"),
        ("config.json", '{"kind": "clap", "dims": 3}', "dims: unknown key"),
        ("config.json", None, "does not fit its config.json"),
        ("model.safetensors", "damaged", "model.safetensors: damaged"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(clap, tmp_path, file, content, message):
    folder = tmp_path / "model"
    clap.save(folder)
    if content is None:
        values = json.loads((folder / file).read_text())
        content = json.dumps(values | {"dim": 31})
    (folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        TrainedCLAP.load(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(clap, tmp_path, file):
    clap.save(tmp_path / "model")
    (tmp_path / "model" / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file}: missing; not a saved CLAP"):
        TrainedCLAP.load(tmp_path / "model")


def test_a_missing_text_encoder_is_named():
    with pytest.raises(AssetError, match="no model folder at ./nowhere"):
        make("./nowhere")


def test_heads_that_do_not_divide_their_stage_are_refused(text_model):
    config = override(clap_profile("smoke"), {"audio_encoder": {"heads": (3, 4)}})
    with pytest.raises(ConfigError, match="3 do not divide the width 16 of stage 0"):
        CLAPModel(config)
