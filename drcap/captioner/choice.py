"""Minimum Bayes risk choice of a caption: the largest expected CIDEr-D.

Ours, not the paper's. Beam search returns the likeliest words; this returns those that
agree best with what people may have written. Candidates are the final beams and the
captions nearest to the audio embedding. The utility of a candidate c is

    u(c) = sum_i softmax_i(f_a . e_i / TEMPERATURE) CIDEr-D(c, caption_i)

over the whole datastore, c's own words left out. Document frequencies are the
datastore's. Checked against aac-metrics' CIDEr-D and against brute force.
"""

import re
import sys
from collections.abc import Collection, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.files import blocks_of

TEMPERATURE = 0.1  # of the softmax; chosen, as is NEAREST, on 43 validation clips
NEAREST = 200  # captions of the datastore that are candidates
ORDERS = 4  # CIDEr-D compares one to four words in a row
SIGMA = 6.0  # words, of its penalty for another length
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
BITS = np.uint64(16)  # of a word's number within an n-gram's code
WORDS = np.uint64(0xFFFF)  # numbers that there are
BLOCK = 8_192  # captions compared at once


class NGrams(NamedTuple):
    """Distinct n-grams of some texts, one entry a text and n-gram."""

    texts: int
    rows: np.ndarray  # which text
    columns: np.ndarray  # which of `codes`
    counts: np.ndarray
    codes: np.ndarray  # words' numbers of 16 bits each, sorted

    def norms(self, idf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the norm of each entry's text and order, and how many a text has.

        idf : one a code      returns : (entries,) and (texts,); no norm is 0
        """
        orders = sum(
            (self.codes >> (BITS * np.uint64(n)) > 0) for n in range(1, ORDERS)
        )
        groups = self.rows * ORDERS + orders[self.columns]
        squares = (self.counts * idf[self.columns]) ** 2
        squares = np.bincount(groups, squares, minlength=self.texts * ORDERS)
        scored = (squares > 0).reshape(-1, ORDERS).sum(1)
        return np.sqrt(np.where(squares > 0, squares, np.inf))[groups], scored

    def matrix(
        self, columns: np.ndarray, values: np.ndarray, width: int, most: int
    ) -> sparse.csr_matrix:
        """Give the j-th occurrence of an n-gram its own column, j from 1 to `most`.

        columns, values : of the entries      returns : (texts, most * width)
        """
        parts = []
        for occurrence in range(most):
            here = self.counts > occurrence
            parts.append(
                (values[here], self.rows[here], columns[here] + occurrence * width)
            )
        values, rows, columns = map(np.concatenate, zip(*parts, strict=True))
        shape = self.texts, most * width
        return sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape)


class ExpectedCIDErD:
    """CIDEr-D of any text with each of N captions, by sparse matrices.

    CIDEr-D clips a count to the other text's: min(a, b) is the sum over j = 1, 2, ...
    of [a >= j] [b >= j]. With a column for each occurrence of an n-gram, the score is
    a product of two matrices, but for the penalty, which depends on the lengths alone.

    Exact up to 65,535 distinct words; of more, a few n-grams may share a code.
    """

    def __init__(self, captions: Sequence[str]):
        self.numbers: dict[str, int] = {}
        texts = [words(caption) for caption in captions]
        grams = count_ngrams(texts, self.numbers)
        self.codes = grams.codes
        frequencies = np.bincount(grams.columns, minlength=len(grams.codes))
        self.rarest = np.log(len(captions))  # idf of an n-gram that no caption has
        self.idf = self.rarest - np.log(frequencies)
        self.most = int(grams.counts.max(initial=1))
        values = grams.counts * self.idf[grams.columns] ** 2 / grams.norms(self.idf)[0]
        shape = len(self.codes), self.most
        self.references = grams.matrix(grams.columns, values, *shape)
        self.lengths, self.length_of = np.unique(_lengths(texts), return_inverse=True)
        self.rows_of: dict[tuple[str, ...], list[int]] = {}
        for row, text in enumerate(texts):
            self.rows_of.setdefault(text, []).append(row)

    def expected(self, candidates: Sequence[str], weights: np.ndarray) -> np.ndarray:
        """Return sum_i w_i CIDEr-D(candidate, caption_i) of C candidates, (C,).

        weights : (N,); captions of the candidate's own words are left out
        """
        texts = [words(candidate) for candidate in candidates]
        grams = count_ngrams(texts, dict(self.numbers))
        places = np.searchsorted(self.codes, grams.codes).clip(max=len(self.codes) - 1)
        known = self.codes[places] == grams.codes
        norms, scored = grams.norms(np.where(known, self.idf[places], self.rarest))
        values, columns = known[grams.columns] / norms, places[grams.columns]
        rows = grams.matrix(columns, values, len(self.codes), self.most)
        by_length = sparse.csr_matrix(
            (weights.astype(np.float32), (self.length_of, np.arange(len(weights)))),
            (len(self.lengths), len(weights)),
        )
        totals = (rows @ (by_length @ self.references).T).toarray()  # (C, lengths)
        apart = _lengths(texts)[:, None] - self.lengths
        totals = (totals * np.exp(-(apart**2) / (2 * SIGMA**2))).sum(1)
        own = np.array([weights[self.rows_of.get(text, [])].sum() for text in texts])
        return (totals - own * scored) * 10 / ORDERS  # an order scores 1 with itself


def words(caption: str) -> tuple[str, ...]:
    """Return the words of a caption in lower case, without punctuation."""
    return tuple(
        map(sys.intern, WORD.findall(caption.lower()))
    )  # one of each in memory


def count_ngrams(texts: Sequence[tuple[str, ...]], numbers: dict[str, int]) -> NGrams:
    """Count the n-grams of texts; words without a number get the next one, from 1."""
    flat = [numbers.setdefault(w, len(numbers) + 1) for w in chain.from_iterable(texts)]
    word = np.array(flat, np.uint64) % WORDS + np.uint64(1)
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    starting, found, known = word, [], 0  # n-grams by their first word
    for order in range(ORDERS):  # codes of a higher order are larger
        if order:
            starting = (starting[:-1] << BITS) | word[order:]
        inside = row[order:] == row[: len(row) - order]
        codes, columns = np.unique(starting[inside], return_inverse=True)
        pairs = row[order:][inside] * max(len(codes), 1) + columns
        pairs, counts = np.unique(pairs, return_counts=True)
        rows, columns = np.divmod(pairs, max(len(codes), 1))
        found.append(
            (*(a.astype(np.int32) for a in (rows, columns + known, counts)), codes)
        )
        known += len(codes)
    return NGrams(len(texts), *map(np.concatenate, zip(*found, strict=True)))


def _lengths(texts: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Return the pairs of words in each text: CIDEr-D's length."""
    return np.array([max(len(text) - 1, 0) for text in texts], np.int64)


class Choice:
    """Chooses captions by their expected CIDEr-D over a datastore.

    ConfigError if it has no captions.
    """

    def __init__(self, datastore: CaptionDatastore):
        if not len(datastore):
            raise ConfigError("generation.choice is mbr, but the datastore is empty")
        self.datastore, self.captions = datastore, datastore.captions
        self.scores = ExpectedCIDErD(datastore.captions)

    def choose(
        self,
        audio_embeds: torch.Tensor,
        beams: Sequence[Sequence[str]],
        exclude: Collection[str] = (),
    ) -> list[str]:
        """Return the best caption of B recordings.

        audio_embeds : (B, D) float32, unit rows      beams : the final ones of each
        exclude : captions that count as not in the datastore

        The earlier candidate wins a tie: beams come before captions, nearest first.
        """
        nearest = self.datastore.search(audio_embeds, NEAREST, exclude=exclude)
        weights = self.weights(audio_embeds, exclude)
        chosen = []
        for row, texts in enumerate(beams):
            candidates = [*texts, *(match.caption for match in nearest[row])]
            utilities = self.scores.expected(candidates, weights[row])
            chosen.append(candidates[int(utilities.argmax())])
        return chosen

    def weights(
        self, audio_embeds: torch.Tensor, exclude: Collection[str] = ()
    ) -> np.ndarray:
        """Return softmax_i(f_a . e_i / TEMPERATURE) over the datastore, (B, N)."""
        queries = self.datastore.check_queries(audio_embeds).cpu()
        blocks = blocks_of(self.datastore.embeddings, BLOCK)
        similarities = torch.cat([queries @ rows.T for _, rows in blocks], dim=1)
        similarities[:, self.datastore.rows_of(exclude)] = -torch.inf
        return (similarities / TEMPERATURE).softmax(dim=1).numpy()
