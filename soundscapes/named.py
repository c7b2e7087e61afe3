"""Which events a caption names, in which order: to be held against a scene's truth.

A class is named by any of the words that the grammar has for it: its nouns, its
keywords, and its subjects with one of their verbs, in every form. A longer phrase comes
before a shorter one inside it, so that "a dog toy" names no dog.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from soundscapes.phrases import inflect
from soundscapes.scenes import Scene
from soundscapes.vocabulary import VOCABULARY, SoundClass

ARTICLE = re.compile(r"^(?:an?|the) ")
FORMS = ("present", "progressive", "gerund")
ANYWHERE = {"time"}  # a clock's keyword, but "all the time" is said of any sound


def named_classes(caption: str) -> list[set[str]]:
    """Return the classes a caption names, in its order.

    A phrase that may stand for several classes gives a set of them.
    """
    pattern, classes = _phrases()
    text = " ".join(re.findall(r"[a-z'-]+", caption.lower()))
    return [classes[match] for match in pattern.findall(text)]


def compare_with_scene(caption: str, scene: Scene) -> dict[str, tuple[int, int]]:
    """Count what a caption says of a scene: how many right, of how many.

    `found` : of the scene's events, those named    `right` : of the events named, those
    in the scene    `in_order` : of the pairs of events that follow each other in the
    scene and are named, those named in that order
    """
    said = named_classes(caption)
    true = [event.name for event in scene.events]
    places = {
        name: next((k for k, own in enumerate(said) if name in own), None)
        for name in true
    }
    groups = [[event.name for event in group] for group in scene.groups]
    pairs = [
        (places[one] < places[other])
        for number, group in enumerate(groups)
        for one in group
        for later in groups[number + 1 :]
        for other in later
        if places[one] is not None and places[other] is not None and one != other
    ]
    return {
        "found": (sum(places[name] is not None for name in set(true)), len(set(true))),
        "right": (sum(not own.isdisjoint(true) for own in said), len(said)),
        "in_order": (sum(pairs), len(pairs)),
    }


@cache
def _phrases() -> tuple[re.Pattern, dict[str, set[str]]]:
    classes = defaultdict(set)
    for name, sound in VOCABULARY.items():
        for phrase in _of(sound):
            classes[ARTICLE.sub("", phrase.lower())].add(name)
    longest = sorted(classes, key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, longest))})\b"), dict(classes)


def _of(sound: SoundClass) -> Iterator[str]:
    yield from (*sound.nouns, *(set(sound.keywords) - ANYWHERE))
    for clause in sound.clauses:
        for subject in clause.subjects:
            for verb in clause.verbs:
                for form in FORMS:
                    yield f"{subject} {inflect(verb, form, clause.plural)}"
