"""The CLAP model (sec. II-A): HTS-AT and a text encoder, projected into one space.

In: waveforms or their log-mels, and captions; out: unit rows of width D. The batch
normalisation of the spectrum keeps the statistics of the training clips, in training
too, so that an embedding never depends on its batch. A saved model is a folder:
config.json, model.safetensors and, if the text encoder was trained with the rest,
`text_encoder/` with its architecture and tokenizer. A frozen one is kept by its name.
"""

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import ClapAudioConfig, ClapAudioModel

from drcap.atomic import atomic_folder, write_json
from drcap.clap import CLAP
from drcap.clap.front_end import LogMel, fixed_length
from drcap.clap.text_encoder import TextEncoder
from drcap.config import CLAPConfig
from drcap.devices import inference_dtype, resolve_device
from drcap.errors import CheckpointError, ConfigError

KIND = "clap"
WEIGHTS = "model.safetensors"
TEXT_ENCODER = "text_encoder"


def contrastive_loss(
    audio: torch.Tensor,
    text: torch.Tensor,
    temperature: torch.Tensor | float,
    clip_ids: torch.Tensor,
) -> torch.Tensor:
    """Return the mean cross-entropy of both directions, with shared positives.

    audio, text : (B, D) float32, unit rows; row i of both is one pair
    temperature : > 0, divides the cosines
    clip_ids : (B,) ints; as in the authors' code, the right answers of a row are all
        rows of its clip, each with the same share of the target
    """
    similarities = audio @ text.T / temperature  # (B, B)
    same = (clip_ids[:, None] == clip_ids[None, :]).to(similarities)
    targets = same / same.sum(dim=1, keepdim=True)  # symmetric
    audio_to_text = F.cross_entropy(similarities, targets)
    text_to_audio = F.cross_entropy(similarities.T, targets)
    return (audio_to_text + text_to_audio) / 2


def hts_at(config: CLAPConfig) -> ClapAudioConfig:
    """Return the settings of HTS-AT (Chen et al., 2022) as transformers wants them.

    A Swin transformer that sees the spectrogram stretched and folded into a square.
    """
    settings = config.audio_encoder
    return ClapAudioConfig(
        num_mel_bins=config.front_end.mels,
        spec_size=settings.spectrogram_size,
        patch_size=settings.patch_size,
        patch_stride=(settings.patch_size, settings.patch_size),
        window_size=settings.window_size,
        patch_embeds_hidden_size=settings.width,
        hidden_size=settings.width * 2 ** (len(settings.depths) - 1),
        depths=list(settings.depths),
        num_hidden_layers=len(settings.depths),
        num_attention_heads=list(settings.heads),
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )


def projection_head(width: int, dim: int) -> nn.Sequential:
    """Return the two layers from an encoder's width to that of the joint space."""
    return nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))


class CLAPModel(nn.Module):
    """Audio and text encoder, projection heads and learned temperature.

    text_encoder : None: read by the name `config.text_encoder.model`
    """

    def __init__(self, config: CLAPConfig, text_encoder: TextEncoder | None = None):
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        architecture = hts_at(config)
        self.audio_encoder = ClapAudioModel(architecture)
        self.text_encoder = text_encoder or TextEncoder(config.text_encoder)
        self.audio_projection = projection_head(architecture.hidden_size, config.dim)
        self.text_projection = projection_head(self.text_encoder.width, config.dim)
        # its logarithm is learned, so that it stays above 0
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))

    @property
    def temperature(self) -> torch.Tensor:
        """What similarities are divided by, tau in eq. 4."""
        return self.log_temperature.exp()

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.log_temperature.device

    @property
    def normalisation(self) -> nn.BatchNorm2d:
        """The normalisation of each mel band, before anything else in HTS-AT."""
        return self.audio_encoder.audio_encoder.batch_norm

    def train(self, mode: bool = True) -> "CLAPModel":
        """Switch dropout on or off; the normalisation keeps its fitted statistics."""
        super().train(mode)
        self.normalisation.eval()
        return self

    @torch.no_grad()
    def fit_normalisation(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        """Set the mel bands' mean and variance, (mels,) each, in dB and dB squared."""
        self.normalisation.running_mean.copy_(mean)
        self.normalisation.running_var.copy_(var)

    def saved(self) -> dict[str, torch.Tensor]:
        """Return what is saved, by name: all weights but a frozen text encoder's."""
        whole = self.config.text_encoder.trained
        weights = self.state_dict().items()
        return {n: t for n, t in weights if whole or not n.startswith("text_encoder.")}

    def load(self, path: Path) -> None:
        """Load saved weights; raises CheckpointError that says what does not fit."""
        try:
            tensors = load_file(path)
            self.load_state_dict(tensors, strict=False)
        except Exception as error:  # absent, damaged, or of another shape
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"{path}: cannot be loaded ({reason})") from None
        if odd := sorted(self.saved().keys() ^ tensors.keys()):
            lacking = "unexpected" if odd[0] in tensors else "missing"
            raise CheckpointError(f"{path}: cannot be loaded ({odd[0]} is {lacking})")

    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        """Embed log-mels: (B, frames, mels) dB -> (B, D) float32, unit rows."""
        features = self.audio_encoder(input_features=log_mels[:, None]).pooler_output
        return F.normalize(self.audio_projection(features).float(), dim=-1)

    def pool_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Return the text encoder's pooled states of B captions, (B, H)."""
        tokens = self.text_encoder.tokenize(captions)
        tokens = {name: tensor.to(self.device) for name, tensor in tokens.items()}
        return self.text_encoder(**tokens)

    def project_text(self, features: torch.Tensor) -> torch.Tensor:
        """Project pooled states: (B, H) -> (B, D) float32, unit rows."""
        return F.normalize(self.text_projection(features).float(), dim=-1)

    def embed_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows."""
        return self.project_text(self.pool_text(captions))


class TorchCLAP(CLAP):
    """What CLAP models in torch share.

    model : with `device`      front_end : from waveforms to the log-mels that it reads
    dtype : "fastest" is bfloat16 on a CPU that is faster in it; "auto" there is float32
    """

    def __init__(self, model: nn.Module, front_end: LogMel, dim: int, dtype: str):
        self.model, self.front_end, self.dim = model.eval(), front_end, dim
        self.dtype = inference_dtype(model.device, dtype)
        self.sr = front_end.config.sr
        self.window_seconds = front_end.config.seconds

    @abstractmethod
    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        """Embed log-mels: (B, frames, mels) dB -> (B, D) float32, unit rows."""

    @abstractmethod
    def embed_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows."""

    @torch.inference_mode()
    def log_mels(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return log-mels of the window's length: (B, frames, mels) dB."""
        fitted = fixed_length(waveforms, self.front_end.config)
        return self.front_end(fitted.to(self.model.device))

    @torch.inference_mode()
    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        if not len(waveforms):
            return torch.zeros(0, self.dim)
        log_mels = self.log_mels(waveforms)
        # one by one, the states of a clip fit the caches of a CPU
        size = 1 if log_mels.device.type == "cpu" else len(log_mels)
        with autocast(self.model.device, self.dtype):
            parts = [self.embed_log_mels(part) for part in log_mels.split(size)]
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        if not len(captions):
            return torch.zeros(0, self.dim)
        with autocast(self.model.device, self.dtype):
            return self.embed_text(captions).cpu()


class TrainedCLAP(TorchCLAP):
    """A `CLAPModel` that embeds, with the weights that it has."""

    def __init__(self, model: CLAPModel, dtype: str = "auto"):
        super().__init__(model, model.front_end, model.config.dim, dtype)

    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        return self.model.embed_log_mels(log_mels)

    def embed_text(self, captions: Sequence[str]) -> torch.Tensor:
        return self.model.embed_text(captions)

    @property
    def temperature(self) -> float:
        """The learned temperature, tau of eq. 4."""
        return float(self.model.temperature.detach())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight and of every setting that an embedding depends on."""
        config = self.model.config
        parts = (config.front_end, config.audio_encoder, config.text_encoder)
        return fingerprint(KIND, self.model, parts)

    @torch.inference_mode()
    def frames(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return HTS-AT's last states, the mean over frequency: (B, T, C) float32."""
        log_mels = self.log_mels(waveforms)[:, None]
        with autocast(self.model.device):
            states = self.model.audio_encoder(input_features=log_mels)
            states = states.last_hidden_state  # (B, C, frequencies, T)
            return states.mean(dim=2).transpose(1, 2).float().cpu()

    def save(self, folder: Path) -> None:
        """Write the model's folder, whole or not at all."""
        with atomic_folder(folder) as aside:
            values = {"kind": KIND, **self.model.config.to_dict()}
            write_json(aside / "config.json", values)
            weights = self.model.saved().items()
            save_file({n: t.contiguous() for n, t in weights}, aside / WEIGHTS)
            if self.model.config.text_encoder.trained:
                self.model.text_encoder.save(aside / TEXT_ENCODER)

    @classmethod
    def load(
        cls, folder: str | Path, device: str = "auto", dtype: str = "auto"
    ) -> "TrainedCLAP":
        """Load what `save` wrote; raises CheckpointError if it is not whole."""
        path = Path(folder) / "config.json"
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.pop("kind", None) != KIND:
                raise ValueError(f"its kind is not {KIND}")
            config = CLAPConfig.from_dict(values)
        except (OSError, ValueError, AttributeError, ConfigError) as error:
            reason = f"not of a saved CLAP model ({error})"
            raise CheckpointError(f"{path}: {reason}") from None
        text_encoder = None
        if config.text_encoder.trained:
            described = Path(folder) / TEXT_ENCODER
            text_encoder = TextEncoder.load(config.text_encoder, described)
        model = CLAPModel(config, text_encoder)
        model.load(Path(folder) / WEIGHTS)
        return cls(model.to(resolve_device(device)), dtype)


def fingerprint(label: str, model: nn.Module, settings: Iterable[object]) -> str:
    """Return a label that changes with every weight and with the settings given."""
    parts = json.dumps([asdict(part) for part in settings])
    digest = hashlib.sha256(parts.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{label}-{digest.hexdigest()[:12]}"


def autocast(device: torch.device, dtype: torch.dtype | None = None) -> torch.autocast:
    """Return the context of a precision; None: bfloat16 on a GPU, float32 on a CPU."""
    dtype = dtype or inference_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)
