"""Settings of the captioner: retrieval, projection, language model, training."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from drcap.config.settings import Cosine, Fraction, Settings, Share, settings


@settings
class RetrievalConfig:
    """Retrieval-augmented generation (sec. II-B)."""

    enabled: bool = True  # False: the "w/o RAG" ablation
    top_k: NonNegativeInt = 3  # retrieved captions in a prompt
    similarity_selection: bool = True  # False: "w/o SS", plain top-k in training
    own_caption: bool = True  # which then has the caption itself; False leaves it out
    sim_min: Cosine = 0.75  # S_min, lowest cosine similarity drawn from in training
    sim_max: Cosine = 0.85  # S_max, highest
    withheld: Share = 0.0  # ours: share of training prompts left without captions

    def __post_init__(self):
        if self.sim_min > self.sim_max:
            limits = (self.sim_min, self.sim_max)
            raise ValueError(f"sim_min must be at most sim_max; got {limits}")


@settings
class ProjectionConfig:
    """Projection-based decoding (sec. II-C, eq. 4)."""

    enabled: bool = True  # False: the "w/o PD" ablation
    temperature: PositiveFloat | None = None  # tau; None: the CLAP model's own
    renormalise: bool = False  # the paper's E' keeps the norm the mean gives it


@settings
class CaptionerConfig:
    """Prompt, mapper and language model (sec. II-A)."""

    language_model: str = "smollm2-135m-instruct"  # asset, folder or hub id
    language_model_blocks: PositiveInt | None = None  # the first so many; None: all
    instruction: str = "Describe the audio you hear."
    audio_token: Literal["first", "after_captions"] = "after_captions"  # place of e_t
    # "authors": the strings of their code, and recordings cut to their first 10 s
    style: Literal["ours", "authors"] = "ours"  # see docs/authors_code.md
    mapper: Literal["linear", "two_layer"] = "linear"  # paper's m, authors' two layers
    mapper_width: PositiveInt = 2_048  # between the two layers
    # ours: what gradient descent from the random start would reach, in closed form
    mapper_start: Literal["random", "least_squares"] = "random"
    lora: bool = True  # False: the "w/o LoRA" ablation, only the mapper is trained
    lora_r: PositiveInt = 8
    lora_alpha: PositiveInt = 32
    lora_dropout: Fraction = 0.05
    lora_targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "v_proj")
    # "auto": sdpa; eager to train on a CPU, where sdpa's backward pass is the slower
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    quantisation: Literal["none", "nf4"] = "none"  # nf4: frozen weights in 4 bit

    def __post_init__(self):
        if self.mapper != "linear" and self.mapper_start != "random":
            rule = 'must be "random" unless mapper is "linear"'
            raise ValueError(f"mapper_start {rule}; got {self.mapper_start!r}")
        if self.style == "authors" and self.audio_token != "after_captions":
            rule = 'must be "after_captions" where style is "authors"'
            raise ValueError(f"audio_token {rule}; got {self.audio_token!r}")


@settings
class TrainingConfig:
    """Text-only training (sec. III-C)."""

    steps: PositiveInt = 40_000  # 20,000 on Clotho
    batch_size: PositiveInt = 4
    peak_learning_rate: PositiveFloat = 1e-5
    warmup_steps: NonNegativeInt = 1_000  # then linear decay to zero
    validate_every: PositiveInt = 1_000  # steps; the lowest validation loss is kept
    validation_captions: PositiveInt = 500  # held out of the training captions
    save_every: PositiveInt = 200  # steps between the states that a kill leaves
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the frozen LLM
    # rows of a batch that a process computes at once, their gradients added up; None:
    # all of its share. Only where it is given is dropout the same whatever the number
    # of processes.
    micro_batch: PositiveInt | None = None
    gradient_checkpointing: bool = False  # less memory for a second forward pass

    def __post_init__(self):
        if self.warmup_steps > self.steps:
            raise ValueError(
                f"warmup_steps must be within steps; got {self.warmup_steps}"
            )
        if self.micro_batch and self.micro_batch > self.batch_size:
            raise ValueError(
                f"micro_batch must be within batch_size; got {self.micro_batch}"
            )


@settings
class GenerationConfig:
    """Beam search at inference, four beams in the authors' code; sampling is ours."""

    num_beams: PositiveInt = 4
    # ours, "mbr": of beams and nearest captions that of the largest expected CIDEr-D
    choice: Literal["first_beam", "mbr"] = "first_beam"
    sample: bool = False  # draw words, `num_beams` captions for "mbr", else one
    temperature: PositiveFloat = 1.0  # of a draw; below 1 for likelier words
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of probability drawn from
    seed: NonNegativeInt = 0  # of the draws
    max_new_tokens: PositiveInt = 40
    length_penalty: float = 1.0
    no_repeat_ngram: NonNegativeInt = 0  # tokens in a row that never recur; 0: any may
    batch_size: PositiveInt = 8  # prompts decoded together, grouped by length
    # of the LLM; "fastest": as in training, but a caption may then depend on its batch
    dtype: Literal["auto", "fastest", "float32", "bfloat16", "float16"] = "auto"


@settings
class Config(Settings):
    """The whole of one DRCap experiment."""

    clap: str = "caption-bridge"
    captions: PositiveInt | None = None  # of the default collection: a sample
    seed: NonNegativeInt = 0
    captioner: CaptionerConfig = CaptionerConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    projection: ProjectionConfig = ProjectionConfig()
    training: TrainingConfig = TrainingConfig()
    generation: GenerationConfig = GenerationConfig()

    def __post_init__(self):
        flash = self.captioner.attention == "flash_attention_2"
        for name in ("training", "generation"):
            if flash and getattr(self, name).dtype == "float32":
                raise ValueError(
                    f"{name}.dtype must be auto or bfloat16 with captioner.attention "
                    "flash_attention_2; got 'float32'"
                )
