"""EnCLAP: codec tokens and a CLAP embedding through an encoder (Kim et al., 2024).

A bidirectional encoder reads the CLAP embedding and then the recording as codes of a
codec; the language model reads the encoder's output and writes the caption. In
training codes are masked, and the encoder must also say which they were (masked codec
modelling). Supervised: trained on the recordings of the source corpus.

As in its paper: the CLAP token first, a token of time the sum of its codes' embeddings,
masks of 10 tokens in each codebook, masked codec modelling at weight 0.7 with the later
codebooks counting half as much each, label smoothing of 0.2. Not as there: the decoder
is the grid's language model with its adapter, which reads the encoder's output as a
prefix, in the place of BART; the codec is a residual quantiser of log-mels, trained on
the same recordings, in the place of EnCodec; the CLAP token starts from captions' words
as DRCap's does; schedule and beam search are the grid's, and no checkpoint is chosen by
its captions. In the demo the loss is not smoothed, since two hundred steps are too few
to teach a language model of 49,000 tokens that.
"""

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from drcap.captioner.mapper import random_layer
from drcap.captioner.model import Captioner
from drcap.config import EnCLAPConfig, ExperimentsConfig
from drcap.data.clip import Clip
from drcap.joint_space import JointSpace
from drcap.systems.language_model import NO_RETRIEVAL, PrefixPrompts, SupervisedSystem
from drcap.systems.prefix_aac import SHARE, positions, transformer

TRAINED_ON = 100_000  # tokens at most, drawn from the recordings


class LogMelCodec:
    """A residual quantiser of log-mels; a recording has T tokens, its `length`."""

    def __init__(self, space: JointSpace, config: EnCLAPConfig):
        frames, mels = space.log_mel_shape
        self.space, self.frames = space, config.frames
        self.codebooks, self.bits = config.codebooks, config.bits
        self.length = frames // config.frames
        self.shape = config.codebooks, 2**config.bits, mels * config.frames
        self.quantiser = faiss.ResidualQuantizer(
            self.shape[2], self.codebooks, self.bits
        )
        self.quantiser.train_type = faiss.ResidualQuantizer.Train_default
        self.quantiser.max_beam_size = 1  # the nearest code each time

    def fit(self, clips: Sequence[Clip], seed: int) -> torch.Tensor:
        """Learn the codebooks by k-means, one after another: (Q, 2 ** bits, width)."""
        rows = self.tokens(clips).reshape(-1, self.quantiser.d)
        if len(rows) > TRAINED_ON:
            chosen = np.random.default_rng(seed).choice(len(rows), TRAINED_ON, False)
            rows = rows[np.sort(chosen)]
        self.quantiser.cp.seed = seed
        self.quantiser.train(rows)
        flat = faiss.vector_to_array(self.quantiser.codebooks)
        return torch.from_numpy(flat.reshape(self.shape))

    def use(self, codebooks: torch.Tensor) -> None:
        """Take the codebooks that `fit` made."""
        flat = codebooks.cpu().numpy().ravel()
        faiss.copy_array_to_vector(flat, self.quantiser.codebooks)
        self.quantiser.is_trained = True

    def tokens(self, clips: Sequence[Clip]) -> np.ndarray:
        """Cut log-mels into tokens, a rest dropped: (B, T, frames * mels) float32."""
        log_mels = self.space.log_mels(clips).numpy()  # (B, frames, mels)
        whole = log_mels[:, : self.length * self.frames]
        rows = whole.reshape(len(whole), self.length, -1)
        return np.ascontiguousarray(rows, dtype=np.float32)

    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q) int64."""
        packed = self.quantiser.compute_codes(
            self.tokens(clips).reshape(-1, self.quantiser.d)
        )
        codes = faiss.unpack_bitstrings(packed, self.codebooks, self.bits)
        return codes.reshape(-1, self.length, self.codebooks).astype(np.int64)


class CodeEncoder(nn.Module):
    """Rows of a CLAP embedding and codes to P tokens: (B, D + T * Q) -> (B, 1 + T, H).

    dim : D      width : H      size : a typical token's standard deviation
    shape : of the codec's codebooks, which are kept with the weights
    """

    def __init__(self, dim: int, width: int, config, size: float, shape=(0,)):
        super().__init__()
        self.register_buffer("codebooks", torch.zeros(shape))
        self.dim, self.config, self.size = dim, config, size
        entries = 2**config.bits
        self.mask = entries  # the code that hides another
        self.clap = nn.Linear(dim, width)
        self.codes = nn.ModuleList(
            nn.Embedding(entries + 1, width) for _ in range(config.codebooks)
        )
        self.layers = transformer(width, 4 * width, config)
        # ours: the CLAP embedding as a soft token, to which the encoder adds its state
        self.word = random_layer(dim, width, size)
        self.heads = nn.ModuleList(
            nn.Linear(width, entries) for _ in range(config.codebooks)
        )
        self.mcm_loss = torch.zeros(())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Encode B rows; in training, mask codes and keep the loss of guessing them."""
        clap, codes = self.parts(rows)
        hidden = masks(codes.shape, self.config) if self.training else None
        states = self.encode(clap, codes, hidden)
        if hidden is not None:
            self.mcm_loss = self.guessing_loss(states[:, 1:], codes, hidden)
        first, others = states.split([1, states.shape[1] - 1], dim=1)
        first = self.word(clap)[:, None] + SHARE * self.size * first
        return torch.cat([first, self.size * others], dim=1)

    def parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return CLAP embeddings (B, D) and codes (B, T, Q) of B rows."""
        codes = rows[:, self.dim :].long()
        return rows[:, : self.dim], codes.view(len(rows), -1, self.config.codebooks)

    def encode(self, clap, codes, hidden: torch.Tensor | None) -> torch.Tensor:
        """Return the encoder's states, the CLAP token's first: (B, 1 + T, H)."""
        if hidden is not None:
            codes = codes.masked_fill(hidden.to(codes.device), self.mask)
        tokens = sum(book(codes[..., q]) for q, book in enumerate(self.codes))
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2]).to(tokens)
        first = self.clap(self.dim**0.5 * clap)  # unit rows, made as large as a token
        return self.layers(torch.cat([first[:, None], tokens], dim=1))

    def guessing_loss(self, states, codes, hidden) -> torch.Tensor:
        """Cross-entropy of the masked codes, codebook q at weight 2 ** -(q + 1).

        states : (B, T, H)      codes, hidden : (B, T, Q)
        """
        total = states.new_zeros(())
        for q, head in enumerate(self.heads):
            where = hidden[..., q].to(states.device)
            if where.any():
                logits = head(states[where])
                loss = F.cross_entropy(logits, codes[..., q][where])
                total = total + 2.0 ** -(q + 1) * loss
        return total


def masks(shape: tuple[int, int, int], config: EnCLAPConfig) -> torch.Tensor:
    """Draw which codes are masked, in spans and apart for each codebook: (B, T, Q)."""
    starts = torch.rand(*shape) < config.mask_probability / config.mask_span
    hidden = starts.clone()
    for shift in range(1, min(config.mask_span, shape[1])):
        hidden[:, shift:] |= starts[:, :-shift]
    return hidden


class EnCLAPCaptioner(Captioner):
    """A language model that reads the encoder's output as a prefix."""

    def make_prompts(self) -> PrefixPrompts:
        length = 1 + self.settings[1].length  # the CLAP token and T tokens of codes
        return PrefixPrompts(self.tokenizer, self.config, length)

    def make_mapper(self, embedding_dim: int) -> CodeEncoder:
        own, codec = self.settings
        dim = embedding_dim - codec.length * own.codebooks
        table = self.llm.get_input_embeddings().weight
        size = table.float().std().item()
        return CodeEncoder(dim, table.shape[1], own, size, codec.shape)

    def starts(self, inputs):
        return [(self.mapper.word, self.mapper.parts(inputs)[0])]

    def loss(self, embeddings, prompts, targets) -> torch.Tensor:
        """Return the caption's loss, in training with masked codec modelling."""
        caption = super().loss(embeddings, prompts, targets)
        if not self.training:
            return caption
        return caption + self.settings[0].mcm_weight * self.mapper.mcm_loss


class EnCLAP(SupervisedSystem):
    """The system of the rows "EnCLAP-large"."""

    settings_of = "enclap"
    captioner_class = EnCLAPCaptioner
    changes = NO_RETRIEVAL

    def settings(self, config: ExperimentsConfig) -> object:
        self.codec = LogMelCodec(self.space, config.baselines.enclap)
        return config.baselines.enclap, self.codec

    @property
    def width(self) -> int:
        """Numbers in a row: the CLAP embedding and all codes."""
        return self.space.clap.dim + self.codec.length * self.codec.codebooks

    def examples(self, training_set, captioner, config):
        codebooks = self.codec.fit(training_set.clips, config.seed)
        captioner.mapper.codebooks.copy_(codebooks)
        return super().examples(training_set, captioner, config)

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        super().load(folder, config)
        self.codec.use(self.captioner.mapper.codebooks)

    def rows(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return CLAP embedding and codes of B clips, (B, D + T * Q)."""
        codes = torch.from_numpy(self.codec.encode(clips))
        return torch.cat([self.space.audio(clips), codes.flatten(1).float()], dim=1)
