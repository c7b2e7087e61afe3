"""The tag bridge: a training-free stand-in for CLAP, from a tagger and a text encoder.

What it is. f_t is MiniLM, centred on the mean of the captions it was fitted to. f_a
names what YAMNet recognises: f_a(audio) = unit(sum_c q_c^1.5 v_c). Here q_c is the
probability of AudioSet class c, half its mean and half its maximum over time; among
animals it is scaled by how much of the time the class prevails, since two that sound
alike are rarely both there. v_c is the class's place among captions: its name projected
onto the captions' embeddings by the paper's eq. 4 (`fit`). Text alone enters.

What it is not. Not a trained CLAP: it knows 521 classes and nothing between them, no
counts, no order of events, no loudness or distance. Its settings were chosen on 43
clips of AudioCaps' validation split and on the ten recordings of the notebooks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from drcap import assets, paths
from drcap.atomic import atomic_path, sha256
from drcap.clap.encoder import CLAP
from drcap.clap.sentence_encoder import SentenceEncoder
from drcap.clap.yamnet import PLAIN_NAMES, SILENCE, SR, UMBRELLAS, YAMNet
from drcap.errors import CheckpointError
from drcap.projection import project

FITTED = paths.CHECKPOINTS / "tag_bridge.safetensors"
SHARPNESS = 1.5  # exponent of a class's evidence
TEMPLATES = (  # how a caption may name a class
    "the sound of {}",
    "{}",
    "{} is heard",
    "{} sounds in the background",
    "a {} makes noise",
)
TEMPERATURES = (0.1, 0.08, 0.06, 0.05, 0.04, 0.03)  # of eq. 4, the smoothest first
NEAR_BEST = 0.9  # least cosine with the class name, as a share of the best one's
UMBRELLA_WEIGHT = 0.1


class TagBridge(CLAP):
    """YAMNet's tags in MiniLM's space. See the module's docstring.

    fitted : what `save` wrote

    Raises CheckpointError if it cannot be read, AssetError without YAMNet or MiniLM.
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
                "`drcap train bridge`"
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
        if not waveforms:
            return torch.zeros(0, self.dim)
        tags = [evidence(self.tagger.tag(wave), self.animals) for wave in waveforms]
        return self.embed(torch.from_numpy(np.stack(tags)).float())

    def embed(self, tags: torch.Tensor) -> torch.Tensor:
        """Turn the evidence q of B recordings, (B, 521), into (B, D), unit rows."""
        return F.normalize(tags**SHARPNESS @ self.class_vectors, dim=-1)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        return F.normalize(self.sentences.encode(captions) - self.text_mean, dim=-1)


def animal_classes(class_names: Sequence[str]) -> np.ndarray:
    """Return the indices of the animals, families such as "Wild animals" left out."""
    # YAMNet's class list follows AudioSet's tree
    first, last = map(list(class_names).index, ("Animal", "Whale vocalization"))
    branch = range(first, last + 1)
    return np.array([c for c in branch if class_names[c] not in UMBRELLAS])


def pooled(over_time: np.ndarray) -> np.ndarray:
    """Pool probabilities (P, 521) over time: half the mean, half the maximum."""
    return (over_time.mean(0) + over_time.max(0)) / 2


def evidence(over_time: np.ndarray, animals: np.ndarray) -> np.ndarray:
    """Return q_c from probabilities (P, 521): pooled, animals by their prevalence."""
    tags = pooled(over_time)
    prevalence = over_time[:, animals].mean(0)
    tags[animals] *= prevalence / max(prevalence.max(), 1e-6)
    return tags


def fit(
    class_names: Sequence[str], captions: Sequence[str], sentences: SentenceEncoder
) -> dict[str, torch.Tensor]:
    """Return `class_vectors` (classes, D) and `text_mean` (D,), float32."""
    support = sentences.encode(list(dict.fromkeys(captions)))  # (N, D)
    text_mean = support.mean(0)
    support = F.normalize(support - text_mean, dim=-1)
    weights = [UMBRELLA_WEIGHT if name in UMBRELLAS else 1.0 for name in class_names]
    weights[list(class_names).index(SILENCE)] = 0.0  # handled before captioning
    vectors = place(embed_names(class_names, sentences), support)
    vectors = torch.tensor(weights)[:, None] * vectors
    return {"class_vectors": vectors, "text_mean": text_mean}


def embed_names(class_names: Sequence[str], sentences: SentenceEncoder) -> torch.Tensor:
    """Embed class names in plain words, averaged over TEMPLATES -> (classes, D)."""
    plain = [PLAIN_NAMES.get(name, name).lower() for name in class_names]
    prompts = [[template.format(name) for name in plain] for template in TEMPLATES]
    names = torch.stack([sentences.encode(batch) for batch in prompts]).mean(0)
    # what all class names share says nothing: the constant part of the modality gap
    return F.normalize(names - names.mean(0), dim=-1)


def place(names: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Place class names (classes, D) among captions (N, D), both unit rows.

    The direction is that of the smoothest projection that is nearly as close to the
    class name as the best one. The length is that of the smoothest: long where many
    captions speak of the class in one way, short where few or discordant ones do.
    """
    smooth_to_sharp = [project(names, support, tau) for tau in TEMPERATURES]
    cosines = torch.stack([F.cosine_similarity(p, names) for p in smooth_to_sharp])
    close = cosines >= NEAR_BEST * cosines.amax(0)  # (temperatures, classes)
    first = close.int().argmax(0)
    chosen = torch.stack(smooth_to_sharp)[first, torch.arange(len(names))]
    length = smooth_to_sharp[0].norm(dim=1, keepdim=True)
    return F.normalize(chosen, dim=-1) * length


def save(tensors: dict[str, torch.Tensor], target: Path) -> None:
    """Write what `fit` returns as safetensors, whole or not at all."""
    with atomic_path(target) as path:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)
