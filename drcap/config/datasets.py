"""Settings of the real datasets: what of them a profile reads."""

from dataclasses import dataclass

from drcap.config.strict import require


@dataclass(frozen=True)
class DatasetsConfig:
    """What CLAP is trained on (sec. III-A), beside all of AudioCaps and Clotho."""

    wavcaps: tuple[str, ...] = (
        "AudioSet_SL",
        "BBC_Sound_Effects",
        "FreeSound",
        "SoundBible",
    )
    soundvecaps: tuple[str, ...] = ("Sound-VECaps_audio",)
    weak_clips: int | None = None  # of both: a sample; None: all
    seed: int = 0  # of the sample; not that of an experiment

    def __post_init__(self):
        require(bool(self.wavcaps), "wavcaps", "name a source or more", self.wavcaps)
        some = self.weak_clips is None or self.weak_clips > 0
        require(some, "weak_clips", "be above 0, or null for all", self.weak_clips)
        require(self.seed >= 0, "seed", "be 0 or more", self.seed)
