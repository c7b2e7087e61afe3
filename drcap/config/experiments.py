"""Settings of the grid behind Tables I to IV: its real datasets, its one recipe."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from drcap.config.captioning import Config
from drcap.config.settings import Settings, settings
from drcap.config.systems import BaselinesConfig

WAVCAPS = ("AudioSet_SL", "BBC_Sound_Effects", "FreeSound", "SoundBible")


@settings
class DatasetsConfig:
    """What CLAP is trained on (sec. III-A), beside all of AudioCaps and Clotho."""

    wavcaps: Annotated[tuple[str, ...], Field(min_length=1)] = WAVCAPS
    soundvecaps: tuple[str, ...] = ("Sound-VECaps_audio",)
    weak_clips: PositiveInt | None = None  # of both: a sample; None: all
    seed: NonNegativeInt = 0  # of the sample; not that of an experiment


@settings
class ExperimentsConfig(Settings):
    """One recipe for every captioner of the grid; an ablation changes one thing of it.

    Which CLAP model embeds, and which captions make datastore and support, follows from
    the experiment: `captioner.clap` and `captioner.captions` play no part here.
    """

    captioner: Config = Config()
    steps_on_cl: PositiveInt = 20_000  # on Clotho; on AudioCaps: captioner.training
    seen_epochs: PositiveInt = 5  # of the CLAP model that sees the target pairs
    retrieved: PositiveInt = 10  # captions kept of a clip: top_k may vary up to here
    baselines: BaselinesConfig = BaselinesConfig()

    def __post_init__(self):
        if self.retrieved < self.captioner.retrieval.top_k:
            raise ValueError(f"retrieved must be top_k or more; got {self.retrieved}")
        if self.steps_on_cl < self.captioner.training.warmup_steps:
            raise ValueError(
                f"steps_on_cl must cover warmup_steps; got {self.steps_on_cl}"
            )
