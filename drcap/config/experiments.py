"""Settings of the grid of experiments behind Tables I to IV (sec. III)."""

from dataclasses import dataclass, field
from typing import Any

from drcap.config.baselines import BaselinesConfig
from drcap.config.captioning import Config
from drcap.config.strict import plain, require


@dataclass(frozen=True)
class ExperimentsConfig:
    """One recipe for every captioner of the grid; an ablation changes one thing of it.

    Which CLAP model embeds, and which captions make datastore and support, follows from
    the experiment: `captioner.clap` and `captioner.captions` play no part here.
    """

    captioner: Config = field(default_factory=Config)
    steps_on_cl: int = 20_000  # of training on Clotho; AudioCaps: captioner.training
    seen_epochs: int = (
        5  # that the CLAP model which sees the target pairs is trained on
    )
    retrieved: int = 10  # captions kept a test clip: top_k may be varied up to here
    baselines: BaselinesConfig = field(default_factory=BaselinesConfig)

    def __post_init__(self):
        for name in ("steps_on_cl", "seen_epochs"):
            value = getattr(self, name)
            require(value > 0, name, "be above 0", value)
        top_k = self.captioner.retrieval.top_k
        require(
            self.retrieved >= top_k, "retrieved", "be top_k or more", self.retrieved
        )
        warmup = self.captioner.training.warmup_steps
        within = warmup <= self.steps_on_cl
        require(within, "steps_on_cl", "cover warmup_steps", self.steps_on_cl)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, ready for JSON."""
        return plain(self)
