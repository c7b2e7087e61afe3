"""Files in the layout of the authors' code, of random weights and any size."""

import json
import zlib
from pathlib import Path

import librosa
import numpy as np
import torch
from doubles import TOY_CAPTIONS
from safetensors.torch import save_file
from transformers import RobertaConfig

from drcap.config import CLAPConfig, override

AUDIO = "audio_encoder.audio_enc."
TEXT = "text_encoder.text_encoder."
TRANSFORM = AUDIO + "audio_feats_extractor.mel_trans."

SMALL = override(
    CLAPConfig(),
    {
        "dim": 24,
        "audio_encoder": {"width": 8, "depths": (2, 2), "heads": (2, 4)},
    },
)
SMALL_ROBERTA = RobertaConfig(
    **{"vocab_size": 40, "max_position_embeddings": 34, "type_vocab_size": 1},
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    intermediate_size=32,
)
# of doubles.tiny_language_model
HIDDEN, LAYERS, OUTPUTS = 32, 2, {"q_proj": 32, "v_proj": 16}
WIDTH, RANK, ALPHA = 20, 4, 12
CAPTIONS = TOY_CAPTIONS[::5]  # that come with them


def linear(name: str, inside: int, outside: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def audio_layout(config: CLAPConfig) -> dict[str, tuple[int, ...]]:
    """The learned tensors of the authors' HTS-AT: key -> shape."""
    settings, mels = config.audio_encoder, config.front_end.mels
    width, patch = settings.width, settings.patch_size
    shapes = norm("bn0", mels) | {"bn0.running_mean": (mels,)}
    shapes |= {"bn0.running_var": (mels,), "patch_embed.proj.bias": (width,)}
    shapes |= {"patch_embed.proj.weight": (width, 1, patch, patch)}
    shapes |= norm("patch_embed.norm", width)
    offsets = (2 * settings.window_size - 1) ** 2
    for stage, (depth, heads) in enumerate(
        zip(settings.depths, settings.heads, strict=True)
    ):
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}."
            shapes |= norm(block + "norm1", width) | norm(block + "norm2", width)
            shapes[block + "attn.relative_position_bias_table"] = (offsets, heads)
            shapes |= linear(block + "attn.qkv", width, 3 * width)
            shapes |= linear(block + "attn.proj", width, width)
            shapes |= linear(block + "mlp.fc1", width, 4 * width)
            shapes |= linear(block + "mlp.fc2", 4 * width, width)
        if stage + 1 < len(settings.depths):
            merging = f"layers.{stage}.downsample."
            shapes[merging + "reduction.weight"] = (2 * width, 4 * width)
            shapes |= norm(merging + "norm", 4 * width)
            width *= 2
    shapes |= norm("norm", width)
    return {AUDIO + key: shape for key, shape in shapes.items()}


def text_layout(roberta: RobertaConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of the authors' RoBERTa: key -> shape."""
    width, inner = roberta.hidden_size, roberta.intermediate_size
    rows = {
        "word": roberta.vocab_size,
        "position": roberta.max_position_embeddings,
        "token_type": roberta.type_vocab_size,
    }
    shapes = {f"embeddings.{k}_embeddings.weight": (n, width) for k, n in rows.items()}
    shapes |= norm("embeddings.LayerNorm", width)
    for number in range(roberta.num_hidden_layers):
        layer = f"encoder.layer.{number}."
        for part in ("query", "key", "value"):
            shapes |= linear(f"{layer}attention.self.{part}", width, width)
        shapes |= linear(layer + "attention.output.dense", width, width)
        shapes |= norm(layer + "attention.output.LayerNorm", width)
        shapes |= linear(layer + "intermediate.dense", width, inner)
        shapes |= linear(layer + "output.dense", inner, width)
        shapes |= norm(layer + "output.LayerNorm", width)
    return {TEXT + key: shape for key, shape in shapes.items()}


def layout(config: CLAPConfig, roberta: RobertaConfig) -> dict[str, tuple[int, ...]]:
    """Every learned tensor that an embedding depends on: key -> shape."""
    heard = config.audio_encoder.width * 2 ** (len(config.audio_encoder.depths) - 1)
    shapes: dict[str, tuple[int, ...]] = {"temp": ()}
    for side, width in (("audio", heard), ("text", roberta.hidden_size)):
        shapes |= linear(f"{side}_proj.0", width, config.dim)
        shapes |= linear(f"{side}_proj.2", config.dim, config.dim)
    return shapes | audio_layout(config) | text_layout(roberta)


def by_rule(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The value of one tensor: drawn from a stream that its key seeds."""
    if key == "temp":
        return torch.tensor(0.05)
    stream = np.random.RandomState(zlib.crc32(key.encode()))
    drawn = stream.standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        drawn /= np.float32(np.sqrt(np.prod(shape[1:])))
    elif key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    else:
        drawn = 0.1 * drawn + (1 if key.endswith("weight") else 0)
    return torch.from_numpy(drawn)


def clap_state(config=SMALL, roberta=SMALL_ROBERTA) -> dict[str, torch.Tensor]:
    return {key: by_rule(key, shape) for key, shape in layout(config, roberta).items()}


def write_clap(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save({"model": tensors, "optimizer": {"state": {}}, "epoch": 15}, path)
    return path


def constants() -> dict[str, torch.Tensor]:
    """What a real checkpoint holds besides: constants, and AudioSet's classifier."""
    window = librosa.filters.get_window("hann", 1024)
    spectra = np.fft.fft(np.eye(1024))[:513] * window
    mel = librosa.filters.mel(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000)
    arrays = {
        TRANSFORM + "stft.conv_real.weight": spectra.real[:, None],
        TRANSFORM + "stft.conv_imag.weight": spectra.imag[:, None],
        TRANSFORM + "log_trans.melW": mel.T,
        AUDIO + "bn0.num_batches_tracked": np.array(3),
        AUDIO + "layers.0.blocks.0.attn.relative_position_index": np.zeros((64, 64)),
        AUDIO + "layers.0.blocks.1.attn_mask": np.zeros((64, 64, 64)),
        AUDIO + "tscam_conv.weight": np.zeros((527, 16, 2, 3)),
        AUDIO + "tscam_conv.bias": np.zeros(527),
        AUDIO + "head.weight": np.zeros((527, 527)),
        AUDIO + "head.bias": np.zeros(527),
        TEXT + "embeddings.position_ids": np.arange(34)[None],
    }
    return {key: torch.tensor(array).float() for key, array in arrays.items()}


def tiny_roberta_tokenizer(folder: Path) -> Path:
    """Save a tokenizer of whole words with the special tokens of RoBERTa."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = dict.fromkeys(" ".join(TOY_CAPTIONS).split())
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    assert len(vocabulary) <= SMALL_ROBERTA.vocab_size
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ("cls_token", "pad_token", "sep_token", "unk_token")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    ).save_pretrained(folder)
    return folder


def mapper_state(dim: int = SMALL.dim) -> dict[str, torch.Tensor]:
    """The mapper as model.pt has it."""
    shapes = linear("encoder_projector.linear1", dim, WIDTH)
    shapes |= linear("encoder_projector.linear2", WIDTH, HIDDEN)
    return {key: by_rule(key, shape) for key, shape in shapes.items()}


def adapter_state() -> dict[str, torch.Tensor]:
    """The adapter as newer code writes it into model.pt."""
    shapes = {}
    for layer in range(LAYERS):
        for target, outside in OUTPUTS.items():
            name = f"llm.base_model.model.model.layers.{layer}.self_attn.{target}."
            shapes[name + "lora_A.default.weight"] = (RANK, HIDDEN)
            shapes[name + "lora_B.default.weight"] = (outside, RANK)
    return {key: by_rule(key, shape) for key, shape in shapes.items()}


def write_adapter(folder: Path, file: str = "adapter_model.bin", **changes) -> Path:
    """Write the adapter as older code did, by peft 0.6."""
    folder.mkdir(parents=True)
    tensors = {
        key.removeprefix("llm.").replace(".default.", "."): tensor
        for key, tensor in adapter_state().items()
    }
    write = torch.save if file.endswith(".bin") else save_file
    write(tensors, folder / file)
    settings = {
        **{"alpha_pattern": {}, "auto_mapping": None, "bias": "none"},
        **{"base_model_name_or_path": "/private/vicuna", "fan_in_fan_out": False},
        **{"inference_mode": True, "init_lora_weights": True, "layers_pattern": None},
        **{"layers_to_transform": None, "lora_alpha": ALPHA, "lora_dropout": 0.05},
        **{"modules_to_save": None, "peft_type": "LORA", "r": RANK},
        **{"rank_pattern": {}, "revision": None, "task_type": "CAUSAL_LM"},
        "target_modules": sorted(OUTPUTS),
    }
    text = json.dumps(settings | changes)
    (folder / "adapter_config.json").write_text(text)
    return folder


def support_rows(count: int = 50, dim: int = SMALL.dim) -> torch.Tensor:
    """A text embedding support, (N, D) unit rows, the first of them twice."""
    rows = torch.randn(count, dim, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(torch.cat([rows[:1], rows]), dim=1)


def write_released(folder: Path) -> Path:
    """Write all files: the mapper's in both forms, the adapter's folder, captions."""
    write_clap(folder / "best_model.pt", clap_state() | constants())
    torch.save(mapper_state(), folder / "model.pt")
    torch.save(mapper_state() | adapter_state(), folder / "model_lora.pt")
    torch.save(support_rows(), folder / "support.pt")
    write_adapter(folder / "bin")
    tiny_roberta_tokenizer(folder / "tokenizer")
    (folder / "captions.txt").write_text("\n".join(CAPTIONS))
    return folder
