"""The jobs of the captioner: its training in several ways, and beam search."""

from drcap.config import Config, override
from drcap.estimate.cost import ADAM, OVERHEAD, Cost, Job
from drcap.estimate.shapes import LanguageModelShape

CAPTION_TOKENS = 14  # of a caption of ten words, its end included
INSTRUCTION_TOKENS = 20  # of the prompt without captions, its start and slot included
GENERATED_TOKENS = 25  # steps of a beam search, whose captions mostly end before
RECORD_BYTES = 400  # of a clip's caption and its similar captions
WAYS: dict[str, dict] = {
    "": {},
    "micro_batch 1": {"training": {"micro_batch": 1}},
    "micro_batch 1, gradient_checkpointing": {
        "training": {"micro_batch": 1, "gradient_checkpointing": True}
    },
    "micro_batch 1, gradient_checkpointing, nf4": {
        "training": {"micro_batch": 1, "gradient_checkpointing": True},
        "captioner": {"quantisation": "nf4"},
    },
}


def prompt_tokens(config: Config) -> int:
    """Return the length of a prompt with all its similar captions."""
    retrieval = config.retrieval
    similar = retrieval.top_k if retrieval.enabled else 0
    return INSTRUCTION_TOKENS + similar * CAPTION_TOKENS


def captioner_job(
    config: Config, shape: LanguageModelShape, dim: int, domain: str, steps: int
) -> Job:
    """Return the training of one captioner, in each of WAYS and sharded."""
    ways = {
        name: captioner_cost(override(config, change), shape, dim, steps)
        for name, change in WAYS.items()
    }
    disk = 4 * trained_weights(config, shape, dim) * 4  # best, and state with moments
    return Job(f"captioner, {domain}", ways, disk, within=True)


def trained_weights(config: Config, shape: LanguageModelShape, dim: int) -> int:
    """Return how many weights are trained: the mapper's and the adapter's."""
    own = config.captioner
    adapter = shape.adapter(own.lora_r, own.lora_targets) if own.lora else 0
    return (dim + 1) * shape.width + adapter


def captioner_cost(
    config: Config, shape: LanguageModelShape, dim: int, steps: int
) -> Cost:
    """Return what so many steps and their validations cost."""
    settings, own = config.training, config.captioner
    tokens = prompt_tokens(config) + CAPTION_TOKENS
    forward = shape.forward_operations(1, tokens, CAPTION_TOKENS)
    passes = (
        2 + settings.gradient_checkpointing
    )  # weights that are frozen need no third
    rows = settings.micro_batch or settings.batch_size
    parts = -(-settings.batch_size // rows) * passes * steps
    held_out = settings.validation_captions * (steps // settings.validate_every)
    quantised = own.quantisation != "none"
    weights = shape.weight_bytes(2, quantised)
    targets = own.lora_targets if own.lora else ()
    kept = shape.kept_bytes(rows * tokens, 2, targets)
    if settings.gradient_checkpointing:
        kept += shape.depth * rows * tokens * 2 * shape.width
    else:
        kept *= shape.depth
    logits = rows * CAPTION_TOKENS * shape.vocabulary * 14  # in bfloat16 and float32
    learned = ADAM * trained_weights(config, shape, dim)
    blocks = 2 * shape.block_weights
    return Cost(
        forward * (settings.batch_size * steps * passes + held_out),
        weights + learned + kept + logits + OVERHEAD,
        sharded=0.0 if quantised else blocks,
        traffic=parts * weights,
        blocks=parts * shape.depth,
        exchanged=parts * blocks,
    )


def captioning_job(
    config: Config, shape: LanguageModelShape, domain: str, clips: int
) -> Job:
    """Return the beam search for so many clips, with a merged adapter in bfloat16."""
    ways = {}
    for name, size in (("", config.generation.batch_size), ("batch_size 1", 1)):
        small = override(config, {"generation": {"batch_size": size}})
        ways[name] = captioning_cost(small, shape, clips)
    disk = clips * RECORD_BYTES
    return Job(f"captioning, {domain}", ways, disk, divides=True, within=True)


def captioning_cost(config: Config, shape: LanguageModelShape, clips: int) -> Cost:
    """Return what captioning so many clips costs."""
    settings, prompt = config.generation, prompt_tokens(config)
    said = min(settings.max_new_tokens, GENERATED_TOKENS)
    rows = settings.batch_size * settings.num_beams
    cache = shape.cache_bytes(rows * (prompt + settings.max_new_tokens))
    weights = shape.weight_bytes(2)
    rounds = -(-clips // settings.batch_size) * (1 + said)
    token = 2 * (shape.block_weights + shape.table)
    read = shape.forward_operations(1, prompt, 1)
    return Cost(
        clips * (read + settings.num_beams * said * token),
        weights + cache + rows * shape.vocabulary * 12 + OVERHEAD,
        traffic=rounds * weights,
        blocks=rounds * shape.depth,
    )
