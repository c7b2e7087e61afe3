"""Text-only training data (sec. II-A): a caption, its embedding, its similar captions.

The order of captions and the draw of similar captions follow from (seed, epoch) alone,
so a resumed run sees what an uninterrupted one would.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.config import RetrievalConfig
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.matches import distinct
from drcap.retrieval.similarity_selection import select_similar

BUCKET = 32  # batches sorted by length together


@dataclass(frozen=True)
class Batch:
    """B training examples, ready for `Captioner.loss`."""

    embeddings: torch.Tensor  # (B, D) float32, or whatever else the mapper reads
    prompts: list[Prompt]
    targets: list[list[int]]


def hold_out(
    captions: Sequence[str], count: int, seed: int
) -> tuple[list[str], list[str]]:
    """Split off `count` distinct captions, at most half; no text is on both sides.

    Texts are stripped and blank ones left out, as in a datastore.
    """
    texts = distinct(captions)
    if len(texts) < 2:
        raise ConfigError(
            f"training captions: {len(texts)} distinct; give two or more, as some are "
            "held out for validation"
        )
    count = min(count, len(texts) // 2)
    chosen = np.random.default_rng(seed).choice(len(texts), count, replace=False)
    held_out = [texts[index] for index in sorted(chosen)]
    kept = set(texts) - set(held_out)
    return [text for text in map(str.strip, captions) if text in kept], held_out


class Examples(ABC):
    """Captions to be learned, each with what the mapper and the prompt are given.

    A subclass says what that is; order, batches and lengths are the same for all.
    """

    def __init__(self, captions: Sequence[str], prompts: PromptBuilder):
        self.captions = list(captions)
        self.prompts = prompts
        self.targets = [prompts.target(text) for text in self.captions]

    @abstractmethod
    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return what the mapper reads of examples (B, ...); None: not augmented."""

    @abstractmethod
    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return the texts that enter the prompts of examples, B lists."""

    def batch(
        self,
        indices: Sequence[int],
        similar: Sequence[Sequence[str]],
        seed: int | None = None,
    ) -> Batch:
        """Assemble the examples `indices` with the texts of their prompts."""
        return Batch(
            self.inputs(indices, seed),
            [self.prompts.prompt(captions) for captions in similar],
            [self.targets[index] for index in indices],
        )

    def epoch(
        self, batch_size: int, seed: int, epoch: int, limit: int
    ) -> Iterator[Batch]:
        """Yield an epoch's first `limit` batches, each of captions of like length."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self.captions))
        order = order[: limit * batch_size]
        similar = dict(
            zip(order, self.similar(order, seed + epoch), strict=True),
        )
        for indices in bucketed(order, self._length(similar), batch_size, seed + epoch):
            texts = [similar[index] for index in indices]
            yield self.batch(indices, texts, seed + epoch)

    def in_order(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield all examples once, in order and not augmented, as for validation."""
        indices = range(len(self))
        similar = self.similar(indices, seed)
        for start in range(0, len(indices), batch_size):
            part = slice(start, start + batch_size)
            yield self.batch(indices[part], similar[part])

    def _length(self, similar):
        words = {i: sum(len(text) for text in texts) for i, texts in similar.items()}
        return lambda index: words[index] + len(self.captions[index])

    def __len__(self) -> int:
        return len(self.captions)


class TextOnlyExamples(Examples):
    """Examples of `captions`, which (and whose neighbours) lie in `datastore`.

    hidden : captions of the datastore that never enter a prompt (the held-out ones).
    """

    def __init__(
        self,
        captions: Sequence[str],
        datastore: CaptionDatastore,
        prompts: PromptBuilder,
        retrieval: RetrievalConfig,
        hidden: Sequence[str] = (),
    ):
        super().__init__(captions, prompts)
        self.datastore = datastore
        self.retrieval = retrieval
        self.hidden = set(hidden)
        rows = datastore.own_rows(self.captions, len(self.captions))
        if (rows < 0).any():
            lacking = self.captions[np.argmin(rows)]
            raise DatastoreError(
                f"the datastore lacks the training caption '{lacking}': build it from "
                "all training captions"
            )
        self.embeddings = torch.from_numpy(datastore.rows(rows))

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return the captions' own text embeddings E_t, (B, D)."""
        return self.embeddings[list(indices)]

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return captions similar to `indices`: similarity selection or plain top k."""
        own = [self.captions[index] for index in indices]
        queries = self.embeddings[list(indices)]
        settings = self.retrieval
        if not settings.enabled or settings.top_k == 0:
            return [[] for _ in indices]
        if settings.similarity_selection:
            found = select_similar(
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
            # the paper's "w/o SS" draws from a datastore that holds the caption itself
            found = self.datastore.search(queries, settings.top_k, exclude=self.hidden)
        withheld = np.random.default_rng(seed).random(len(own)) < settings.withheld
        return [
            [] if alone else [match.caption for match in matches]
            for alone, matches in zip(withheld, found, strict=True)
        ]


def bucketed(order, length, batch_size: int, seed: int) -> Iterator[list[int]]:
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
