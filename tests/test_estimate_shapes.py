"""Sizes by arithmetic, against hand computations, transformers and autograd."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    RobertaConfig,
    RobertaModel,
)

from drcap.config import AudioEncoderConfig
from drcap.errors import ConfigError
from drcap.estimate.shapes import (
    KNOWN,
    LLAMA_7B,
    TEXT_ENCODERS,
    LanguageModelShape,
    audio_encoder_operations,
    audio_encoder_weights,
    language_model_shape,
    text_encoder_shape,
)

SMALL = LanguageModelShape(512, 128, 3, 4, 4, 384)


def architecture(shape, **changes):
    kind = Qwen2Config if shape.bias else LlamaConfig
    return kind(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
        **changes,
    )


def test_llama_7b_by_hand():
    assert LLAMA_7B.block_weights == 32 * (4 * 4096**2 + 3 * 4096 * 11_008)
    assert LLAMA_7B.parameters == 6_738_415_616
    assert LLAMA_7B.weight_bytes(2) == pytest.approx(13.5e9, rel=2e-3)
    assert LLAMA_7B.weight_bytes(2, quantised=True) == pytest.approx(3.87e9, rel=5e-3)
    assert LLAMA_7B.cache_bytes(1) == 2 * 32 * 4096 * 2 == 524_288
    assert LLAMA_7B.adapter(8, ("q_proj", "v_proj")) == 4_194_304
    a_token = LLAMA_7B.forward_operations(1, 1, 1)
    assert a_token == pytest.approx(2 * 6.6e9, rel=0.01)  # two a weight


def test_shared_keys_make_the_cache_of_llama_3_four_times_smaller():
    shape = language_model_shape("meta-llama/Meta-Llama-3-8B-Instruct")
    assert shape.cache_bytes(1) == 131_072
    assert shape.parameters == pytest.approx(8.03e9, rel=1e-3)


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_those_that_transformers_counts(name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture(KNOWN[name]))
    assert sum(each.numel() for each in model.parameters()) == KNOWN[name].parameters


def test_a_folder_is_read_for_its_shape(language_model):
    shape = language_model_shape(language_model)
    model = AutoModelForCausalLM.from_pretrained(language_model)
    assert sum(each.numel() for each in model.parameters()) == shape.parameters
    assert (shape.depth, shape.kv_heads) == (2, 2)


def test_an_unknown_model_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match="'no/such' is not known .* lmsys/vicuna-7b"):
        language_model_shape("no/such")


def test_a_model_of_another_family_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 9, "n_embd": 8}))
    with pytest.raises(ConfigError, match="has no hidden_size, so it is no Llama"):
        language_model_shape(str(tmp_path))


def test_a_target_that_no_block_has_is_refused():
    with pytest.raises(ConfigError, match="no c_attn here; one of q_proj"):
        LLAMA_7B.adapter(8, ("c_attn",))


def test_what_blocks_keep_is_what_autograd_saves():
    torch.manual_seed(0)
    model = LlamaForCausalLM(architecture(SMALL, attn_implementation="sdpa"))
    model.requires_grad_(False)
    inputs = torch.randn(2, 64, SMALL.width, requires_grad=True)
    own = {each.untyped_storage().data_ptr() for each in model.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)  # kept alive
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(inputs_embeds=inputs, use_cache=False)
    expected = SMALL.depth * SMALL.kept_bytes(2 * 64, 4)
    assert sum(size for size, _ in saved.values()) == pytest.approx(expected, rel=0.2)


def test_operations_of_a_pass_are_those_that_torch_counts():
    model = LlamaForCausalLM(architecture(SMALL, attn_implementation="eager"))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, 64, dtype=torch.long), use_cache=False)
    expected = SMALL.forward_operations(2, 64, 64)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.1)


def test_roberta_has_the_parameters_that_transformers_counts():
    config = RobertaConfig(
        vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1
    )
    with torch.device("meta"):
        model = RobertaModel(config, add_pooling_layer=False)
    counted = sum(each.numel() for each in model.parameters())
    assert TEXT_ENCODERS["roberta-base"].parameters == counted


def test_an_unknown_text_encoder_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match="'t5' is not known here; use one of roberta"):
        text_encoder_shape("t5")


def test_hts_at_has_the_size_that_is_told_of_it():
    config = AudioEncoderConfig()
    assert audio_encoder_weights(config) == pytest.approx(27.4e6, rel=0.01)
    # 2 * 12 * 4096 * 96^2 a block at any stage, twelve blocks, and windows' attention
    blocks = 12 * 2 * 12 * 4096 * 96**2
    assert blocks < audio_encoder_operations(config) < 1.2 * blocks
