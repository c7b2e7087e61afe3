"""How much of everything a profile's corpora hold, as far as it is known beforehand."""

from dataclasses import dataclass, replace

from drcap.config import SoundscapesConfig, corpora_profile, soundscapes_profile

PUBLISHED = {  # clips, and their hours, of what CLAP is trained on
    "AudioSet_SL": (108_317, 303),
    "BBC_Sound_Effects": (31_201, 998),
    "FreeSound": (262_300, 6_264),
    "SoundBible": (1_232, 4),
    "Sound-VECaps_audio": (1_660_000, 4_611),  # as rounded there; ten seconds each
    "Sound-VECaps_full": (1_660_000, 4_611),
}
SECONDS = {"ac": 10.0, "cl": 22.5}  # of a clip, on average
CAPTIONS = {"ac": 1, "cl": 5}  # of a training clip


@dataclass(frozen=True)
class Sizes:
    """Clips of train, val and test of a domain, and what CLAP is trained on."""

    domains: dict[str, tuple[int, ...]]
    pairs: int  # that CLAP is trained on
    weak_captions: int  # of the datastore, beside the targets'
    seconds: float  # of all recordings
    procedural: bool = False  # the recordings are built, not downloaded

    @property
    def target_clips(self) -> int:
        """Training clips of both domains."""
        return sum(counts[0] for counts in self.domains.values())

    @property
    def datastore(self) -> int:
        """Captions of the datastore."""
        own = sum(CAPTIONS[name] * counts[0] for name, counts in self.domains.items())
        return self.weak_captions + own


def profile_sizes(name: str) -> Sizes:
    """Return the sizes of a profile's corpora; clips that may be missing count."""
    config = corpora_profile(name)
    if isinstance(config, SoundscapesConfig):
        kept = round(config.weak * (1 - config.leaked))
        sizes = _sizes(config, kept, kept, SECONDS["ac"] * config.weak)
        return replace(sizes, procedural=True)
    whole = sum(PUBLISHED[each][0] for each in config.wavcaps)
    weak = whole + sum(PUBLISHED[each][0] for each in config.soundvecaps)
    hours = sum(PUBLISHED[each][1] for each in (*config.wavcaps, *config.soundvecaps))
    share = 1.0 if config.weak_clips is None else min(1.0, config.weak_clips / weak)
    return _sizes(
        soundscapes_profile("paper"),  # the real datasets' sizes
        round(share * weak),
        round(share * whole),
        share * 3_600 * hours,
    )


def _sizes(
    targets: SoundscapesConfig, pairs: int, weak_captions: int, seconds: float
) -> Sizes:
    domains = {name: getattr(targets, name) for name in SECONDS}
    heard = sum(SECONDS[name] * sum(counts) for name, counts in domains.items())
    return Sizes(domains, pairs, weak_captions, seconds + heard)
