"""The tag bridge: a training-free stand-in for CLAP, from a tagger and a text encoder.

What it is. f_t is MiniLM, centred on the mean of the captions it was fitted to. f_a
names what YAMNet hears: f_a(audio) = unit(sum_c p_c^1.5 v_c), with p_c the probability
of AudioSet class c, half its mean and half its maximum over time, and v_c the class's
place among captions: eq. 4 applied to the class name's own embedding, with the captions
as support. A class that many captions speak of in one way gets a long v_c and counts
for more; a vague one ("Animal") gets a short one. Fitted to text alone.

What it is not. Not a trained CLAP: it hears 521 classes and nothing between them, no
counts, no order of events, no loudness or distance.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from drcap import assets, paths
from drcap.clap.encoder import CLAP
from drcap.clap.sentence_encoder import SentenceEncoder
from drcap.clap.yamnet import SR, YAMNet
from drcap.files import atomic_path, sha256
from drcap.projection import project

TEMPLATES = (  # how a caption may name a class
    "the sound of {}",
    "{}",
    "{} is heard",
    "{} sounds in the background",
    "a {} makes noise",
)
FIT_TEMPERATURE = 0.1  # of eq. 4 for class names
SHARPNESS = 1.5  # exponent of a class's probability
FITTED = paths.CHECKPOINTS / "tag_bridge.safetensors"


class TagBridge(CLAP):
    """YAMNet's tags, spoken in MiniLM's space. See the module's docstring."""

    sr = SR
    window_seconds = 10.0
    temperature = 0.07  # chosen on validation clips

    def __init__(self, fitted: Path = FITTED):
        fitted_tensors = load_file(fitted)
        self.class_vectors = fitted_tensors["class_vectors"]  # v_c, (521, D)
        self.text_mean = fitted_tensors["text_mean"]  # (D,)
        self.tagger = YAMNet(assets.asset_path("yamnet"))
        self.sentences = SentenceEncoder(assets.resolve_model("all-minilm-l6-v2"))
        self.dim = len(self.text_mean)
        self.fingerprint = f"tag-bridge-{sha256(fitted)[:12]}"

    def tags(self, waveform: np.ndarray) -> np.ndarray:
        """Return p_c of a waveform (n,) at 16 kHz: (521,) in [0, 1]."""
        over_time = self.tagger.tag(waveform)  # (P, 521)
        return (over_time.mean(0) + over_time.max(0)) / 2

    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Embed B waveforms, each (n,) float32 at 16 kHz -> (B, D), unit rows."""
        if not waveforms:
            return torch.zeros(0, self.dim)
        tags = np.stack([self.tags(waveform) for waveform in waveforms])
        return self.from_tags(torch.from_numpy(tags).float())

    def from_tags(self, tags: torch.Tensor) -> torch.Tensor:
        """Turn class probabilities (B, 521) into embeddings (B, D), unit rows."""
        return F.normalize(tags**SHARPNESS @ self.class_vectors, dim=-1)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows."""
        return F.normalize(self.sentences.encode(captions) - self.text_mean, dim=-1)


def fit(
    class_names: Sequence[str], captions: Sequence[str], sentences: SentenceEncoder
) -> dict[str, torch.Tensor]:
    """Fit the bridge to captions: class_vectors (classes, D) and text_mean (D,)."""
    support = sentences.encode(list(dict.fromkeys(captions)))  # (N, D)
    text_mean = support.mean(0)
    support = F.normalize(support - text_mean, dim=-1)
    names = torch.stack(
        [
            sentences.encode([template.format(name.lower()) for name in class_names])
            for template in TEMPLATES
        ]
    ).mean(0)  # (classes, D)
    # what all class names share says nothing: the constant part of the modality gap
    names = F.normalize(names - names.mean(0), dim=-1)
    vectors = project(names, support, FIT_TEMPERATURE)
    vectors[list(class_names).index("Silence")] = 0  # handled before captioning
    return {"class_vectors": vectors, "text_mean": text_mean}


def save_fitted(tensors: dict[str, torch.Tensor], target: Path = FITTED) -> None:
    """Write what `fit` returns."""
    with atomic_path(target) as path:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)
