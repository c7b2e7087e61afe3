"""Scenes: which sound events a clip holds, when, how loud, how far and in which room.

Foreground events come in groups: those of one group overlap ("while"), and groups
follow each other with a gap ("then"). One event more may lie under all of them, at a
lower level ("background"). A scene holds all that its sound depends on, and is the
truth that its captions are made from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from soundscapes.vocabulary import VOCABULARY

COUNTS = (0.22, 0.43, 0.25, 0.10)  # share of the scenes of one, two, three, four events
PARTITIONS = {  # foreground events -> sizes of the groups that they may form
    1: [(1,)],
    2: [(1, 1), (2,)],
    3: [(2, 1), (1, 2), (1, 1, 1)],
    4: [(2, 2), (1, 2, 1), (2, 1, 1)],
}
NEAR, FAR = (1.0, 8.0), (20.0, 60.0)  # metres
NEAR_DB, FAR_DB = (-25.0, -13.0), (-33.0, -27.0)  # levels of near and far events
FAR_SHARE = 0.18  # of the events outdoors
BENEATH_DB = (8.0, 13.0)  # a background is so much fainter than the faintest event
FLOOR_DB = (-72.0, -62.0)  # a recorder's own noise
GAP = (0.15, 0.5)  # seconds between groups
MOST_BOUTS = 4


@dataclass(frozen=True)
class Room:
    """A place: indoors or outdoors, its reverberation time in seconds and strength."""

    place: str
    seconds: float  # until the reverberation has fallen by 60 dB
    wet: float  # amplitude of the reverberation of a sound one metre away


ROOMS = {
    "open air": Room("outdoors", 0.0, 0.0),
    "street": Room("outdoors", 0.5, 0.02),
    "valley": Room("outdoors", 1.2, 0.02),
    "small room": Room("indoors", 0.3, 0.10),
    "living room": Room("indoors", 0.5, 0.08),
    "bathroom": Room("indoors", 0.8, 0.15),
    "hall": Room("indoors", 1.6, 0.10),
}


@dataclass(frozen=True)
class PlacedEvent:
    """One event of a scene: its class, its window in seconds and how it is heard."""

    name: str
    start: float
    seconds: float
    relation: str  # to those before it: "first", "then", "while" or "background"
    times: int  # how often it comes within its window
    seed: int
    distance: float = 1.0  # metres
    level: float = 0.0  # dB relative to full scale, RMS of its loudest 125 ms

    @property
    def end(self) -> float:
        """When its window ends, in seconds."""
        return self.start + self.seconds

    @property
    def bouts(self) -> list[tuple[float, float]]:
        """(start, seconds) of each time it comes, half a bout of silence between."""
        bout = self.seconds / (1.5 * self.times - 0.5)
        return [(self.start + 1.5 * bout * k, bout) for k in range(self.times)]


@dataclass(frozen=True)
class Scene:
    """All that a clip's sound depends on; also the truth its captions are made from."""

    seconds: float
    room: str
    floor: float  # dB, level of the noise floor
    seed: int
    events: tuple[PlacedEvent, ...]

    @property
    def groups(self) -> list[list[PlacedEvent]]:
        """Foreground events in their order, those that overlap in one list."""
        groups: list[list[PlacedEvent]] = []
        for event in self.events:
            if event.relation in ("first", "then"):
                groups.append([event])
            elif event.relation == "while":
                groups[-1].append(event)
        return groups

    @property
    def background(self) -> PlacedEvent | None:
        """The event under all others, if there is one."""
        return next((e for e in self.events if e.relation == "background"), None)


def compose(rng: np.random.Generator, classes: Sequence[str], seconds: float) -> Scene:
    """Draw a scene of one to four events of `classes`, all of them different."""
    names, place = _draw_classes(rng, classes, int(rng.choice(4, p=COUNTS)) + 1)
    background = _draw_background(rng, names)
    groups = _draw_groups(rng, [name for name in names if name != background])
    events: list[PlacedEvent] = []
    for slot, group in zip(_slots(rng, groups, seconds), groups, strict=True):
        events += _fill(rng, slot, group, "then" if events else "first")
    events = [_heard(rng, event, place) for event in events]
    if background is not None:
        events.append(_beneath(rng, background, events, seconds, place))
    rooms = [name for name, room in ROOMS.items() if room.place == place]
    return Scene(
        seconds=seconds,
        room=rooms[rng.integers(len(rooms))],
        floor=round(float(rng.uniform(*FLOOR_DB)), 1),
        seed=int(rng.integers(2**32)),
        events=tuple(events),
    )


def _draw_classes(
    rng: np.random.Generator, classes: Sequence[str], count: int
) -> tuple[list[str], str]:
    """Draw classes that may be heard at one place; the first is any, fairly."""
    names = [classes[rng.integers(len(classes))]]
    place = VOCABULARY[names[0]].place
    if place == "any":
        place = ("indoors", "outdoors")[rng.integers(2)]
    others = [
        name
        for name in classes
        if name not in names and VOCABULARY[name].place in (place, "any")
    ]
    rng.shuffle(others)
    return names + others[: count - 1], place


def _draw_background(rng: np.random.Generator, names: Sequence[str]) -> str | None:
    """Return one of `names` to lie under the others, or None."""
    fit = [name for name in names if VOCABULARY[name].ambience]
    if len(names) < 2 or not fit or rng.random() < 0.35:
        return None
    return fit[rng.integers(len(fit))]


def _draw_groups(rng: np.random.Generator, names: Sequence[str]) -> list[list[str]]:
    """Split the foreground into the groups that will follow each other."""
    partitions = PARTITIONS[len(names)]
    edges = np.cumsum((0, *partitions[rng.integers(len(partitions))]))
    return [list(names[first:last]) for first, last in pairwise(edges)]


def _slots(
    rng: np.random.Generator, groups: Sequence[Sequence[str]], seconds: float
) -> list[tuple[float, float]]:
    """Return (start, seconds) of each group: in order, with gaps, more for the slow."""
    gaps = rng.uniform(*GAP, len(groups) - 1)
    wants = [max(VOCABULARY[name].seconds[1] for name in group) for group in groups]
    wants = np.sqrt(wants) * rng.uniform(0.7, 1.3, len(groups))
    lengths = wants / wants.sum() * (seconds - gaps.sum())
    starts = np.cumsum([0, *(lengths[:-1] + gaps)])
    return list(zip(starts.tolist(), lengths.tolist(), strict=True))


def _fill(
    rng: np.random.Generator,
    slot: tuple[float, float],
    names: Sequence[str],
    relation: str,
) -> list[PlacedEvent]:
    """Place a group's events in its slot; the second overlaps the first by a half."""
    drawn = [(*_duration(rng, name, slot[1]), name) for name in names]
    events: list[PlacedEvent] = []
    for seconds, times, name in sorted(drawn, reverse=True):
        earliest, latest = slot[0], slot[0] + slot[1] - seconds
        if events:
            relation = "while"
            earliest = max(earliest, events[0].start - seconds / 2)
            latest = min(latest, events[0].end - seconds / 2)
        start = float(rng.uniform(earliest, max(earliest, latest)))
        seed = int(rng.integers(2**32))
        events.append(
            PlacedEvent(name, round(start, 3), round(seconds, 3), relation, times, seed)
        )
    return events


def _duration(
    rng: np.random.Generator, name: str, available: float
) -> tuple[float, int]:
    """Draw an event's seconds, out of those available, and how often it comes."""
    sound = VOCABULARY[name]
    if sound.continuous:
        return available * float(rng.uniform(0.9, 1.0)), 1
    bout = min(float(rng.uniform(*sound.seconds)), available)
    most = min(MOST_BOUTS, int((available / bout + 0.5) / 1.5))
    times = int(rng.integers(1, most + 1))
    return bout * (1.5 * times - 0.5), times


def _heard(rng: np.random.Generator, event: PlacedEvent, place: str) -> PlacedEvent:
    """Return the event at a distance, which outdoors may be far, and a level."""
    far = place == "outdoors" and rng.random() < FAR_SHARE
    distance = np.exp(rng.uniform(*np.log(FAR if far else NEAR)))
    level = rng.uniform(*(FAR_DB if far else NEAR_DB))
    return replace(
        event, distance=round(float(distance), 1), level=round(float(level), 1)
    )


def _beneath(
    rng: np.random.Generator,
    name: str,
    events: Sequence[PlacedEvent],
    seconds: float,
    place: str,
) -> PlacedEvent:
    """Return a background under all of `events`, fainter than each of them."""
    seed = int(rng.integers(2**32))
    event = PlacedEvent(name, 0.0, seconds, "background", 1, seed)
    faintest = min(event.level for event in events)
    level = round(faintest - float(rng.uniform(*BENEATH_DB)), 1)
    return replace(_heard(rng, event, place), level=level)
