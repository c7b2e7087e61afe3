"""The codec of the EnCLAP rows: recordings to T tokens of Q codes each.

EnCodec, pretrained, wherever its weights can be had; or a small residual quantiser
trained on the recordings of the source corpus, as a note under the tables says.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import EncodecModel

from drcap import assets, audio
from drcap.baselines.residual_codec import ResidualCodec
from drcap.config import EnCLAPConfig
from drcap.data.captions import Clip
from drcap.devices import resolve_device
from drcap.errors import ConfigError
from drcap.spaces import WINDOWS, Space

MOST_TOKENS = 1021  # of a recording that EnCLAP reads; a rest is left out
CODEC = "codec.safetensors"


class Codec(ABC):
    """Recordings to codes of one shape, (B, T, Q) int64."""

    codebooks: int  # Q
    entries: int  # of a codebook
    length: int  # T

    @abstractmethod
    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q)."""

    @abstractmethod
    def fit(self, clips: Sequence[Clip], seed: int, folder: Path) -> None:
        """Train in `folder`, or load what was trained there."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was trained."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""


class LogMelCodec(Codec):
    """The quantiser that is trained here, on the CLAP front end's log-mels."""

    def __init__(self, space: Space, config: EnCLAPConfig):
        frames, mels = space.log_mel_shape
        self.space = space
        self.codebooks, self.entries = config.codebooks, 2**config.bits
        self.length = frames // config.frames
        self.quantiser = ResidualCodec(
            mels, config.codebooks, config.bits, config.frames
        )

    def fit(self, clips: Sequence[Clip], seed: int, folder: Path) -> None:
        """Learn the codebooks from the clips, unless they lie in `folder`."""
        if (Path(folder) / CODEC).exists():
            self.load(folder)
            return
        self.quantiser.fit(self.space.log_mels(clips).numpy(), seed)
        self.save(folder)

    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q)."""
        return self.quantiser.encode(self.space.log_mels(clips).numpy())

    def save(self, folder: Path) -> None:
        """Write the codebooks."""
        self.quantiser.save(Path(folder) / CODEC)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        self.quantiser.load(Path(folder) / CODEC)


class PretrainedCodec(Codec):
    """EnCodec by Hugging Face name or folder; its first Q codebooks.

    ConfigError if it has fewer, or codes of another size than the settings say.
    """

    def __init__(self, space: Space, config: EnCLAPConfig):
        self.space, self.name = space, config.codec
        self.codebooks, self.entries = config.codebooks, 2**config.bits
        found = self.model.config
        most = self.model.quantizer.num_quantizers
        if found.codebook_size != self.entries or most < self.codebooks:
            raise ConfigError(
                f"enclap.codec: {config.codec} has {most} codebooks of "
                f"{found.codebook_size} entries; set enclap.codebooks and enclap.bits "
                "to fit"
            )
        seconds = WINDOWS * space.clap.window_seconds
        self.samples = round(seconds * found.sampling_rate)
        tokens = int(np.ceil(seconds * found.frame_rate))
        self.length = min(tokens, MOST_TOKENS)

    @cached_property
    def model(self) -> EncodecModel:
        """The codec, frozen."""
        source = assets.resolve_model(self.name)
        return EncodecModel.from_pretrained(source).to(resolve_device()).eval()

    def fit(self, clips: Sequence[Clip], seed: int, folder: Path) -> None:
        """Train nothing."""

    def save(self, folder: Path) -> None:
        """Write nothing: the settings name the codec."""

    def load(self, folder: Path) -> None:
        """Read nothing."""

    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q), computed once."""
        kind = f"codes-{Path(self.name).name}-{self.codebooks}"
        return self.space.kept(kind, clips, self._codes).numpy()

    @torch.inference_mode()
    def _codes(self, recordings: Sequence[str]) -> np.ndarray:
        widest = max(
            self.model.config.target_bandwidths
        )  # the first codes are as of any
        rows = []
        for path in tqdm(recordings, desc="codec", unit="recording", delay=2):
            wave = audio.load(path, self.model.config.sampling_rate)[: self.samples]
            padded = np.pad(wave, (0, self.samples - len(wave)))
            given = torch.from_numpy(padded)[None, None].to(self.model.device)
            codes = self.model.encode(given, bandwidth=widest).audio_codes[0, 0]
            rows.append(codes[: self.codebooks, : self.length].T.cpu().numpy())
        return np.ascontiguousarray(np.stack(rows))


def make_codec(space: Space, config: EnCLAPConfig) -> Codec:
    """Return the codec that the settings name; without a name, one to be trained."""
    return (
        PretrainedCodec(space, config) if config.codec else LogMelCodec(space, config)
    )
