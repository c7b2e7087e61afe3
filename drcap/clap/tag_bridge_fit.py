"""Fit the tag bridge to captions: the paper's eq. 4, applied to class names.

A class's name is projected onto the captions' embeddings. The direction is that of the
smoothest projection that speaks of the class nearly as well as any. The length is that
of a smooth projection: long where many captions speak of the class in one way, short
where few or discordant ones do. Text alone enters.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from drcap.clap.audioset import PLAIN_NAMES, SILENCE, UMBRELLAS
from drcap.clap.sentence_encoder import SentenceEncoder
from drcap.files import atomic_path
from drcap.projection import project

TEMPLATES = (  # how a caption may name a class
    "the sound of {}",
    "{}",
    "{} is heard",
    "{} sounds in the background",
    "a {} makes noise",
)
TEMPERATURES = (0.1, 0.08, 0.06, 0.05, 0.04, 0.03)  # of eq. 4, the smoothest first
SPEAKS_OF = 0.9  # least cosine with the class name, as a share of the best one's
UMBRELLA_WEIGHT = 0.1


def fit(
    class_names: Sequence[str], captions: Sequence[str], sentences: SentenceEncoder
) -> dict[str, torch.Tensor]:
    """Return `class_vectors` (classes, D) and `text_mean` (D,), float32."""
    support = sentences.encode(list(dict.fromkeys(captions)))  # (N, D)
    text_mean = support.mean(0)
    support = F.normalize(support - text_mean, dim=-1)
    names = embed_names(class_names, sentences)
    vectors = _weights(class_names)[:, None] * place(names, support)
    return {"class_vectors": vectors, "text_mean": text_mean}


def embed_names(class_names: Sequence[str], sentences: SentenceEncoder) -> torch.Tensor:
    """Embed class names in plain words, averaged over TEMPLATES -> (classes, D)."""
    plain = [PLAIN_NAMES.get(name, name).lower() for name in class_names]
    prompts = [[template.format(name) for name in plain] for template in TEMPLATES]
    names = torch.stack([sentences.encode(each) for each in prompts]).mean(0)
    # what all class names share says nothing: the constant part of the modality gap
    return F.normalize(names - names.mean(0), dim=-1)


def place(names: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Place class names (classes, D) among captions (N, D), both unit rows."""
    smooth_to_sharp = [project(names, support, tau) for tau in TEMPERATURES]
    cosines = torch.stack([F.cosine_similarity(p, names) for p in smooth_to_sharp])
    speaks = cosines >= SPEAKS_OF * cosines.amax(0)  # (temperatures, classes)
    first = speaks.int().argmax(0)
    chosen = torch.stack(smooth_to_sharp)[first, torch.arange(len(names))]
    length = smooth_to_sharp[0].norm(dim=1, keepdim=True)
    return F.normalize(chosen, dim=-1) * length


def _weights(class_names: Sequence[str]) -> torch.Tensor:
    weights = [UMBRELLA_WEIGHT if name in UMBRELLAS else 1.0 for name in class_names]
    weights[list(class_names).index(SILENCE)] = 0.0  # handled before captioning
    return torch.tensor(weights)


def save(tensors: dict[str, torch.Tensor], target: Path) -> None:
    """Write what `fit` returns as safetensors, whole or not at all."""
    with atomic_path(target) as path:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)
