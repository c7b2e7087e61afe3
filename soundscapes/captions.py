"""Captions of a scene, from its truth: AudioCaps-like, Clotho-like and weak ones.

In: a Scene and a random generator. Out: a caption, or the five references of a test
clip. Groups of events come in their order, joined by words for "then"; the events of a
group, and a background, are joined by words for "while". Not every event has to be
mentioned. Weak captions ignore the order, leave events out and err now and then.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from soundscapes.phrases import clause, noun, pick, place_phrase
from soundscapes.scenes import PlacedEvent, Scene
from soundscapes.vocabulary import VOCABULARY

# {0} is the text so far; f: a clause in the sentence's form, p: in the present,
# g: a gerund clause, n: a noun phrase
THEN = (
    "{0} followed by {g}",
    "{0} followed by {n}",
    "{0}, followed by {g}",
    "{0}, followed by {n}",
    "{0} and then {f}",
    "{0}, then {f}",
    "{0}, and then {f}",
    "{0} before {g}",
    "{0} and afterwards {f}",
    "{0}, after which {p}",
)
WHILE = (
    "{0} as {p}",
    "{0} while {p}",
    "{0} with {g}",
    "{0} with {n}",
    "{0} and {f}",
    "{0} together with {n}",
    "{0} at the same time as {n}",
)
BENEATH = (
    "{0} with {n} in the background",
    "{0} with {g} in the background",
    "{0} as {p} in the background",
    "{0} while {p} in the background",
    "{0} over {n}",
    "{0} and {f} in the background",
    "{0} over the sound of {n}",
    "{0} against a background of {n}",
)
FORMS = ("present", "present", "progressive", "gerund")
DETAILS = (0.1, 0.25, 0.4)  # how much training captions say of how an event is heard
OPENERS = ("first", "at first", "to begin with", "initially")
NEXT = ("then", "next", "after that", "and then")
LAST = ("finally", "at last", "in the end", "lastly")
ALONE = ("there is only", "nothing is heard but", "the only sound is", "just")
CLOTHO_WORDS = (8, 20)  # least and most in one of Clotho's captions
CLOTHO_DRAFTS = 30
HEARD = ("can be heard", "in a recording", "captured by a microphone", "recorded")
RECORDED = ("the sound of", "a recording of", "sounds of", "audio of", "the noise of")
OMITTED, VAGUE, WRONG = 0.12, 0.06, 0.04  # shares of events in weak captions
VAGUE_WORDS = {
    "weather": ("nature", "an outdoor environment", "water or weather"),
    "animals": ("an animal", "some animal", "wildlife"),
    "vehicles": ("a vehicle", "a machine", "something with a motor"),
    "home": ("a household sound", "an object", "some activity"),
    "people": ("human activity", "someone", "a performance"),
    "impulses": ("a sudden noise", "a short sound", "an abrupt sound"),
}


class Sentence:
    """A way to tell one scene: its form, and how much detail it goes into."""

    def __init__(
        self, scene: Scene, rng: np.random.Generator, form: str, detail: float
    ):
        self.scene, self.rng, self.form, self.detail = scene, rng, form, detail

    def clause(self, event: PlacedEvent, form: str | None = None) -> str:
        """Return one event as a clause, in the sentence's own form by default."""
        return clause(event, self.scene, self.rng, form or self.form, self.detail)

    def noun(self, event: PlacedEvent) -> str:
        """Return one event as a noun phrase."""
        return noun(event, self.scene, self.rng, self.detail)

    def join(
        self, text: str, templates: Sequence[str], group: Sequence[PlacedEvent]
    ) -> str:
        """Join a group of one or two events to `text`."""
        template = pick(self.rng, templates)
        event, *others = group
        slot = next(key for key in "fpgn" if f"{{{key}}}" in template)
        form = {"p": "present", "g": "gerund"}.get(slot)
        words = self.noun(event) if slot == "n" else self.clause(event, form)
        text = template.format(text, **{slot: words})
        for other in others:
            text = self.join(text, WHILE, [other])
        return text

    def tell(self, groups: Sequence[Sequence[PlacedEvent]]) -> str:
        """Return the groups in their order, without the background."""
        text = self.clause(groups[0][0])
        for event in groups[0][1:]:
            text = self.join(text, WHILE, [event])
        for group in groups[1:]:
            text = self.join(text, THEN, group)
        return text

    def whole(self) -> str:
        """Return all of the scene."""
        return self.beneath(self.tell(self.scene.groups))

    def beneath(self, text: str) -> str:
        """Join the scene's background, if it has one, to `text`."""
        if self.scene.background is None:
            return text
        return self.join(text, BENEATH, [self.scene.background])


def audiocaps_like(scene: Scene, rng: np.random.Generator) -> str:
    """Return one caption as people write for AudioCaps: short, in order, plain."""
    sentence = Sentence(scene, rng, pick(rng, FORMS), pick(rng, DETAILS))
    return _opened(sentence.whole())


def five_references(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Return five captions in five styles, all different, for a test clip."""
    return _all_different((_short, _ordered, _detailed, _gerund, _loose), scene, rng)


def clotho_like(scene: Scene, rng: np.random.Generator) -> str:
    """Return one caption as people write for Clotho: 8-20 words, of place and manner.

    Of drafts that are too long or too short, the last is told.
    """
    least, most = CLOTHO_WORDS
    detail, with_place = pick(rng, (0.2, 0.5, 0.9)), rng.random() < 0.5
    for _ in range(CLOTHO_DRAFTS):
        caption = _clotho_draft(scene, rng, detail, with_place)
        words = len(caption.split())
        if least <= words <= most:
            break
        detail, with_place = (0.9, True) if words < least else (0.1, False)
    return caption


def five_clotho_like(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """Return five Clotho-like captions of one clip, all different."""
    return _all_different((clotho_like,) * 5, scene, rng)


def weak(scene: Scene, rng: np.random.Generator) -> str:
    """Return a machine-made caption: a template around keywords, or loose clauses."""
    events = [e for e in scene.events if rng.random() >= OMITTED] or scene.events[:1]
    events = [events[i] for i in rng.permutation(len(events))]
    if rng.random() < 0.35:
        return _opened(_keywords(scene, events, rng)) + "."
    sentence = Sentence(scene, rng, pick(rng, FORMS[1:]), 0.15)
    parts = [_weak_clause(sentence, event) for event in events]
    glue = pick(rng, (" and ", " while ", ", and ", " with "))
    if glue == " with ":
        parts[1:] = [_weak_clause(sentence, event, "gerund") for event in events[1:]]
    return _opened(" and ".join([glue.join(parts[:2]), *parts[2:]])) + "."


def _all_different(styles, scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    captions: list[str] = []
    for style in styles:
        caption = style(scene, rng)
        while caption in captions:
            caption = style(scene, rng)
        captions.append(caption)
    return tuple(captions)


def _opened(text: str) -> str:
    return text[0].upper() + text[1:]


def _short(scene: Scene, rng: np.random.Generator) -> str:
    """Tell at most two of the events, and nothing of how they are heard."""
    groups = [group[:1] for group in scene.groups[:2]]
    if len(groups) == 1:
        groups = [scene.groups[0][:2]]
    return _opened(Sentence(scene, rng, "present", 0.0).tell(groups))


def _ordered(scene: Scene, rng: np.random.Generator) -> str:
    """Tell what comes first and what next, or what is heard at the same time."""
    sentence = Sentence(scene, rng, "present", 0.1)
    if len(scene.events) == 1:
        return _opened(f"{pick(rng, ALONE)} {sentence.noun(scene.events[0])}")
    parts = [sentence.tell([group]) for group in scene.groups]
    if len(parts) > 1:
        words = [pick(rng, OPENERS), *(pick(rng, NEXT) for _ in parts[2:])]
        words.append(pick(rng, NEXT if len(parts) == 2 else LAST))
        parts = [f"{word} {part}" for word, part in zip(words, parts, strict=True)]
    text = ", ".join(parts)
    if scene.background is None:
        return _opened(text)
    always = pick(rng, ("all the while", "throughout", "during all of it"))
    return _opened(f"{text}, {always} {sentence.clause(scene.background)}")


def _detailed(scene: Scene, rng: np.random.Generator) -> str:
    """Tell everything, how it is heard, and where."""
    text = Sentence(scene, rng, pick(rng, FORMS[1:3]), 0.8).whole()
    return _opened(f"{text} {place_phrase(scene, rng)}")


def _gerund(scene: Scene, rng: np.random.Generator) -> str:
    """Tell everything without a finite verb, where the joints allow it."""
    return _opened(Sentence(scene, rng, "gerund", 0.2).whole())


def _loose(scene: Scene, rng: np.random.Generator) -> str:
    """List nouns in their order, as a hurried annotator would."""
    sentence = Sentence(scene, rng, "gerund", 0.3)
    groups = [
        pick(rng, (" and ", " with ", " plus ")).join(map(sentence.noun, group))
        for group in scene.groups
    ]
    text = pick(rng, (", then ", " then ", ", followed by ")).join(groups)
    if scene.background is None:
        return _opened(text)
    return _opened(f"{text}, {sentence.noun(scene.background)} in background")


def _clotho_draft(
    scene: Scene, rng: np.random.Generator, detail: float, with_place: bool
) -> str:
    sentence = Sentence(scene, rng, pick(rng, FORMS[1:3]), detail)
    groups = scene.groups
    if len(scene.events) > 3:  # more than people tell of
        groups = [group[:1] for group in groups]
    text = sentence.beneath(sentence.tell(groups))
    if with_place:
        text = f"{text} {place_phrase(scene, rng)}"
    return _opened(text) + "."


def _keywords(scene: Scene, events: list[PlacedEvent], rng: np.random.Generator) -> str:
    words = [_weak_keyword(event, rng) for event in events]
    if len(words) > 1:
        words[-2:] = [f"{words[-2]} and {words[-1]}"]
    listed = ", ".join(words)
    if rng.random() < 0.5:
        return f"{pick(rng, RECORDED)} {listed}"
    return f"{listed} {'sounds ' if rng.random() < 0.5 else ''}{pick(rng, HEARD)}"


def _weak_keyword(event: PlacedEvent, rng: np.random.Generator) -> str:
    event = _mistaken(event, rng)
    sound = VOCABULARY[event.name]
    if rng.random() < VAGUE:
        return pick(rng, VAGUE_WORDS[sound.group])
    return pick(rng, sound.keywords if rng.random() < 0.5 else sound.nouns)


def _weak_clause(
    sentence: Sentence, event: PlacedEvent, form: str | None = None
) -> str:
    rng = sentence.rng
    event = _mistaken(event, rng)
    if rng.random() < VAGUE:
        vague = pick(rng, VAGUE_WORDS[VOCABULARY[event.name].group])
        return f"{vague} {'being' if form == 'gerund' else 'can be'} heard"
    return sentence.clause(event, form)


def _mistaken(event: PlacedEvent, rng: np.random.Generator) -> PlacedEvent:
    """Return the event, or now and then another that it is taken for."""
    if rng.random() >= WRONG:
        return event
    group = VOCABULARY[event.name].group
    others = [name for name, sound in VOCABULARY.items() if sound.group == group]
    return replace(event, name=pick(rng, others))
