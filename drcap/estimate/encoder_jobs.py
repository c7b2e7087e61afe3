"""The jobs of corpora and encoders: CLAP's training and what it embeds."""

from drcap.config import CLAPConfig
from drcap.estimate.cost import ADAM, OVERHEAD, SMALL, Cost, Job
from drcap.estimate.shapes import (
    TextEncoderShape,
    audio_encoder_blocks,
    audio_encoder_operations,
    audio_encoder_weights,
    text_encoder_shape,
)

TEXT_TOKENS = 16  # of a caption in the text encoder
BLOCK_KEEPS = 34  # bytes a patch and width that a plain block keeps, in bfloat16
CLIP_BYTES = 36_000  # of FLAC a second, as the demo's corpora have
BUILD_CORE_SECONDS = 0.01  # to build a second of procedural sound, on one core
CLIP_CORE_SECONDS = 0.02  # to read ten seconds and take their log-mels, on one core
TEXT_BYTES = 60  # of a caption in a datastore


def corpora_job(seconds: float, procedural: bool) -> Job:
    """Return what recordings of so many seconds take on disk, and to build."""
    built = BUILD_CORE_SECONDS * seconds if procedural else 0.0
    return Job("corpora", disk=seconds * CLIP_BYTES, core_seconds=built)


def clap_job(name: str, config: CLAPConfig, pairs: int, epochs: int) -> Job:
    """Return the contrastive training of so many pairs."""
    settings, text = config.training, text_encoder_shape(config.text_encoder.model)
    rows = min(settings.micro_batch, settings.batch_size)
    passes = 3 + (rows < settings.batch_size)  # parts are encoded twice
    trained = config.text_encoder.trained
    words = text_operations(text) * (passes if trained else 0)
    audio = audio_encoder_operations(config.audio_encoder) * passes
    seen = pairs // settings.batch_size * settings.batch_size * epochs
    weights = audio_encoder_weights(config.audio_encoder)
    learned = weights + (text.parameters if trained else 0)
    frozen = 0 if trained else 4 * text.parameters
    memory = ADAM * learned + frozen + rows * _kept_by_encoders(config, text) + OVERHEAD
    cached = settings.cache_log_mels
    mels = pairs * config.front_end.frames * config.front_end.mels * 2
    return Job(
        name,
        {"": Cost(seen * (audio + words), memory)},
        disk=ADAM * learned + (mels if cached else 0),
        core_seconds=CLIP_CORE_SECONDS * (pairs if cached else seen),
        utilisation=SMALL,
    )


def _kept_by_encoders(config: CLAPConfig, text: TextEncoderShape) -> float:
    """Return the bytes that one pair keeps for the backward pass."""
    window = config.audio_encoder.window_size**2
    audio = sum(
        BLOCK_KEEPS * patches * width + 5 * patches * window * width / 24
        for patches, width in audio_encoder_blocks(config.audio_encoder)
    )
    words = BLOCK_KEEPS * text.depth * config.text_encoder.max_tokens * text.width
    return audio + (words if config.text_encoder.trained else 0)


def text_operations(shape: TextEncoderShape) -> float:
    """Return the floating-point operations of one caption's forward pass."""
    return 2 * shape.block_weights * TEXT_TOKENS


def datastore_job(config: CLAPConfig, captions: int) -> Job:
    """Return what embeds the captions of datastore and supports, (N, D) in float32."""
    text = text_encoder_shape(config.text_encoder.model)
    cost = Cost(captions * text_operations(text), 4 * text.parameters + OVERHEAD)
    disk = captions * (4 * config.dim + TEXT_BYTES)
    return Job("datastore", {"": cost}, disk, utilisation=SMALL, divides=True)
