"""A tiny GGUF, written here, becomes a folder that loads with the same weights."""

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from drcap.assets.convert_gguf import convert

WIDTH, HIDDEN, VOCABULARY = 32, 64, ["<unk>", "<s>", "</s>", "d", "o", "g", "do", "dog"]


@pytest.fixture
def tiny_gguf(tmp_path):
    """A Llama of one layer, its matrices quantised to 8 bits; and its float weights."""
    path = tmp_path / "gguf" / "tiny.gguf"
    path.parent.mkdir()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["d o", "do g"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, shape in {
        "token_embd.weight": (len(VOCABULARY), WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH),
        "blk.0.attn_k.weight": (WIDTH // 2, WIDTH),
        "blk.0.attn_v.weight": (WIDTH // 2, WIDTH),
        "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_gate.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_up.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_down.weight": (WIDTH, HIDDEN),
    }.items():
        values = np.random.default_rng(len(name)).standard_normal(shape)
        _add(writer, name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer, name, values):
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def test_a_converted_model_has_the_dequantised_weights_in_bfloat16(tiny_gguf, tmp_path):
    folder = tmp_path / "converted"
    convert(tiny_gguf, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    reference = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.float32
    )
    assert model.dtype == torch.bfloat16
    expected = reference.state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(weights, expected[name].to(torch.bfloat16))


def test_a_converted_folder_names_no_source_and_is_readable_by_all(tiny_gguf, tmp_path):
    folder = tmp_path / "converted"
    convert(tiny_gguf, folder)
    assert str(tmp_path) not in (folder / "config.json").read_text()
    assert "quantization_config" not in (folder / "config.json").read_text()
    assert (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("dog") == ["dog"]


def test_conversion_keeps_quiet(tiny_gguf, tmp_path, capfd):
    convert(tiny_gguf, tmp_path / "converted")
    assert capfd.readouterr() == ("", "")
