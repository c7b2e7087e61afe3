"""Text-only training data (sec. II-A): a caption, its embedding, its similar captions.

The order of captions and the draw of similar captions follow from (seed, epoch) alone,
so a resumed run sees what an uninterrupted one would.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.config import Config, RetrievalConfig
from drcap.errors import ConfigError
from drcap.modality_gap import inject_noise
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.datastore import distinct
from drcap.retrieval.similarity_selection import select_similar

BUCKET = 32  # batches sorted by length together


class Batch(NamedTuple):
    """B training examples: the arguments of `Captioner.loss`."""

    embeddings: torch.Tensor  # (B, D) float32, or whatever else the mapper reads
    prompts: list[Prompt]
    targets: list[list[int]]

    def rows(self, start: int, stop: int) -> "Batch":
        return Batch(*(values[start:stop] for values in self))


def hold_out(
    captions: Sequence[str], count: int, seed: int
) -> tuple[list[str], list[str]]:
    """Split captions for validation; return those to train on and those held out.

    count : distinct captions to hold out; at most half are

    Texts are stripped, blank ones left out; no text is on both sides. ConfigError if
    fewer than two captions are distinct.
    """
    texts = distinct(captions)
    if len(texts) < 2:
        raise ConfigError(
            f"training captions: {len(texts)} distinct; give two or more, as some are "
            "held out for validation"
        )
    held_out = _drawn(texts, min(count, len(texts) // 2), seed)
    kept = set(texts) - set(held_out)
    return [text for text in map(str.strip, captions) if text in kept], held_out


def split(
    captions: Sequence[str],
    datastore: CaptionDatastore,
    config: Config,
    validation: CaptionDatastore | None = None,
) -> tuple[list[str], list[str], CaptionDatastore]:
    """Return captions to train on, those for validation, and what embeds the latter.

    validation : captions of other clips, to draw from; None: some are held out

    Errors of `hold_out`.
    """
    count = config.training.validation_captions
    if validation is None:
        return *hold_out(captions, count, config.seed), datastore
    count = min(count, len(validation))
    held_out = _drawn(validation.captions, count, config.seed)
    return [text.strip() for text in captions if text.strip()], held_out, validation


def _drawn(texts: Sequence[str], count: int, seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).choice(len(texts), count, replace=False)
    return [texts[index] for index in sorted(chosen)]


class Examples(ABC):
    """Captions to be learned; a subclass gives the inputs of mapper and prompt."""

    def __init__(self, captions: Sequence[str], prompts: PromptBuilder):
        self.captions = list(captions)
        self.prompts = prompts
        self.targets = [prompts.target(text) for text in self.captions]

    @abstractmethod
    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return what the mapper reads of B examples, (B, ...); no seed: plain."""

    @abstractmethod
    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return the texts that enter the prompts of B examples."""

    def batch(
        self,
        indices: Sequence[int],
        similar: Sequence[Sequence[str]],
        seed: int | None = None,
    ) -> Batch:
        return Batch(
            self.inputs(indices, seed),
            [self.prompts.prompt(captions) for captions in similar],
            [self.targets[index] for index in indices],
        )

    def epoch(
        self, batch_size: int, seed: int, epoch: int, limit: int
    ) -> Iterator[Batch]:
        """Yield an epoch's first `limit` batches, each of captions of like length."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self))
        order = order[: limit * batch_size]
        texts = self.similar(order, seed + epoch)
        similar = dict(zip(order.tolist(), texts, strict=True))

        def length(index: int) -> int:
            return sum(map(len, similar[index])) + len(self.captions[index])

        for indices in bucketed(order, length, batch_size, seed + epoch):
            yield self.batch(indices, [similar[i] for i in indices], seed + epoch)

    def in_order(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield all examples once, in order and not augmented, as for validation."""
        indices = range(len(self))
        similar = self.similar(indices, seed)
        for start in range(0, len(indices), batch_size):
            part = slice(start, start + batch_size)
            yield self.batch(indices[part], similar[part])

    def __len__(self) -> int:
        return len(self.captions)


class TextOnlyExamples(Examples):
    """Examples of captions, their neighbours in a datastore, and embeddings of both.

    hidden : captions of the datastore that never enter a prompt (the held-out ones)
    variance : of the noise that moves embeddings in training; DRCap itself has none
    embedded : what holds the captions' own embeddings; None: the datastore

    DatastoreError names a caption that the datastore lacks.
    """

    def __init__(
        self,
        captions: Sequence[str],
        datastore: CaptionDatastore,
        prompts: PromptBuilder,
        retrieval: RetrievalConfig,
        hidden: Collection[str] = (),
        variance: float = 0.0,
        embedded: CaptionDatastore | None = None,
    ):
        super().__init__(captions, prompts)
        self.datastore, self.retrieval = datastore, retrieval
        self.hidden, self.variance = set(hidden), variance
        rows = (embedded or datastore).embeddings_of(self.captions)
        self.embeddings = torch.from_numpy(rows)

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return the captions' own text embeddings E_t, (B, D); with a seed, moved."""
        plain = self.embeddings[list(indices)]
        if seed is None or not self.variance:
            return plain
        return with_noise(plain, self.variance, seed, indices)

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return similar captions: by similarity selection (sec. II-B) or plain top k.

        A share of the examples, drawn by the seed, gets none (`retrieval.withheld`).
        """
        settings = self.retrieval
        if not settings.enabled or settings.top_k == 0:
            return [[] for _ in indices]
        queries = self.embeddings[list(indices)]
        own = [self.captions[index] for index in indices]
        if settings.similarity_selection:
            similar = select_similar(
                queries,
                self.datastore,
                k=settings.top_k,
                sim_min=settings.sim_min,
                sim_max=settings.sim_max,
                seed=seed,
                own_captions=own,
                exclude=self.hidden,
            )
        else:
            similar = self.datastore.search(
                queries,
                settings.top_k,
                own_captions=None if settings.own_caption else own,
                exclude=self.hidden,
            )
        withheld = np.random.default_rng(seed).random(len(similar)) < settings.withheld
        return [
            [] if bare else [match.caption for match in matches]
            for bare, matches in zip(withheld, similar, strict=True)
        ]


def text_only_examples(
    captioner,
    captions: Sequence[str],
    datastore: CaptionDatastore,
    config: Config,
    variance: float = 0.0,
    validation: CaptionDatastore | None = None,
    withheld: Collection[str] = (),
) -> tuple[TextOnlyExamples, TextOnlyExamples]:
    """Return the examples to train a Captioner on, and those for validation.

    validation : as for `split`      withheld : captions that never enter a prompt

    Errors of `hold_out` and `TextOnlyExamples`.
    """
    training, held_out, embedded = split(captions, datastore, config, validation)
    hidden = {*withheld, *(held_out if validation is None else ())}
    shared = datastore, captioner.prompts, config.retrieval, hidden, variance
    training = TextOnlyExamples(training, *shared)
    held_out = TextOnlyExamples(held_out, *shared, embedded)
    return training, held_out


def with_noise(
    embeddings: torch.Tensor, variance: float, seed: int, indices: Sequence[int]
) -> torch.Tensor:
    """Return unit rows of E + n, n ~ N(0, variance), drawn by seed and rows: (B, D)."""
    drawn_by = [seed, *map(int, indices)]
    return torch.from_numpy(inject_noise(embeddings.numpy(), variance**0.5, drawn_by))


def bucketed(
    order: np.ndarray, length: Callable[[int], int], batch_size: int, seed: int
) -> Iterator[list[int]]:
    """Cut `order` into batches of like length, in random order; a rest is dropped."""
    span = BUCKET * batch_size
    generator = np.random.default_rng(seed)
    for start in range(0, len(order), span):
        part = sorted(order[start : start + span].tolist(), key=length)
        batches = [
            part[at : at + batch_size]
            for at in range(0, len(part) - batch_size + 1, batch_size)
        ]
        for index in generator.permutation(len(batches)):
            yield batches[index]
