"""Settings of the procedural corpora; defaults are the sizes of the real ones."""

from dataclasses import dataclass

from drcap.config.strict import require


@dataclass(frozen=True)
class SoundscapesConfig:
    """How many clips each corpus has; train, validation and test where it has three.

    Another seed makes other corpora. It is not the seed of an experiment, since all
    experiments share their data.
    """

    seed: int = 0
    ac: tuple[int, ...] = (49_274, 494, 957)  # scapes-ac, as AudioCaps
    cl: tuple[int, ...] = (3_839, 1_045, 1_045)  # scapes-cl, as Clotho
    weak: int = 403_050  # scapes-weak, as WavCaps
    leaked: float = 0.1  # share of scapes-weak that is a copy of a clip of the others

    def __post_init__(self):
        for name in ("ac", "cl"):
            sizes = getattr(self, name)
            three = len(sizes) == 3 and min(sizes) > 0
            require(three, name, "be three counts above 0", sizes)
        require(self.weak > 0, "weak", "be above 0", self.weak)
        require(0 <= self.leaked < 1, "leaked", "be in [0, 1)", self.leaked)
        require(self.seed >= 0, "seed", "be 0 or more", self.seed)
