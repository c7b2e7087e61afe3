"""One sound event in words: clauses and noun phrases, with what is true of this event.

An event of the vocabulary has four forms: "a dog barks" (present), "a dog is
barking" (progressive), "a dog barking" (gerund) and "the barking of a dog" (noun). How
loud, how far and how often it is heard is stated only where the scene states it.
"""

import re
from collections.abc import Sequence

import numpy as np

from soundscapes.scenes import ROOMS, PlacedEvent, Scene
from soundscapes.vocabulary import VOCABULARY

LOUD, SOFT = -17.0, -23.0  # dB; levels that people would remark upon
DISTANT = 15.0  # metres
VOWELS = "aeiou"
ADVERBS = {  # what can be true of an event -> words after a clause
    "distant": ("in the distance", "far away", "from far away", "somewhere far off"),
    "loud": ("loudly", "very loudly", "nearby", "close by"),
    "soft": ("softly", "quietly", "faintly", "at a low volume"),
    "repeated": ("repeatedly", "again and again", "several times", "time after time"),
    "lasting": ("continuously", "constantly", "the whole time", "without stopping"),
}
ADJECTIVES = {  # the same before a noun
    "distant": ("distant", "faraway", "remote"),
    "loud": ("loud", "very loud", "clear"),
    "soft": ("faint", "soft", "quiet"),
    "repeated": ("repeated", "intermittent"),
    "lasting": ("continuous", "constant", "steady"),
}
PLACES = {
    "indoors": ("indoors", "inside", "in a building", "inside a room"),
    "outdoors": ("outside", "outdoors"),
    "open air": ("in the open air", "in an open field"),
    "street": ("on a street", "between buildings", "in a street"),
    "valley": ("in a valley", "in a wide valley", "with an echo from afar"),
    "small room": ("in a small room", "inside a small room"),
    "living room": ("in a living room", "inside a house"),
    "bathroom": ("in a bathroom", "in a tiled room"),
    "hall": ("in a large hall", "in a large echoing room", "inside a hall"),
}


def pick(rng: np.random.Generator, options: Sequence):
    """Return one of `options`, each as likely as the others."""
    return options[rng.integers(len(options))]


def qualities(event: PlacedEvent, scene: Scene) -> list[str]:
    """Return which keys of ADVERBS and ADJECTIVES are true of an event."""
    lasting = event.seconds >= 0.8 * scene.seconds
    true = {
        "distant": event.distance >= DISTANT,
        "loud": event.level >= LOUD,
        "soft": event.level <= SOFT and event.distance < DISTANT,
        "repeated": event.times > 1,
        "lasting": VOCABULARY[event.name].continuous and lasting,
    }
    return [quality for quality, holds in true.items() if holds]


def clause(
    event: PlacedEvent,
    scene: Scene,
    rng: np.random.Generator,
    form: str,
    detail: float = 0.0,
) -> str:
    """Return an event as a clause in the form present, progressive or gerund.

    detail : how likely it is to say how the event is heard, and again in what manner
    """
    sound = VOCABULARY[event.name]
    chosen = pick(rng, sound.clauses)
    verb = inflect(pick(rng, chosen.verbs), form, chosen.plural)
    text = f"{pick(rng, chosen.subjects)} {verb}"
    true = qualities(event, scene)
    if true and rng.random() < detail:
        return f"{text} {pick(rng, ADVERBS[pick(rng, true)])}"
    manner = pick(rng, sound.manner)
    fits = set(verb.split()).isdisjoint(manner.split())  # not "buzzes around around"
    return f"{text} {manner}" if fits and rng.random() < detail else text


def noun(
    event: PlacedEvent, scene: Scene, rng: np.random.Generator, detail: float = 0.0
) -> str:
    """Return an event as a noun phrase, such as "a faint ringing bell"."""
    phrase = pick(rng, VOCABULARY[event.name].nouns)
    true = qualities(event, scene)
    if true and rng.random() < detail:
        return with_adjective(phrase, pick(rng, ADJECTIVES[pick(rng, true)]))
    return phrase


def place_phrase(scene: Scene, rng: np.random.Generator) -> str:
    """Return where a scene is heard, such as "in a large hall"."""
    return pick(rng, PLACES[pick(rng, (scene.room, ROOMS[scene.room].place))])


def with_adjective(phrase: str, adjective: str) -> str:
    """Put an adjective into a noun phrase, behind its article."""
    article, _, rest = phrase.partition(" ")
    if article in ("a", "an"):
        article = "an" if adjective[0] in VOWELS else "a"
        return f"{article} {adjective} {rest}"
    return f"the {adjective} {rest}" if article == "the" else f"{adjective} {phrase}"


def inflect(verb: str, form: str, plural: bool) -> str:
    """Inflect a bare verb phrase, "tick and hum away" -> "ticks and hums away"."""
    heads = re.sub(
        r"(^|\band )([\w-]+)", lambda m: m[1] + _inflected(m[2], form, plural), verb
    )
    if form == "progressive":
        return f"{'are' if plural else 'is'} {heads}"
    return heads


def _inflected(word: str, form: str, plural: bool) -> str:
    if form != "present":
        return ing(word)
    return word if plural else third_person(word)


def third_person(verb: str) -> str:
    """Return "barks" of "bark", "buzzes" of "buzz", "flies" of "fly"."""
    if verb.endswith(("s", "sh", "ch", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


def ing(verb: str) -> str:
    """Return "barking" of "bark", "idling" of "idle", "humming" of "hum"."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    last = verb.rpartition("-")[2]  # clip-clop
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", last):
        return verb + verb[-1] + "ing"
    return verb + "ing"
