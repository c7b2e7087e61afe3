"""Tags as YAMNet would give them of a recording, simulated from its caption alone.

The caption bridge learns from such tags. `class_probabilities` guesses from the words
which AudioSet classes sound; `Simulator` draws levels, adds what the tagger confuses
with them, and mixes in the tags of real background. How it confuses classes, and what
backgrounds are like, is measured on unlabelled recordings (`statistics`).
"""

import re
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch.nn import functional as F

from drcap.clap.text_encoder import SentenceEncoder
from drcap.clap.voice import SPEECH
from drcap.clap.yamnet import CLASSES, PLAIN_NAMES, SILENCE, UMBRELLAS, pooled

CLAUSE = re.compile(
    r"[,;.]|\b(?:and|while|as|then|followed by|with|before|after|over|along with"
    r"|amid)\b"
)
MIDDLE, WIDTH = (
    0.5,
    0.04,
)  # cosine of clause and class: where a class is as likely as not
BEHIND = 0.25  # a class this far behind the best one is off
NAMED = 0.9  # probability of a class that the caption names
SYNONYMS: dict[str, str] = CLASSES["synonyms"]  # stem of a word -> class it names
QUANTILES = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1)
LEVELS = (
    0.0005,
    0.0024,
    0.02,
    0.11,
    0.38,
    0.62,
    0.74,
    0.79,
    0.95,
)  # of a class that is on
NEIGHBOURS = 24  # classes that a class is confused with


def plain_names(class_names: Sequence[str]) -> list[str]:
    """Return what a caption would call the classes."""
    return [PLAIN_NAMES.get(name, name).lower() for name in class_names]


def class_probabilities(
    captions: Sequence[str],
    class_names: Sequence[str],
    sentences: SentenceEncoder,
    text_mean: torch.Tensor,
) -> np.ndarray:
    """Guess which classes sound where N captions are true: (N, classes) float32.

    By the cosine of the caption's clauses with the class's name, and by its words.
    """
    clauses = [_clauses(caption) for caption in captions]
    rows = {
        text: row
        for row, text in enumerate(dict.fromkeys(chain.from_iterable(clauses)))
    }
    texts = list(rows), plain_names(class_names)
    embeddings = [sentences.encode(part) for part in texts]
    centred = [F.normalize(part - text_mean, dim=1) for part in embeddings]
    similarities = (centred[0] @ centred[1].T).numpy()
    places = np.array([rows[text] for texts in clauses for text in texts])
    starts = np.cumsum([0, *map(len, clauses[:-1])])
    nearest = np.maximum.reduceat(similarities[places], starts)  # (N, classes)
    likely = 1 / (1 + np.exp(-(nearest - MIDDLE) / WIDTH))
    likely[nearest <= nearest.max(1, keepdims=True) - BEHIND] = 0
    classes_of = _classes_of_stems(class_names)
    for row, caption in enumerate(captions):
        for word in re.findall("[a-z]+", caption.lower()):
            named = classes_of.get(stem(word), [])
            likely[row, named] = np.maximum(likely[row, named], NAMED)
    return likely.astype(np.float32)


def _clauses(caption: str) -> list[str]:
    parts = [part.strip() for part in CLAUSE.split(caption.lower())]
    return [part for part in parts if part] or [caption.lower()]


def _classes_of_stems(class_names: Sequence[str]) -> dict[str, list[int]]:
    """Return the classes that a stem names, as a part of their name or a synonym."""
    classes: dict[str, list[int]] = {}
    for place, name in enumerate(class_names):
        parts = [part.strip() for part in re.sub(r"\(.*?\)", "", name).split(",")]
        stems = {stem(part.lower()) for part in parts if part and " " not in part}
        stems |= {word for word, synonym in SYNONYMS.items() if synonym == name}
        for word in stems:
            classes.setdefault(word, []).append(place)
    return classes


def stem(word: str) -> str:
    """Return a word without its ending: bark for barks, barking and barked."""
    for ending in ("ing", "ed", "es", "s", "er"):
        if word.endswith(ending) and len(word) >= len(ending) + 3:
            word = word.removesuffix(ending)
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
        word = word[:-1]
    return word.rstrip("e") if len(word) > 3 else word


class Simulator:
    """Draws tags of captions.

    class_names : of YAMNet
    statistics : what the function of this name returns
    """

    def __init__(self, class_names: Sequence[str], statistics: dict[str, torch.Tensor]):
        self.speech = list(class_names).index(SPEECH)
        self.neighbours = statistics["neighbours"].long().numpy()
        self.shares = statistics["shares"].float().numpy()
        self.backgrounds = statistics["backgrounds"].float().numpy()

    def draw(
        self, likely: np.ndarray, named: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw the tags and the sexes of speakers of B captions.

        likely : (B, classes), see `class_probabilities`
        named : (B, 2), see `sexes_named`
        returns : (B, classes) float32 in [0, 1] and (B, 2) of 0 and 1, float32
        """
        rows, classes = (rng.random(likely.shape, np.float32) < likely).nonzero()
        levels = np.interp(rng.random(len(rows)), QUANTILES, LEVELS)
        speech = np.zeros(len(likely), bool)
        speech[rows[classes == self.speech]] = True
        masked = rng.uniform(0.3, 1, len(rows))  # speech covers other sounds
        levels = np.where(speech[rows], levels * masked, levels)
        loud = np.maximum(levels, rng.uniform(0.3, 0.8, len(rows)))
        levels = np.where(classes == self.speech, loud, levels)
        tags = np.zeros_like(likely)
        tags[rows, classes] = levels
        self._confuse(tags, rows, classes, levels, rng)
        count = len(likely)
        faint = rng.uniform(0, 0.3, count) * (rng.random(count) < 0.5)
        behind = self.backgrounds[rng.integers(len(self.backgrounds), size=count)]
        tags = np.maximum(tags, faint[:, None] * behind)
        stray = rng.uniform(0, 0.8, count) * (rng.random(count) < 0.05)
        speech = tags[:, self.speech] = np.maximum(tags[:, self.speech], stray)
        shown = (speech > 0.2) & (rng.random(count) < 0.4 + 0.5 * speech)
        wrong = rng.random(named.shape) < 0.04
        sexes = np.abs(named * shown[:, None] - wrong)
        return tags.astype(np.float32), sexes.astype(np.float32)

    def _confuse(self, tags, rows, classes, levels, rng) -> None:
        """Raise in place the classes that the tagger takes those that are on for."""
        shape = len(rows), self.neighbours.shape[1]
        noise = np.exp(0.7 * rng.standard_normal(shape))
        values = np.minimum(0.9, levels[:, None] * self.shares[classes] * noise)
        places = rows[:, None] * tags.shape[1] + self.neighbours[classes]
        flat = torch.from_numpy(tags).view(-1)
        values = torch.from_numpy(values.astype(np.float32)).flatten()
        flat.scatter_reduce_(0, torch.from_numpy(places).flatten(), values, "amax")


def statistics(
    recordings: Sequence[np.ndarray], classifier: np.ndarray, class_names: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Measure how YAMNet's classes go together in unlabelled recordings.

    recordings : each its probabilities over time, (P, classes)
    classifier : rows of YAMNet's last layer, (classes, width)

    returns : `neighbours` (classes, NEIGHBOURS) int16, the likeliest others of a class;
        `shares` of its level that they have, and the `backgrounds`, the recordings'
        pooled tags (recordings, classes), both float16
    """
    patches = np.concatenate(recordings).astype(np.float32)
    rows = classifier - classifier.mean(0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    alike = rows @ rows.T  # K
    shares = _shares(patches, alike, np.isin(class_names, list(UMBRELLAS)))
    silence = list(class_names).index(SILENCE)
    shares[:, silence] = 0
    np.fill_diagonal(shares, -1)
    neighbours = np.argsort(-shares, axis=1, kind="stable")[:, :NEIGHBOURS]
    backgrounds = np.stack([pooled(over_time) for over_time in recordings])
    backgrounds[:, silence] = 0
    taken = np.take_along_axis(shares, neighbours, 1)
    return {
        "neighbours": torch.from_numpy(neighbours.astype(np.int16)),
        "shares": torch.from_numpy(taken.astype(np.float16)),
        "backgrounds": torch.from_numpy(backgrounds.astype(np.float16)),
    }


def _shares(patches: np.ndarray, alike: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Return R (classes, classes): the share of a class's level that others have.

    It is measured where the class leads those that are alike, and drawn to the mean
    of pairs as much alike, since few patches have a rare class.
    """
    measured, weight = np.zeros_like(alike), np.zeros(len(alike), np.float32)
    for place in range(len(alike)):
        rivals = (alike[place] > 0.3) & ~family
        rivals[place] = True
        level = patches[:, place]
        leads = (level > 0.05) & (level >= 0.8 * patches[:, rivals].max(1))
        weight[place] = (level[leads] ** 2).sum()
        if weight[place]:
            measured[place] = level[leads] @ patches[leads] / weight[place]
    bins = ((alike + 0.2) * 10).astype(int).clip(0, 11)
    counted = ~np.eye(len(alike), dtype=bool) & (weight > 0)[:, None]
    sums = np.bincount(bins[counted], measured[counted], minlength=12)
    counts = np.bincount(bins[counted], minlength=12)
    usual = sums / np.maximum(counts, 1)  # g of K
    usual[counts == 0] = usual.max()
    usual, weight = usual[bins], weight[:, None]
    drawn = (weight * measured + 3 * usual) / (weight + 3)
    return np.where(alike > 0.2, drawn, usual)
