"""A scene in one sentence, which keeps to what came first and what at the same time.

Groups are told in their order and joined by words for "then"; within a group, and for a
background, events are joined by words for "while".
"""

from collections.abc import Sequence

import numpy as np

from drcap.data.soundscapes.phrases import clause, noun, pick
from drcap.data.soundscapes.scenes import PlacedEvent, Scene

# {0} is what was told so far; f: a clause in the sentence's form, p: in the present,
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
        self, told: str, templates: Sequence[str], group: Sequence[PlacedEvent]
    ) -> str:
        """Return what was told, joined to a group of one or two events."""
        template = pick(self.rng, templates)
        event, *others = group
        words = {
            "f": lambda: self.clause(event),
            "p": lambda: self.clause(event, "present"),
            "g": lambda: self.clause(event, "gerund"),
            "n": lambda: self.noun(event),
        }
        slot = next(key for key in words if f"{{{key}}}" in template)
        joined = template.format(told, **{slot: words[slot]()})
        for other in others:
            joined = self.join(joined, WHILE, [other])
        return joined

    def tell(self, groups: Sequence[Sequence[PlacedEvent]]) -> str:
        """Return the groups in their order, without the background."""
        told = self.clause(groups[0][0])
        for event in groups[0][1:]:
            told = self.join(told, WHILE, [event])
        for group in groups[1:]:
            told = self.join(told, THEN, group)
        return told

    def whole(self) -> str:
        """Return all of the scene."""
        return self.beneath(self.tell(self.scene.groups))

    def beneath(self, told: str) -> str:
        """Return what was told, joined to the scene's background if it has one."""
        if self.scene.background is None:
            return told
        return self.join(told, BENEATH, [self.scene.background])
