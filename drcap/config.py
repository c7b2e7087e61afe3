"""Every setting of the package, typed, in one place; defaults are the paper's values.

A profile states only how it differs from them. Unknown keys and impossible values are
errors, so a misspelt setting is found before anything is computed.
"""

import math
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from drcap.errors import ConfigError


@dataclass(frozen=True)
class RetrievalConfig:
    """Retrieval-augmented generation (sec. II-B)."""

    enabled: bool = True  # False: the "w/o RAG" ablation
    top_k: int = 3  # retrieved captions in a prompt
    similarity_selection: bool = True  # False: "w/o SS", plain top-k in training
    sim_min: float = 0.75  # S_min, lowest cosine similarity drawn from in training
    sim_max: float = 0.85  # S_max, highest
    withheld: float = 0.0  # ours: share of training prompts left without captions

    def __post_init__(self):
        _require(self.top_k >= 0, "retrieval.top_k", "be 0 or more", self.top_k)
        in_order = -1 <= self.sim_min <= self.sim_max <= 1
        band = (self.sim_min, self.sim_max)
        _require(in_order, "retrieval.sim_min, sim_max", "rise within [-1, 1]", band)
        share = 0 <= self.withheld <= 1
        _require(share, "retrieval.withheld", "be in [0, 1]", self.withheld)


@dataclass(frozen=True)
class ProjectionConfig:
    """Projection-based decoding (sec. II-C, eq. 4)."""

    enabled: bool = True  # False: the "w/o PD" ablation
    temperature: float | None = None  # tau; None: the CLAP model's own
    renormalise: bool = False  # the paper's E' keeps the norm the mean gives it

    def __post_init__(self):
        positive = self.temperature is None or self.temperature > 0
        _require(positive, "projection.temperature", "be above 0", self.temperature)


@dataclass(frozen=True)
class CaptionerConfig:
    """Prompt, mapper and language model (sec. II-A)."""

    language_model: str = "smollm2-135m-instruct"  # asset, folder or hub id
    instruction: str = "Describe the audio you hear."
    audio_token: Literal["first", "after_captions"] = "after_captions"  # place of e_t
    lora: bool = True  # False: the "w/o LoRA" ablation, only the mapper is trained
    lora_r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self):
        for name in ("lora_r", "lora_alpha"):
            value = getattr(self, name)
            _require(value > 0, f"captioner.{name}", "be above 0", value)
        fraction = 0 <= self.lora_dropout < 1
        _require(fraction, "captioner.lora_dropout", "be in [0, 1)", self.lora_dropout)
        targets = self.lora_targets
        named = bool(targets)
        _require(named, "captioner.lora_targets", "name a layer or more", targets)
        places = ("first", "after_captions")
        place = self.audio_token
        _require(place in places, "captioner.audio_token", f"be one of {places}", place)


@dataclass(frozen=True)
class TrainingConfig:
    """Text-only training (sec. III-B)."""

    steps: int = 40_000  # 20,000 on Clotho
    batch_size: int = 4
    peak_learning_rate: float = 1e-5
    warmup_steps: int = 1_000  # then linear decay to zero
    validate_every: int = 1_000  # steps; the lowest validation loss is kept
    validation_captions: int = 500  # held out of the training captions
    save_every: int = 200  # steps between the states that a killed run resumes from
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the frozen LLM

    def __post_init__(self):
        counts = ("steps", "batch_size", "validate_every", "validation_captions")
        for name in (*counts, "save_every"):
            value = getattr(self, name)
            _require(value > 0, f"training.{name}", "be above 0", value)
        rate = self.peak_learning_rate
        usable = 0 < rate < math.inf
        _require(usable, "training.peak_learning_rate", "be above 0, finite", rate)
        within = 0 <= self.warmup_steps <= self.steps
        _require(within, "training.warmup_steps", "be within steps", self.warmup_steps)
        known = self.dtype in ("auto", "float32", "bfloat16")
        _require(known, "training.dtype", "be auto, float32 or bfloat16", self.dtype)


@dataclass(frozen=True)
class GenerationConfig:
    """Beam search at inference."""

    num_beams: int = 4
    max_new_tokens: int = 40
    length_penalty: float = 1.0
    batch_size: int = 8  # prompts decoded together, grouped by length

    def __post_init__(self):
        for name in ("num_beams", "max_new_tokens", "batch_size"):
            value = getattr(self, name)
            _require(value > 0, f"generation.{name}", "be above 0", value)


@dataclass(frozen=True)
class Config:
    """The whole of one DRCap experiment."""

    clap: str = "tag-bridge"
    captions: int | None = None  # of the default collection: a sample; None: all
    seed: int = 0
    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    generation: GenerationConfig = field(default_factory=GenerationConfig)

    def __post_init__(self):
        enough = self.captions is None or self.captions > 0
        _require(enough, "captions", "be above 0, or null for all", self.captions)
        _require(self.seed >= 0, "seed", "be 0 or more", self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Build from (part of) what `to_dict` gives; ConfigError names a bad key."""
        return override(cls(), values)


PROFILES: dict[str, dict[str, Any]] = {
    # seconds, for tests
    "smoke": {
        "captions": 400,
        "retrieval": {"sim_min": 0.4, "sim_max": 0.7},
        "training": {
            "steps": 6,
            "batch_size": 4,
            "peak_learning_rate": 5e-4,
            "warmup_steps": 2,
            "validate_every": 3,
            "validation_captions": 8,
            "save_every": 3,
        },
        "generation": {"num_beams": 2, "max_new_tokens": 16},
    },
    # minutes, two CPU cores; the band is refitted to the tag bridge's space, where two
    # people's captions of one clip are 0.53 alike; a small LLM gets a larger adapter
    "demo": {
        "captioner": {"lora_r": 16, "lora_alpha": 64},
        "retrieval": {"sim_min": 0.4, "sim_max": 0.7, "withheld": 0.5},
        "training": {
            "steps": 150,
            "batch_size": 8,
            "peak_learning_rate": 1.5e-3,
            "warmup_steps": 15,
            "validate_every": 50,
            "validation_captions": 200,
            "save_every": 50,
        },
    },
    # the paper's setting: Vicuna-7B on a GPU
    "paper": {"captioner": {"language_model": "lmsys/vicuna-7b-v1.5"}},
}


def profile(name: str) -> Config:
    """Return the configuration of the profile smoke, demo or paper."""
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise ConfigError(f"profile: unknown '{name}'; choose one of {known}")
    return Config.from_dict(PROFILES[name])


def override(config: Any, values: dict[str, Any], where: str = "") -> Any:
    """Return `config` with nested `values` replaced; ConfigError names a bad key."""
    if not isinstance(values, dict):
        where = where or "config"
        raise ConfigError(f"{where}: expected keys and values, got {values!r}")
    hints = get_type_hints(type(config))
    changes = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in hints:
            raise ConfigError(f"{path}: unknown key; known here: {', '.join(hints)}")
        if is_dataclass(hints[key]):
            changes[key] = override(getattr(config, key), value, path)
        else:
            changes[key] = _checked_type(path, value, hints[key])
    return replace(config, **changes)


def _checked_type(path: str, value: Any, hint: Any) -> Any:
    """Return `value` in its annotated type: JSON has no tuples, and writes 1.0 as 1."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, list):
        value = tuple(value)
    if type(value) is int and float in kinds:
        value = float(value)
    if not any(_is_a(value, kind) for kind in kinds):
        expected = hint.__name__ if isinstance(hint, type) else hint
        raise ConfigError(f"{path}: expected {expected}, got {value!r}")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return type(value) is tuple and all(type(v) is get_args(kind)[0] for v in value)
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return type(value) is kind  # a bool is no int here


def _require(holds: bool, key: str, rule: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{key} must {rule}; got {value!r}")
