"""A corpus anyone can have: synthetic sound scenes with captions and exact truth.

In reading order:

- `dsp.py`, `events/`     the sounds, one generator a class
- `vocabulary.py`         the classes, and how people speak of them
- `scenes.py`             what happens in a clip
- `rendering.py`          its sound: levels, distance, reverberation
- `phrases.py`, `captions.py`     captions from a scene's truth
- `named.py`     which events a caption names
- `addresses.py`, `clips.py`     each clip of the three corpora
- `layouts.py`, `corpora.py`   the corpora on disk, as the real datasets' are
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SoundscapesConfig:
    """How many clips each corpus has; train, validation and test where it has three.

    Another seed makes other corpora. It is not the seed of an experiment, since all
    experiments share their data. Raises ValueError for an impossible value.
    """

    seed: int = 0
    ac: tuple[int, ...] = (49_274, 494, 957)  # scapes-ac, as AudioCaps
    cl: tuple[int, ...] = (3_839, 1_045, 1_045)  # scapes-cl, as Clotho
    weak: int = 403_050  # scapes-weak, as WavCaps
    leaked: float = 0.1  # share of scapes-weak that is a copy of a clip of the others

    def __post_init__(self):
        for name in ("ac", "cl"):
            sizes = getattr(self, name)
            if len(sizes) != 3 or min(sizes) <= 0:
                raise ValueError(f"{name} must be three counts above 0; got {sizes}")
        for name, least in (("weak", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} must be {least} or more; got {getattr(self, name)}"
                )
        if not 0 <= self.leaked < 1:
            raise ValueError(f"leaked must be in [0, 1); got {self.leaked}")
