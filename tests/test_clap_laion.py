import json

import numpy as np
import pytest
import torch
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    PreTrainedTokenizerFast,
)

from drcap.clap.laion import LaionCLAP
from drcap.errors import CheckpointError

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "a", "dog", "barks", "rain", "falls"]


def save_model(folder, **audio):
    """Save a small random LAION-CLAP as transformers would."""
    text = ClapTextConfig(
        **{"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "intermediate_size": 32},
        max_position_embeddings=90,
    )
    sound = ClapAudioConfig(
        **{"patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [2, 2]},
        **{"num_attention_heads": [2, 4], "num_hidden_layers": 2, **audio},
    )
    both = {"text_config": text.to_dict(), "audio_config": sound.to_dict()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ClapModel(ClapConfig(**both, projection_dim=24))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        torch.nn.init.constant_(model.logit_scale_a, 3.0)
        statistics = model.audio_model.audio_encoder.batch_norm
        statistics.running_mean.fill_(-30)
        statistics.running_var.fill_(100)
    model.save_pretrained(folder)
    return model.eval()


def save_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"bos_token": "<s>", "eos_token": "</s>"},
        **{"pad_token": "<pad>", "unk_token": "<unk>"},
    )
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("laion")


@pytest.fixture(scope="module")
def reference(folder):
    model = save_model(folder)
    save_tokenizer(folder)
    ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc").save_pretrained(
        folder
    )
    return model


@pytest.fixture(scope="module")
def clap(folder, reference):
    return LaionCLAP(str(folder), device="cpu")


@pytest.fixture(scope="module")
def waveforms():
    random = np.random.default_rng(0)
    return [
        random.standard_normal(n).astype(np.float32) / 10 for n in (480_000, 100_000)
    ]


@torch.inference_mode()
def test_audio_embeddings_are_transformers_own(folder, reference, clap, waveforms):
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    inputs = extractor(
        waveforms, sampling_rate=48_000, padding="pad", return_tensors="pt"
    )
    expected = reference.get_audio_features(inputs["input_features"]).pooler_output
    found = clap.encode_audio(waveforms)
    assert found.shape == (2, 24) and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (expected[0] - expected[1]).norm() > 0.01


@torch.inference_mode()
def test_text_embeddings_are_transformers_own(reference, clap):
    ids = torch.tensor([[0, 4, 5, 6, 2], [0, 7, 2, 1, 1]])
    mask = (ids != 1).long()
    expected = reference.get_text_features(ids, mask).pooler_output
    found = clap.encode_text(["a dog barks", "rain"])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_embedding_does_not_depend_on_its_batch(clap, waveforms):
    together = clap.encode_audio(waveforms)
    alone = torch.cat([clap.encode_audio([each]) for each in waveforms])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_the_model_tells_its_own_settings(clap):
    assert (clap.dim, clap.sr, clap.window_seconds) == (24, 48_000, 10.0)
    assert clap.temperature == pytest.approx(np.exp(-3.0), rel=1e-6)
    assert clap.fingerprint.startswith("laion-clap-")
    assert clap.encode_audio([]).shape == clap.encode_text([]).shape == (0, 24)


def rewrite(folder, target, change):
    """Copy a saved model with other tensors."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize("there", [True, False])
def test_counted_positions_may_be_there_or_not(folder, clap, tmp_path, there):
    key = "text_model.embeddings.position_ids"

    def change(tensors):
        tensors.pop(key, None)
        if there:
            tensors[key] = torch.arange(90)[None]

    other = LaionCLAP(rewrite(folder, tmp_path / "other", change), device="cpu")
    captions = ["a dog barks", "rain falls"]
    assert torch.equal(other.encode_text(captions), clap.encode_text(captions))


def test_missing_and_unexpected_weights_are_named(folder, clap, tmp_path):
    lacking = rewrite(folder, tmp_path / "1", lambda t: t.pop("logit_scale_a"))
    with pytest.raises(CheckpointError, match="missing keys: logit_scale_a"):
        LaionCLAP(lacking)
    odd = rewrite(
        folder, tmp_path / "2", lambda t: t.update({"text_odd": torch.zeros(1)})
    )
    with pytest.raises(CheckpointError, match="unexpected keys: text_odd"):
        LaionCLAP(odd)


def test_a_fused_model_is_refused(folder, clap, tmp_path):
    other = tmp_path / "fused"
    rewrite(folder, other, lambda tensors: None)
    save_model(other, enable_fusion=True, fusion_type="aff_2d")
    with pytest.raises(CheckpointError, match="fuses crops drawn at random"):
        LaionCLAP(other)


def test_a_folder_of_another_kind_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clap"}))
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        LaionCLAP(tmp_path)
