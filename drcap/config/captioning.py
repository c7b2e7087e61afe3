"""Settings of the captioner: retrieval, projection, language model, training."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from drcap.config.strict import later, override, plain, require

Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
AudioToken = Literal["first", "after_captions"]
Mapper = Literal["linear", "two_layer"]
MapperStart = Literal["random", "least_squares"]
Quantisation = Literal["none", "nf4"]
Style = Literal["ours", "authors"]


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
        require(self.top_k >= 0, "retrieval.top_k", "be 0 or more", self.top_k)
        in_order = -1 <= self.sim_min <= self.sim_max <= 1
        band = (self.sim_min, self.sim_max)
        require(in_order, "retrieval.sim_min, sim_max", "rise within [-1, 1]", band)
        share = 0 <= self.withheld <= 1
        require(share, "retrieval.withheld", "be in [0, 1]", self.withheld)


@dataclass(frozen=True)
class ProjectionConfig:
    """Projection-based decoding (sec. II-C, eq. 4)."""

    enabled: bool = True  # False: the "w/o PD" ablation
    temperature: float | None = None  # tau; None: the CLAP model's own
    renormalise: bool = False  # the paper's E' keeps the norm the mean gives it

    def __post_init__(self):
        positive = self.temperature is None or self.temperature > 0
        require(positive, "projection.temperature", "be above 0", self.temperature)


@dataclass(frozen=True)
class CaptionerConfig:
    """Prompt, mapper and language model (sec. II-A)."""

    language_model: str = "smollm2-135m-instruct"  # asset, folder or hub id
    language_model_blocks: int | None = later(None)  # the first so many; None: all
    instruction: str = "Describe the audio you hear."
    audio_token: AudioToken = "after_captions"  # place of e_t
    # "authors": the strings of their code, and recordings cut to their first 10 s
    style: Style = later("ours")  # see docs/authors_code.md
    mapper: Mapper = later("linear")  # the paper's m, or the authors' two layers
    mapper_width: int = later(2_048)  # between the two layers
    # ours: what gradient descent from the random start would reach, in closed form
    mapper_start: MapperStart = "random"
    lora: bool = True  # False: the "w/o LoRA" ablation, only the mapper is trained
    lora_r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "v_proj")
    # "auto": sdpa; eager to train on a CPU, where sdpa's backward pass is the slower
    attention: Attention = later("auto")
    quantisation: Quantisation = later("none")  # nf4: frozen weights in 4 bit (QLoRA)

    def __post_init__(self):
        for name, kind in {
            "attention": Attention,
            "audio_token": AudioToken,
            "mapper": Mapper,
            "mapper_start": MapperStart,
            "quantisation": Quantisation,
            "style": Style,
        }.items():
            value, known = getattr(self, name), get_args(kind)
            require(value in known, f"captioner.{name}", f"be one of {known}", value)
        for name in ("lora_r", "lora_alpha", "mapper_width"):
            value = getattr(self, name)
            require(value > 0, f"captioner.{name}", "be above 0", value)
        blocks = self.language_model_blocks
        some = blocks is None or blocks > 0
        key = "captioner.language_model_blocks"
        require(some, key, "be above 0, or null for all", blocks)
        fraction = 0 <= self.lora_dropout < 1
        require(fraction, "captioner.lora_dropout", "be in [0, 1)", self.lora_dropout)
        targets = self.lora_targets
        named = bool(targets)
        require(named, "captioner.lora_targets", "name a layer or more", targets)
        self._check_together()

    def _check_together(self):
        start, place = self.mapper_start, self.audio_token
        rule = 'be "random" unless mapper is "linear"'
        fits = self.mapper == "linear" or start == "random"
        require(fits, "captioner.mapper_start", rule, start)
        rule = 'be "after_captions" where style is "authors"'
        fits = self.style == "ours" or place == "after_captions"
        require(fits, "captioner.audio_token", rule, place)


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
    # rows of a batch that a process computes at once, their gradients added up; None:
    # all of its share. Only where it is given is dropout the same whatever the number
    # of processes.
    micro_batch: int | None = later(None)
    gradient_checkpointing: bool = later(False)  # less memory for a second forward pass

    def __post_init__(self):
        part = self.micro_batch
        fits = part is None or 0 < part <= self.batch_size
        require(fits, "training.micro_batch", "be within 1 and batch_size", part)
        counts = ("steps", "batch_size", "validate_every", "validation_captions")
        for name in (*counts, "save_every"):
            value = getattr(self, name)
            require(value > 0, f"training.{name}", "be above 0", value)
        rate = self.peak_learning_rate
        usable = 0 < rate < math.inf
        require(usable, "training.peak_learning_rate", "be above 0, finite", rate)
        within = 0 <= self.warmup_steps <= self.steps
        require(within, "training.warmup_steps", "be within steps", self.warmup_steps)
        known = self.dtype in ("auto", "float32", "bfloat16")
        require(known, "training.dtype", "be auto, float32 or bfloat16", self.dtype)


@dataclass(frozen=True)
class GenerationConfig:
    """Beam search at inference."""

    num_beams: int = 4
    max_new_tokens: int = 40
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0  # so many tokens in a row never come twice; 0: they may
    batch_size: int = 8  # prompts decoded together, grouped by length
    # "right": the authors', where a caption depends on its batch; in the order given
    padding: Literal["left", "right"] = later("left")
    # of the LLM; "fastest": as in training, though a caption may then hang on its batch
    dtype: Literal["auto", "fastest", "float32", "bfloat16"] = "auto"

    def __post_init__(self):
        for name in ("num_beams", "max_new_tokens", "batch_size"):
            value = getattr(self, name)
            require(value > 0, f"generation.{name}", "be above 0", value)
        repeat = self.no_repeat_ngram
        require(repeat >= 0, "generation.no_repeat_ngram", "be 0 or more", repeat)
        names = ("auto", "fastest", "float32", "bfloat16")
        known = "be auto, fastest, float32 or bfloat16"
        require(self.dtype in names, "generation.dtype", known, self.dtype)
        side = self.padding
        known = side in ("left", "right")
        require(known, "generation.padding", "be left or right", side)


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
        require(enough, "captions", "be above 0, or null for all", self.captions)
        require(self.seed >= 0, "seed", "be 0 or more", self.seed)
        flash = self.captioner.attention == "flash_attention_2"
        for name in ("training", "generation"):
            dtype = getattr(self, name).dtype
            known = not (flash and dtype == "float32")
            rule = "be auto or bfloat16 with captioner.attention flash_attention_2"
            require(known, f"{name}.dtype", rule, dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, ready for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Build from (part of) what `to_dict` gives; ConfigError names a bad key."""
        return override(cls(), values)
