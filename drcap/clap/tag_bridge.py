"""The tag bridge: a training-free stand-in for CLAP, from a tagger and a text encoder.

What it is. f_t is MiniLM, centred on the mean of the captions it was fitted to. f_a
names what YAMNet hears: f_a(audio) = unit(sum_c q_c^1.5 v_c). Here q_c is the
probability of AudioSet class c, half its mean and half its maximum over time; among
animals it is scaled by how much of the time the class prevails, since two that sound
alike are rarely both there. v_c is the class's place among captions, fitted to text
alone by `tag_bridge_fit`.

What it is not. Not a trained CLAP: it hears 521 classes and nothing between them, no
counts, no order of events, no loudness or distance. Its settings were chosen on 43
clips of AudioCaps' validation split and on the ten recordings of the notebooks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from drcap import assets, paths
from drcap.clap.audioset import FIRST_ANIMAL, LAST_ANIMAL, UMBRELLAS
from drcap.clap.encoder import CLAP
from drcap.clap.sentence_encoder import SentenceEncoder
from drcap.clap.yamnet import SR, YAMNet
from drcap.errors import CheckpointError
from drcap.files import sha256

FITTED = paths.CHECKPOINTS / "tag_bridge.safetensors"
SHARPNESS = 1.5  # exponent of a class's evidence


class TagBridge(CLAP):
    """YAMNet's tags, spoken in MiniLM's space. See the module's docstring.

    fitted : what `tag_bridge_fit.save` wrote; CheckpointError if it cannot be read
    """

    sr = SR
    window_seconds = 10.0
    temperature = 0.025  # chosen on the same recordings

    def __init__(self, fitted: Path = FITTED):
        try:
            tensors = load_file(fitted)
            self.class_vectors = tensors["class_vectors"]  # v_c, (521, D)
            self.text_mean = tensors["text_mean"]  # (D,)
        except Exception as error:
            raise CheckpointError(
                f"{fitted}: not a fitted tag bridge ({error}); refit it with "
                "`python -m workflow.fit_tag_bridge`"
            ) from None
        self.tagger = YAMNet(assets.asset_path("yamnet"))
        self.animals = animal_classes(self.tagger.class_names)
        self.sentences = SentenceEncoder(assets.resolve_model("all-minilm-l6-v2"))
        self.dim = len(self.text_mean)
        self.fingerprint = f"tag-bridge-{sha256(fitted)[:12]}"

    def tags(self, waveform: np.ndarray) -> np.ndarray:
        """Return class probabilities of a waveform (n,) at 16 kHz: (521,) in [0, 1]."""
        return pooled(self.tagger.tag(waveform))

    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Embed B waveforms, each (n,) float32 at 16 kHz -> (B, D), unit rows."""
        if not waveforms:
            return torch.zeros(0, self.dim)
        heard = [evidence(self.tagger.tag(each), self.animals) for each in waveforms]
        return self.embed(torch.from_numpy(np.stack(heard)).float())

    def embed(self, heard: torch.Tensor) -> torch.Tensor:
        """Turn the evidence q of B recordings, (B, 521), into (B, D), unit rows."""
        return F.normalize(heard**SHARPNESS @ self.class_vectors, dim=-1)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows."""
        return F.normalize(self.sentences.encode(captions) - self.text_mean, dim=-1)


def animal_classes(class_names: Sequence[str]) -> np.ndarray:
    """Return the indices of the animals, families such as "Wild animals" left out."""
    first, last = map(list(class_names).index, (FIRST_ANIMAL, LAST_ANIMAL))
    branch = range(first, last + 1)
    return np.array([c for c in branch if class_names[c] not in UMBRELLAS])


def pooled(over_time: np.ndarray) -> np.ndarray:
    """Pool probabilities (P, 521) over time: half the mean, half the maximum."""
    return (over_time.mean(0) + over_time.max(0)) / 2


def evidence(over_time: np.ndarray, animals: np.ndarray) -> np.ndarray:
    """Return q_c from probabilities (P, 521): pooled, animals by their prevalence."""
    heard = pooled(over_time)
    prevalence = over_time[:, animals].mean(0)
    heard[animals] *= prevalence / max(prevalence.max(), 1e-6)
    return heard
