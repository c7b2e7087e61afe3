"""Language models of other families, tokenizers that lack tokens, what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from doubles import TOY_CAPTIONS
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from drcap.captioner import language_model as module
from drcap.captioner.generate import generate
from drcap.captioner.language_model import checkpoint_activations, load_language_model
from drcap.captioner.model import Captioner
from drcap.config import CaptionerConfig, GenerationConfig
from drcap.errors import AssetError, ConfigError

TINY = {
    **{"vocab_size": 200, "hidden_size": 32, "intermediate_size": 64},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    **{"bos_token_id": None, "eos_token_id": 1, "initializer_range": 0.2},
}
FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


@pytest.fixture
def folder(language_model, tmp_path):
    return Path(shutil.copytree(language_model, tmp_path / "model"))


def change(path, **values):
    """Change a JSON file; None takes a key out."""
    merged = json.loads(path.read_text()) | values
    kept = {key: value for key, value in merged.items() if value is not None}
    path.write_text(json.dumps(kept))


def load(folder, **settings):
    config = CaptionerConfig(str(folder), **settings)
    return load_language_model(config, torch.float32, "sdpa")


def create(folder, **settings):
    torch.manual_seed(0)
    config = CaptionerConfig(str(folder), **settings)
    return Captioner.create(32, config, torch.float32).eval()


def loss_of(captioner):
    embeddings = F.normalize(
        torch.randn(3, 32, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    prompts = [captioner.prompts.prompt(TOY_CAPTIONS[:row]) for row in range(3)]
    targets = [captioner.prompts.target(text) for text in TOY_CAPTIONS[5:8]]
    return captioner.loss(embeddings, prompts, targets)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_without_a_start_token_is_trained_and_captions(family, folder):
    config, model = FAMILIES[family]
    change(folder / "tokenizer_config.json", bos_token=None)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    torch.manual_seed(0)
    model(config(**TINY)).save_pretrained(folder)
    captioner = create(folder)
    assert captioner.tokenizer.bos_token_id is None and captioner.prompts.start == []
    loss = loss_of(captioner)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in captioner.trainable().values())
    settings = GenerationConfig(num_beams=2, max_new_tokens=4)
    rows = torch.randn(2, 32)
    captions = generate(captioner, rows, [[], TOY_CAPTIONS[:2]], settings)
    alone = generate(captioner, rows[1:], [TOY_CAPTIONS[:2]], settings)
    assert captions[1] == alone[0]


def test_captioners_of_one_model_share_its_tokenizer(folder):
    (first, tokenizer), (second, again) = load(folder), load(folder)
    assert again is tokenizer and second is not first


def test_padding_and_end_come_from_what_there_is(folder):
    change(folder / "tokenizer_config.json", eos_token=None)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    assert AutoTokenizer.from_pretrained(folder).eos_token_id is None
    _, tokenizer = load(folder)
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 1


def test_a_model_that_knows_no_end_is_refused(folder):
    change(folder / "tokenizer_config.json", eos_token=None)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(values | {"eos_token_id": None}))
    with pytest.raises(ConfigError, match="tokenizer has no end token.*name another"):
        load(folder)


def test_a_tokenizer_of_another_model_is_refused(folder):
    small = LlamaForCausalLM.from_pretrained(folder)
    small.resize_token_embeddings(1)
    small.save_pretrained(folder)
    with pytest.raises(ConfigError, match="eos_token_id 1 beyond the model's 1 tokens"):
        load(folder)


def test_logits_that_are_changed_after_the_output_layer_are_refused(folder):
    change(folder / "config.json", final_logit_softcapping=30.0)
    with pytest.raises(ConfigError, match="final_logit_softcapping.*not supported"):
        load(folder)


def test_a_folder_without_weights_is_told_with_the_remedy(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(AssetError, match=f"fetch it with `hf download {folder}`"):
        load(folder)


def test_a_folder_of_no_language_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no causal language model"):
        load(tmp_path)


def test_a_layer_that_is_not_there_is_told_beside_those_that_are(folder):
    message = "c_attn is no linear layer of .*choose of .*q_proj.*v_proj"
    with pytest.raises(ConfigError, match=message):
        create(folder, lora_targets=("q_proj", "c_attn"))


def test_a_layer_may_be_named_with_the_module_it_is_in(folder):
    captioner = create(folder, lora_targets=("self_attn.q_proj",))
    assert sum("lora_A" in name for name in captioner.trainable()) == 2


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_implementation_of_attention_may_be_chosen(folder, attention):
    captioner = create(folder, attention=attention)
    assert captioner.causal_lm().config._attn_implementation == attention
    torch.testing.assert_close(loss_of(captioner), loss_of(create(folder)))


def test_checkpointed_activations_give_the_same_gradient(folder):
    captioners = create(folder), create(folder)
    checkpoint_activations(captioners[1].causal_lm())
    gradients = []
    for captioner in captioners:
        captioner.train()
        torch.manual_seed(0)  # dropout
        loss_of(captioner).backward()
        gradients.append([p.grad for p in captioner.trainable().values()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, atol=1e-6, rtol=0)


# optional packages


def test_a_setting_that_needs_a_package_says_what_transformers_says(
    folder, monkeypatch
):
    def lacking(*source, **options):
        raise ImportError("Using 4 bit requires bitsandbytes: `pip install it`\nmore")

    monkeypatch.setattr(module.AutoModelForCausalLM, "from_pretrained", lacking)
    with pytest.raises(
        ConfigError, match="^captioner: Using 4 bit .*`pip install it`$"
    ):
        load(folder)


def test_what_needs_a_gpu_is_refused_before_a_model_is_looked_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = CaptionerConfig(str(tmp_path / "nowhere"), quantisation="nf4")
    with pytest.raises(
        ConfigError, match="captioner.quantisation: nf4 needs a CUDA GP"
    ):
        Captioner.create(32, config, torch.bfloat16)
    with pytest.raises(ConfigError, match="captioner.attention: flash_.*; use sdpa"):
        load_language_model(CaptionerConfig(), torch.bfloat16, "flash_attention_2")


@pytest.mark.gpu
def test_a_captioner_of_four_bit_weights_is_trained_saved_and_loaded(folder, tmp_path):
    pytest.importorskip("bitsandbytes")
    config = CaptionerConfig(str(folder), quantisation="nf4")
    captioner = Captioner.create(32, config, torch.bfloat16).to("cuda")
    loss_of(captioner).backward()
    assert all(p.grad is not None for p in captioner.trainable().values())
    captioner.save(tmp_path / "saved")
    loaded = Captioner.load(tmp_path / "saved", 32, config, torch.bfloat16).to("cuda")
    expected = loss_of(captioner.eval())
    torch.testing.assert_close(loss_of(loaded), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_blocks_alone_are_those_of_the_whole_model(family, folder):
    config, model = FAMILIES[family]
    model(config(**TINY)).save_pretrained(folder)
    whole, _ = load(folder)
    part, _ = load(folder, language_model_blocks=1)
    ids = torch.arange(10).view(2, 5)
    assert len(part.model.layers) == part.config.num_hidden_layers == 1
    # the final norm is the whole model's: apply it to what leaves its first block
    after_first = whole(ids, output_hidden_states=True).hidden_states[1]
    expected = whole.get_output_embeddings()(whole.model.norm(after_first))
    torch.testing.assert_close(part(ids).logits, expected)


def test_more_blocks_than_the_model_has_are_refused(folder):
    with pytest.raises(ConfigError, match="language_model_blocks: 99 is more than the"):
        load(folder, language_model_blocks=99)
