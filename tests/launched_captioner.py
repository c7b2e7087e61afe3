"""A tiny training run, in this process or in two that share it."""

import json
import os
import socket
from pathlib import Path

import torch
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.captioner.train import train
from drcap.config import (
    CaptionerConfig,
    Config,
    GenerationConfig,
    RetrievalConfig,
    TrainingConfig,
    override,
)
from drcap.retrieval import CaptionDatastore

CAPTIONS = [*TOY_CAPTIONS, *TOY_CAPTIONS[:6]]  # some of them twice
BAND = RetrievalConfig(sim_min=0.3, sim_max=0.8)


def toy_config(language_model, seed=0, **changes):
    """13 steps, 10 an epoch; validated at 4, 8, 12, 13, saved at 3, 6, 9 too."""
    schedule = {"steps": 13, "batch_size": 5, "warmup_steps": 2, "validate_every": 4}
    others = {"save_every": 3, "validation_captions": 10, "dtype": "float32"}
    rate = {"peak_learning_rate": 0.01}
    return Config(
        seed=seed,
        captioner=CaptionerConfig(language_model),
        retrieval=BAND,
        training=TrainingConfig(**schedule | others | rate | changes),
    )


def run(config, folder, stop_after=None):
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    options = {"stop_after": stop_after, "device": "cpu"}
    return train(config, CAPTIONS, datastore, folder, **options)


def captions_of(result, config):
    """Caption eleven embeddings with the captioner that a run kept."""
    best = Captioner.load(result.best, 32, config.captioner, torch.float32)
    rows = torch.randn(11, 32, generator=torch.Generator().manual_seed(1))
    similar = [CAPTIONS[row : row + row % 4] for row in range(11)]
    settings = GenerationConfig(num_beams=2, max_new_tokens=8, batch_size=2)
    return generate(best, rows, similar, settings)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def launched(index, port, folder, language_model, changes, stop_after):
    """Train and caption as one of two processes, as accelerate starts them."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(index), "LOCAL_RANK": str(index)}
    os.environ["LOCAL_WORLD_SIZE"] = "2"
    torch.set_num_threads(1)
    config = override(toy_config(language_model), changes)
    result = run(config, Path(folder), stop_after)
    report = {"log": result.log.train_loss.tolist()}
    report["captions"] = captions_of(result, config)
    Path(f"{folder}-{index}.json").write_text(json.dumps(report))
