"""The 50 classes of sound event: where each may occur and how people speak of it.

The words are data, in vocabulary.toml beside this file. scenes.py takes places and
durations from here, phrases.py the words. A clause is one or more subjects with the
verbs that fit them; verbs are bare ("bark at something") and inflected later.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clause:
    """Subjects and the verbs that each of them can take."""

    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    plural: bool


@dataclass(frozen=True)
class SoundClass:
    """One class of sound event."""

    name: str  # as in events.GENERATORS
    group: str  # its family, of which a vague word may speak
    corpora: tuple[str, ...]  # of ac and cl; weak has every class
    place: str  # "indoors", "outdoors" or "any": what it may be heard with
    clauses: tuple[Clause, ...]
    nouns: tuple[str, ...]  # fit after "followed by", "with", "the sound of"
    manner: tuple[str, ...]  # fit after a clause, and are true of every draw
    keywords: tuple[str, ...]  # the first is the surest
    continuous: bool = False  # fills whatever time it is given
    ambience: bool = False  # may be the background of others
    seconds: tuple[float, float] = (4.0, 10.0)  # least and most of a discrete event


def classes_of(corpus: str) -> tuple[str, ...]:
    """Return the classes that may be heard in the corpus "ac", "cl" or "weak"."""
    return tuple(
        name
        for name, sound in VOCABULARY.items()
        if corpus == "weak" or corpus in sound.corpora
    )


def _read(path: Path) -> dict[str, SoundClass]:
    with path.open("rb") as stream:
        tables = tomllib.load(stream)
    return {name: _sound_class(name, table) for name, table in tables.items()}


def _sound_class(name: str, table: dict) -> SoundClass:
    clauses = tuple(_clause(text) for text in table.pop("clauses"))
    lists = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in table.items()
    }
    return SoundClass(name=name, clauses=clauses, **lists)


def _clause(text: str) -> Clause:
    """Parse "subjects > verbs", or "subjects >> verbs" where they are plural."""
    plural = ">>" in text
    subjects, verbs = (
        tuple(word.strip() for word in part.split(","))
        for part in text.split(">>" if plural else ">")
    )
    return Clause(subjects, verbs, plural)


VOCABULARY = _read(Path(__file__).with_name("vocabulary.toml"))
