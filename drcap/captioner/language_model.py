"""A causal language model of the hub, ready to be frozen and given a LoRA adapter.

Vicuna, Llama, Qwen, Mistral and similar models load by asset name, folder or hub id
(sec. II-A; LoRA: II-B, IV-B). What the captioner cannot work with is refused here.
The default, SmolLM2-135M, comes from a package index, where only its 4-bit weights are
(GGUF, Q4_1): they are de-quantised to bfloat16, and rounding is not undone.
"""

from functools import cache

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
)

from drcap import assets
from drcap.config import CaptionerConfig
from drcap.errors import AssetError, ConfigError

_tokenizer = cache(AutoTokenizer.from_pretrained)

# settings of models that change logits after the output layer (Gemma 2, Cohere)
SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling")


def load_language_model(config: CaptionerConfig, dtype: torch.dtype, attention: str):
    """Load the language model, in 4 bit if so configured, and its tokenizer.

    attention : sdpa, eager or flash_attention_2

    AssetError if the model is not found; ConfigError if it does not suit the captioner,
    or if a package or GPU that the settings need is missing.
    """
    name, gpu = config.language_model, torch.cuda.is_available()
    no_gpu = "needs a CUDA GPU and none is visible; use"
    flash = attention == "flash_attention_2"
    _require(gpu or not flash, f"captioner.attention: {attention} {no_gpu} sdpa")
    whole = config.quantisation == "none"
    _require(gpu or whole, f"captioner.quantisation: nf4 {no_gpu} none")
    source = assets.resolve_model(name)
    options = {"dtype": dtype, "attn_implementation": attention}
    if not whole:  # as QLoRA (Dettmers et al., 2023)
        options["device_map"] = {"": torch.cuda.current_device()}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        if config.language_model_blocks is not None:
            options["config"] = _shortened(source, config.language_model_blocks)
        llm = AutoModelForCausalLM.from_pretrained(source, **options)
        tokenizer = _tokenizer(source)  # which all captioners of a model share
    except ImportError as error:  # names the package that 4 bit or flash needs
        raise ConfigError(f"captioner: {_first_line(error)}") from None
    except OSError as error:
        reason = _first_line(error)
        raise AssetError(
            f"language model '{name}': cannot be loaded ({reason}); fetch it with "
            f"`hf download {name}` where there is a network, or name its folder"
        ) from None
    except ValueError as error:
        if "Unrecognized" not in str(error):
            raise
        raise ConfigError(
            f"captioner.language_model: '{name}' is no causal language model that "
            "transformers knows; name another"
        ) from None
    _complete_tokenizer(tokenizer, llm, name)
    # the captioner computes the logits of caption tokens by the output layer alone
    text = llm.config.get_text_config()
    for key in SCALES:
        _require(
            getattr(text, key, None) in (None, 1, 1.0),
            f"captioner.language_model: {name} changes logits after the output layer "
            f"({key}), which is not supported; name another",
        )
    return llm, tokenizer


def with_adapter(llm: PreTrainedModel, config: CaptionerConfig):
    """Return the language model in peft's wrapper, with an untrained LoRA adapter.

    ConfigError if a target of the adapter is no linear layer of the model.
    """
    kinds = ("Linear", "Conv1D")  # the second is GPT-2's
    layers = {
        name.rpartition(".")[2]
        for name, module in llm.named_modules()
        if any(kind in type(module).__name__ for kind in kinds)
    }
    for target in config.lora_targets:  # "self_attn.q_proj" is as good as "q_proj"
        _require(
            target.rpartition(".")[2] in layers,
            f"captioner.lora_targets: {target} is no linear layer of "
            f"{config.language_model}; choose of {', '.join(sorted(layers))}",
        )
    adapted = get_peft_model(llm, lora_config(config))
    saved = adapted.peft_config["default"]  # the adapter_config.json of checkpoints
    saved.base_model_name_or_path = config.language_model  # no local path
    saved.target_modules = sorted(saved.target_modules)  # peft has a set
    return adapted


def lora_config(config: CaptionerConfig) -> LoraConfig:
    """Return the adapter's settings as peft's."""
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets),
        task_type="CAUSAL_LM",
    )


def checkpoint_activations(llm: PreTrainedModel) -> None:
    """Keep only each block's input, and compute the block again for its gradient."""
    # transformers 6 drops the second name, older versions lack the first
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(llm, name) for name in names if hasattr(llm, name))
    enable({"use_reentrant": False})  # works with inputs that need no gradient, too


def _shortened(source: str, blocks: int):
    shortened = AutoConfig.from_pretrained(source)
    text = shortened.get_text_config()
    _require(
        blocks <= text.num_hidden_layers,
        f"captioner.language_model_blocks: {blocks} is more than the "
        f"{text.num_hidden_layers} of {source}; lower it",
    )
    text.num_hidden_layers = blocks
    if getattr(text, "layer_types", None):  # the kind of attention of each block
        text.layer_types = text.layer_types[:blocks]
    return shortened


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise ConfigError(problem)


def _complete_tokenizer(tokenizer, llm: PreTrainedModel, name: str) -> None:
    """Set the end token that the model names, and a padding token, where missing."""
    key = f"captioner.language_model: {name}'s tokenizer"
    if tokenizer.eos_token_id is None:
        end = llm.generation_config.eos_token_id or llm.config.eos_token_id
        _require(end is not None, f"{key} has no end token; name another")
        tokenizer.eos_token_id = end[0] if isinstance(end, list) else end
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it stands
    rows = llm.get_input_embeddings().weight.shape[0]
    for kind in ("bos_token_id", "eos_token_id"):
        token = getattr(tokenizer, kind)
        problem = f"has {kind} {token} beyond the model's {rows} tokens; use its own"
        _require(token is None or token < rows, f"{key} {problem}")
