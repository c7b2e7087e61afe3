"""A CLAP model of a few thousand weights, and recordings for it to learn from."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from drcap.config import CLAPConfig, override
from drcap.data.clip import Clip

SR = 8_000  # Hz
PITCHES = ("low", "middle", "high")
SOUNDS = ("tone", "buzz", "hiss", "pulse")


def tiny_text_encoder(folder: Path) -> Path:
    """Save a two-layer random BERT and a tokenizer of whole words in `folder`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "is", "heard", "loud", "and"]
    vocabulary = {
        word: number for number, word in enumerate([*words, *PITCHES, *SOUNDS])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"pad_token": "[PAD]", "unk_token": "[UNK]"},
        **{"cls_token": "[CLS]", "sep_token": "[SEP]"},
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        **{"hidden_size": 32, "intermediate_size": 64},
        **{"num_hidden_layers": 2, "num_attention_heads": 4},
        max_position_embeddings=32,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def tiny_clap_config(encoder: Path, **changes) -> CLAPConfig:
    """Return a model that sees one second, trained for 3 epochs of 3 batches of 4."""
    tiny = {
        "dim": 16,
        "front_end": {
            **{"sr": SR, "seconds": 1.0, "window": 256, "hop": 250},
            **{"mels": 16, "high": 4_000.0},
        },
        "audio_encoder": {
            **{"width": 8, "depths": (1, 1), "heads": (1, 2)},
            **{"spectrogram_size": 32, "window_size": 4},
        },
        "text_encoder": {"model": str(encoder), "trained": False},
        "training": {
            **{"epochs": 3, "warmup_epochs": 1, "batch_size": 4, "micro_batch": 4},
            **{"peak_learning_rate": 5e-3, "save_every": 2, "dtype": "float32"},
            "cache_log_mels": True,
            "spec_augment": {"time_width": 4, "mel_width": 2},
        },
    }
    return override(override(CLAPConfig(), tiny), changes)


def write_clips(
    folder: Path, count: int, seed: int = 0, longest: float = 2.0
) -> list[Clip]:
    """Write recordings of 0.5 to `longest` seconds, with one or two captions each."""
    folder.mkdir(parents=True, exist_ok=True)
    random, clips = np.random.default_rng(seed), []
    for number in range(count):
        pitch = PITCHES[number % len(PITCHES)]
        sound = SOUNDS[number % len(SOUNDS)]
        path = folder / f"{number}.wav"
        samples = int(SR * random.uniform(0.5, longest))
        soundfile.write(path, _waveform(pitch, sound, samples, random), SR)
        captions = (f"a {pitch} {sound} is heard", f"{pitch} and loud {sound}")
        captions = captions[: 1 + number % 2]
        clips.append(Clip(str(number), "toy", "train", path, None, captions))
    return clips


def _waveform(
    pitch: str, sound: str, samples: int, random: np.random.Generator
) -> np.ndarray:
    frequency = 200.0 * 4 ** PITCHES.index(pitch)  # Hz
    phase = 2 * np.pi * frequency * np.arange(samples) / SR
    waveform = {
        "tone": np.sin(phase),
        "buzz": np.sign(np.sin(phase)),
        "hiss": np.sin(phase) * random.standard_normal(samples),
        "pulse": np.sin(phase) * (np.arange(samples) % 2_000 < 500),
    }[sound]
    return 0.3 * waveform + 0.001 * random.standard_normal(samples)
