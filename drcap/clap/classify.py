"""Zero-shot classification with a CLAP model (sec. II-A), and its accuracy on ESC-50.

A label is put into a sentence and encoded as text. The probability of label l for a
recording a is softmax_l(f_a . f_l / tau), with the model's own temperature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from drcap.clap import CLAP
from drcap.clap.batches import encode_captions, encode_recordings
from drcap.data.tables import filled, read_table
from drcap.errors import AudioError, ConfigError, DatasetError


@dataclass(frozen=True)
class Classified:
    """A recording's labels with their probabilities, the likeliest first."""

    file: str
    labels: tuple[tuple[str, float], ...] = ()  # none if it is silent, or unreadable
    warning: str | None = None
    error: str | None = None


def classify(
    recordings: Sequence[Path], labels: Sequence[str], clap: CLAP, template: str
) -> Iterator[Classified]:
    """Yield a result for each recording; one that cannot be read has an `error`.

    labels : distinct; "_" in them is a blank
    template : a sentence in which "{}" stands for a label; ConfigError without it
    """
    if "{}" not in template:
        raise ConfigError(f'template {template!r}: "{{}}" must stand for the label')
    sentences = [template.replace("{}", label.replace("_", " ")) for label in labels]
    text = torch.from_numpy(encode_captions(sentences, clap))  # (L, D)
    for path in recordings:
        try:
            rows = encode_recordings([path], clap, batch_size=1, progress=False)
        except AudioError as error:
            yield Classified(str(path), error=str(error))
            continue
        if not rows.any():
            yield Classified(str(path), warning=f"{path}: silent, so it has no label")
            continue
        similarities = text @ torch.from_numpy(rows[0])
        probabilities = (similarities / clap.temperature).softmax(0)
        ranked = probabilities.argsort(descending=True, stable=True).tolist()
        best = tuple((labels[place], float(probabilities[place])) for place in ranked)
        yield Classified(str(path), best)


def read_esc50(folder: Path) -> tuple[list[Path], list[str]]:
    """Return recordings and categories of `meta/esc50.csv`; DatasetError for faults."""
    table = folder / "meta" / "esc50.csv"
    paths, categories = [], []
    for line, row in read_table(table):
        paths.append(folder / "audio" / filled(table, line, row, "filename"))
        categories.append(filled(table, line, row, "category"))
    if not paths:
        raise DatasetError(f"{table}: lists no clips; download ESC-50 again")
    return paths, categories
