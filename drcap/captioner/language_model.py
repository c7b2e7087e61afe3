"""Any causal language model of the hub, ready to be frozen and given an adapter.

By asset, folder or hub id: Vicuna, Llama, Qwen, Mistral and the like. A tokenizer may
lack a start or a padding token; what the captioner cannot compute with is refused here,
before any weight is loaded where that can be known.
"""

import importlib.util
from functools import cache

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from drcap import assets
from drcap.config import CaptionerConfig
from drcap.errors import AssetError, ConfigError

SCALES = ("final_logit_softcapping", "logit_scale", "logits_scaling")  # of the logits


def load_language_model(
    config: CaptionerConfig, dtype: torch.dtype, attention: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the language model and its tokenizer: all or some blocks, whole or in 4 bit.

    attention : sdpa, eager or flash_attention_2

    AssetError if it is not found; ConfigError if it does not suit, or if what the
    settings ask for is not installed.
    """
    require_available(config, dtype, attention)
    source = assets.resolve_model(config.language_model)
    options = {"dtype": dtype, "attn_implementation": attention}
    if config.quantisation == "nf4":
        options |= {"quantization_config": _nf4(dtype)}
        options |= {"device_map": {"": torch.cuda.current_device()}}
    try:
        if config.language_model_blocks is not None:
            options |= {"config": _shortened(source, config.language_model_blocks)}
        llm = AutoModelForCausalLM.from_pretrained(source, **options)
        tokenizer = _tokenizer(source)
    except OSError as error:
        raise AssetError(_not_found(config.language_model, error)) from None
    except ValueError as error:
        if "Unrecognized" not in str(error):
            raise
        raise ConfigError(
            f"captioner.language_model: '{config.language_model}' is no causal "
            "language model that transformers knows; name another"
        ) from None
    _complete(tokenizer, llm, config.language_model)
    _refuse_scaled_logits(llm, config.language_model)
    return llm, tokenizer


def require_available(
    config: CaptionerConfig, dtype: torch.dtype, attention: str
) -> None:
    """Raise ConfigError if an optional package or the GPU is lacking."""
    gpu = torch.cuda.is_available()
    if config.quantisation == "nf4":
        key = "captioner.quantisation: nf4"
        _require(gpu, key, "needs a CUDA GPU and none is visible; use none")
        remedy = "needs bitsandbytes: run `pip install 'bitsandbytes>=0.46.1'`"
        _require(_installed("bitsandbytes"), key, remedy)
    if attention == "flash_attention_2":
        key = "captioner.attention: flash_attention_2"
        _require(gpu, key, "needs a CUDA GPU and none is visible; use sdpa")
        remedy = "needs flash-attn: run `pip install flash-attn`, or use sdpa"
        _require(_installed("flash_attn"), key, remedy)
        half = dtype is not torch.float32
        _require(half, key, "computes in bfloat16 and not in float32; use sdpa")


def with_adapter(llm: PreTrainedModel, config: CaptionerConfig):
    """Return the language model in peft's wrapper, with an untrained adapter."""
    layers = [f".{name}" for name, each in llm.named_modules() if _is_linear(each)]
    for target in config.lora_targets:
        if not any(name.endswith(f".{target}") for name in layers):
            known = sorted({name.rpartition(".")[2] for name in layers})
            raise ConfigError(
                f"captioner.lora_targets: {target} is no linear layer of "
                f"{config.language_model}; choose of {', '.join(known)}"
            )
    return get_peft_model(llm, lora_config(config))


def _is_linear(module: torch.nn.Module) -> bool:
    kind = type(module).__name__
    return "Linear" in kind or kind == "Conv1D"  # GPT-2's name for it


def lora_config(config: CaptionerConfig) -> LoraConfig:
    """Return peft's form of the adapter's settings."""
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets),
        task_type="CAUSAL_LM",
    )


def checkpoint_activations(llm: PreTrainedModel) -> None:
    """Keep each block's input alone, and compute the block again for its gradient."""
    # the second name is the older one, which transformers 6 will not have
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    enable = next(getattr(llm, name) for name in names if hasattr(llm, name))
    enable({"use_reentrant": False})  # works with inputs that need no gradient, too


@cache
def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer once a process: all captioners of a model share it."""
    return AutoTokenizer.from_pretrained(source)


def _shortened(source: str, blocks: int) -> PreTrainedConfig:
    """Return the model's own configuration with its first so many blocks alone."""
    shortened = AutoConfig.from_pretrained(source)
    text = shortened.get_text_config()
    key = f"captioner.language_model_blocks: {blocks}"
    problem = f"is more than the {text.num_hidden_layers} of {source}; lower it"
    _require(blocks <= text.num_hidden_layers, key, problem)
    text.num_hidden_layers = blocks
    if getattr(text, "layer_types", None):  # a kind of attention a block
        text.layer_types = text.layer_types[:blocks]
    return shortened


def _nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return QLoRA's form of frozen weights (Dettmers et al., 2023)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(holds: bool, key: str, problem: str) -> None:
    if not holds:
        raise ConfigError(f"{key} {problem}")


def _not_found(name: str, error: OSError) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason"
    return (
        f"language model '{name}': cannot be loaded ({reason}); fetch it with "
        f"`hf download {name}` where there is a network, or name its folder"
    )


def _complete(tokenizer, llm: PreTrainedModel, name: str) -> None:
    """Give the tokenizer the end token that the model knows, and one to pad with."""
    if tokenizer.eos_token_id is None:
        generation = getattr(llm, "generation_config", None)
        ends = [getattr(of, "eos_token_id", None) for of in (generation, llm.config)]
        end = next((each for each in ends if each is not None), None)
        end = next(iter(end), None) if isinstance(end, list) else end
        known = "" if end is None else f"; the model's is {end}"
        token = None if end is None else tokenizer.convert_ids_to_tokens(end)
        key = f"captioner.language_model: {name}'s tokenizer"
        _require(token is not None, key, f"has no end token{known}; name another")
        tokenizer.eos_token = token
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked wherever it stands
    rows = llm.get_input_embeddings().weight.shape[0]
    for kind in ("bos_token_id", "eos_token_id"):
        token = getattr(tokenizer, kind)
        fits = token is None or token < rows
        problem = f"has {kind} {token} beyond the model's {rows} tokens; use its own"
        _require(fits, f"captioner.language_model: {name}'s tokenizer", problem)


def _refuse_scaled_logits(llm: PreTrainedModel, name: str) -> None:
    """Refuse a model whose logits are more than its output layer's (Gemma 2, Cohere).

    The captioner computes logits of caption tokens alone, by that layer.
    """
    config = llm.config.get_text_config()
    scaled = [key for key in SCALES if getattr(config, key, None) not in (None, 1, 1.0)]
    problem = f"changes logits after the output layer ({', '.join(scaled)}), which is "
    _require(
        not scaled,
        f"captioner.language_model: {name}",
        problem + "not supported; name another",
    )
