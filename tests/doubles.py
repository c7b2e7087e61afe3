"""Small stand-ins with the real interfaces, so that a test runs in milliseconds."""

import hashlib
import itertools
import re
from pathlib import Path

import numpy as np
import torch

from drcap.clap import CLAP

TOY_CAPTIONS = [
    " ".join(words)
    for words in itertools.product(
        ("A dog", "A cat", "A small bird", "Rain", "An old car engine"),
        ("makes a sound", "is heard", "is very loud"),
        ("in a park", "nearby", "while people talk", "as the wind blows"),
    )
]  # 60, three to nine words long
PROMPT_WORDS = (
    "USER",
    ":",
    "ASSISTANT",
    "Describe",
    "the",
    "audio",
    "you",
    "hear",
    ".",
)


def tiny_language_model(folder: Path) -> Path:
    """Save a two-layer random Llama and a tokenizer of whole words in `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    known = dict.fromkeys([*PROMPT_WORDS, *" ".join(TOY_CAPTIONS).split()])
    words = ["<bos>", "<eos>", "<unk>", *known]
    words += [f"word{number}" for number in range(200 - len(words))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"},
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2},
        **{"bos_token_id": 0, "eos_token_id": 1},
        initializer_range=0.2,  # logits far enough apart for arg max to be stable
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def unit_rows(count: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Return random rows of unit norm, (count, dim) float32."""
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _word_vector(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


class ToyCLAP(CLAP):
    """Captions are bags of hashed words; audio is a projection of its spectrum."""

    dim = 32
    sr = 16_000
    window_seconds = 10.0
    temperature = 0.05

    def __init__(self, fingerprint: str = "toy-clap"):
        self.fingerprint = fingerprint
        self.encoded_captions = 0  # lets a test see what was encoded again

    def encode_audio(self, waveforms):
        projection = np.random.default_rng(0).standard_normal((64, self.dim))
        rows = [
            np.abs(np.fft.rfft(wave, 126)).astype(np.float32) @ projection
            for wave in waveforms
        ]
        return self._unit(rows)

    def encode_text(self, captions):
        self.encoded_captions += len(captions)
        rows = [
            np.sum(
                [_word_vector(w, self.dim) for w in re.findall(r"\w+", text.lower())]
                or [np.ones(self.dim)],
                axis=0,
            )
            for text in captions
        ]
        return self._unit(rows)

    def _unit(self, rows):
        matrix = torch.tensor(np.asarray(rows), dtype=torch.float32)
        return torch.nn.functional.normalize(matrix.reshape(-1, self.dim), dim=-1)
