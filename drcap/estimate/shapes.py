"""Parameters, operations and bytes of the architectures, from their shapes alone.

Language models are of the Llama family: Vicuna, Llama, Mistral, Qwen2, SmolLM2. Counts
of parameters were checked against transformers, bytes kept for the backward pass
against what autograd saves.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drcap import assets
from drcap.config import AudioEncoderConfig
from drcap.errors import ConfigError

NF4_BYTES = 0.5 + 0.127 / 8  # of a weight in 4 bit, its doubly quantised scale included


@dataclass(frozen=True)
class LanguageModelShape:
    """A decoder of the Llama family: grouped-query attention, gated MLP, RMS norms."""

    vocabulary: int
    width: int  # H
    depth: int  # blocks
    heads: int
    kv_heads: int
    inner: int  # width of the MLP
    head_dim: int | None = None  # None: width / heads
    tied: bool = False  # output layer and token embeddings are one matrix
    bias: bool = False  # of q, k and v (Qwen2)

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Each linear layer of a block: name -> (in, out)."""
        size = self.head_dim or self.width // self.heads
        q, kv = self.heads * size, self.kv_heads * size
        return {
            "q_proj": (self.width, q),
            "k_proj": (self.width, kv),
            "v_proj": (self.width, kv),
            "o_proj": (q, self.width),
            "gate_proj": (self.width, self.inner),
            "up_proj": (self.width, self.inner),
            "down_proj": (self.inner, self.width),
        }

    @property
    def block_weights(self) -> int:
        """Weights in the matrices of all blocks: what a token is multiplied by."""
        return self.depth * sum(
            rows * columns for rows, columns in self.linear.values()
        )

    @property
    def table(self) -> int:
        """Weights in one matrix of the vocabulary."""
        return self.vocabulary * self.width

    @property
    def parameters(self) -> int:
        """All parameters."""
        norms = (2 * self.depth + 1) * self.width
        outs = (self.linear[name][1] for name in ("q_proj", "k_proj", "v_proj"))
        biases = self.depth * sum(outs) if self.bias else 0
        tables = self.table * (1 if self.tied else 2)
        return self.block_weights + norms + biases + tables

    def adapter(self, rank: int, targets: Sequence[str]) -> int:
        """Parameters of a LoRA adapter: A and B of each target in each block."""
        sizes = (sum(self._target(name)) for name in targets)
        return self.depth * rank * sum(sizes)

    def _target(self, name: str) -> tuple[int, int]:
        if name not in self.linear:
            known = ", ".join(self.linear)
            raise ConfigError(f"captioner.lora_targets: no {name} here; one of {known}")
        return self.linear[name]

    def weight_bytes(self, each: float, quantised: bool = False) -> float:
        """Bytes of the weights: `each` a parameter; quantised, the blocks in 4 bit."""
        blocks = self.block_weights * (NF4_BYTES if quantised else each)
        return blocks + (self.parameters - self.block_weights) * each

    def cache_bytes(self, tokens: int, each: int = 2) -> int:
        """Bytes of keys and values of so many tokens."""
        return 2 * self.depth * self.linear["k_proj"][1] * tokens * each

    def kept_bytes(self, tokens: int, each: int, targets: Sequence[str] = ()) -> int:
        """Bytes that one block keeps for the backward pass, its own weights frozen.

        Both norms keep their input in float32; fused attention its q, k, v and output;
        the MLP the gate before and after its activation, and the up projection; a LoRA
        target its input in float32 after dropout, and dropout's mask.
        """
        norms = 2 * 4 * self.width
        q, kv = self.linear["q_proj"][1], self.linear["k_proj"][1]
        attention = each * (2 * q + 2 * kv)
        mlp = each * 3 * self.inner
        adapter = sum(5 * self._target(name)[0] for name in targets)
        return tokens * (norms + attention + mlp + adapter)

    def forward_operations(self, rows: int, tokens: int, read: int) -> float:
        """Floating-point operations of a pass over rows of so many tokens.

        read : tokens in a row at which logits are computed
        """
        matrices = 2 * self.block_weights * tokens
        attention = 2 * self.depth * self.linear["q_proj"][1] * tokens**2  # causal
        return rows * (matrices + attention + 2 * self.table * read)


LLAMA_7B = LanguageModelShape(32_000, 4_096, 32, 32, 32, 11_008)
KNOWN = {
    "lmsys/vicuna-7b-v1.5": LLAMA_7B,
    "lmsys/vicuna-13b-v1.5": LanguageModelShape(32_000, 5_120, 40, 40, 40, 13_824),
    "meta-llama/Llama-2-7b-hf": LLAMA_7B,
    "meta-llama/Meta-Llama-3-8B-Instruct": LanguageModelShape(
        128_256, 4_096, 32, 32, 8, 14_336
    ),
    "mistralai/Mistral-7B-Instruct-v0.2": LanguageModelShape(
        32_000, 4_096, 32, 32, 8, 14_336
    ),
    "Qwen/Qwen2.5-7B-Instruct": LanguageModelShape(
        152_064, 3_584, 28, 28, 4, 18_944, bias=True
    ),
    "smollm2-135m-instruct": LanguageModelShape(
        49_152, 576, 30, 9, 3, 1_536, tied=True
    ),
}


def language_model_shape(name: str) -> LanguageModelShape:
    """Return the shape of a language model: a known one, or a folder's config.json."""
    if name in KNOWN:
        return KNOWN[name]
    path = Path(assets.resolve_model(name)) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"captioner.language_model: the shape of '{name}' is not known here; name "
            f"its folder, or one of {', '.join(KNOWN)}"
        )
    return _read_shape(path)


def _read_shape(path: Path) -> LanguageModelShape:
    values = json.loads(path.read_text(encoding="utf-8"))
    try:
        return LanguageModelShape(
            vocabulary=values["vocab_size"],
            width=values["hidden_size"],
            depth=values["num_hidden_layers"],
            heads=values["num_attention_heads"],
            kv_heads=values.get("num_key_value_heads") or values["num_attention_heads"],
            inner=values["intermediate_size"],
            head_dim=values.get("head_dim"),
            tied=values.get("tie_word_embeddings", False),
            bias=values.get("model_type") == "qwen2",
        )
    except KeyError as lacking:
        raise ConfigError(
            f"{path}: has no {lacking.args[0]}, so it is no Llama and its "
            "cost is not known"
        ) from None


@dataclass(frozen=True)
class TextEncoderShape:
    """A BERT or RoBERTa, without its pooler."""

    vocabulary: int
    width: int
    depth: int
    inner: int
    positions: int

    @property
    def block_weights(self) -> int:
        """Weights in the matrices of all blocks."""
        return self.depth * (4 * self.width**2 + 2 * self.width * self.inner)

    @property
    def parameters(self) -> int:
        """All parameters, biases and norms included."""
        block = 4 * self.width + self.inner + self.width + 4 * self.width
        tables = (self.vocabulary + self.positions) * self.width
        return self.block_weights + self.depth * block + tables + 3 * self.width


TEXT_ENCODERS = {
    "roberta-base": TextEncoderShape(50_265, 768, 12, 3_072, 514),
    "all-minilm-l6-v2": TextEncoderShape(30_522, 384, 6, 1_536, 512),
}


def text_encoder_shape(name: str) -> TextEncoderShape:
    """Return the shape of a known text encoder."""
    if name not in TEXT_ENCODERS:
        raise ConfigError(
            f"text_encoder.model: the shape of '{name}' is not known here; use one of "
            f"{', '.join(TEXT_ENCODERS)}"
        )
    return TEXT_ENCODERS[name]


def audio_encoder_blocks(config: AudioEncoderConfig) -> list[tuple[int, int]]:
    """Return (patches, width) of each block of HTS-AT; a stage halves and doubles."""
    side = config.spectrogram_size // config.patch_size
    return [
        ((side >> stage) ** 2, config.width << stage)
        for stage, depth in enumerate(config.depths)
        for _ in range(depth)
    ]


def audio_encoder_weights(config: AudioEncoderConfig) -> int:
    """Return the weights in its matrices: 12 c^2 a block, 8 c^2 where stages meet."""
    blocks = sum(12 * width**2 for _, width in audio_encoder_blocks(config))
    widths = [config.width << stage for stage in range(len(config.depths) - 1)]
    return blocks + sum(8 * width**2 for width in widths)


def audio_encoder_operations(config: AudioEncoderConfig) -> float:
    """Return the floating-point operations of one clip's forward pass."""
    window = config.window_size**2
    return sum(
        2 * patches * (12 * width**2 + 2 * window * width)
        for patches, width in audio_encoder_blocks(config)
    )
