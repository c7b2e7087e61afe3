"""Train the shipped captioner on AudioCaps' training captions and place it.

    python -m workflow.train_checkpoint --steps 4000 --stop-after 2000

Uses the demo profile with a longer schedule and dropout. A killed or stopped run goes
on when it is called again. Its best state by validation loss is placed.
"""

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from drcap import assets, paths
from drcap.captioner.train import train
from drcap.clap import load_clap
from drcap.config import Config, override, profile
from drcap.data.audiocaps import read_training_captions
from drcap.files import atomic_folder, write_json
from drcap.pipeline import SHIPPED
from drcap.retrieval.default import default_datastore
from drcap.runs.provenance import run_record


def recipe(steps: int, seed: int) -> Config:
    """Return the demo's settings with a schedule of so many steps, and dropout."""
    schedule = {
        "steps": steps,
        "warmup_steps": steps // 20,
        "validate_every": max(1, steps // 8),
        "validation_captions": 500,
        "save_every": 200,
    }
    dropout = {"lora_dropout": Config().captioner.lora_dropout}
    changes = {"seed": seed, "captioner": dropout, "training": schedule}
    return override(profile("demo"), changes)


def main(
    steps: Annotated[int, typer.Option(help="optimiser steps")] = 4000,
    seed: Annotated[int, typer.Option(help="of data order, draws and dropout")] = 0,
    target: Annotated[Path, typer.Option(help="folder of the result")] = SHIPPED,
    stop_after: Annotated[
        int | None, typer.Option(help="leave the schedule at this step")
    ] = None,
) -> None:
    """Train and write config.json, mapper, adapter, log.csv and run.json."""
    started = time.time()
    config = recipe(steps, seed)
    source = assets.asset_path("audiocaps-captions") / "train_v2.csv"
    folder = paths.runs() / f"shipped-{steps}-steps-seed-{seed}"
    datastore = default_datastore(load_clap(config.clap))
    captions = read_training_captions(source)
    log = train(config, captions, datastore, folder, stop_after=stop_after).log
    with atomic_folder(target) as result:
        shutil.copytree(folder / "best", result, dirs_exist_ok=True)
        write_json(result / "config.json", config.to_dict())
        log.to_csv(result / "log.csv", index=False)
        record = run_record(
            started=started,
            seed=seed,
            config=config,
            inputs=[source],
            steps_scheduled=steps,
            steps_done=int(log.step.max()),
            best_step=int(log.step[log.validation_loss.idxmin()]),
        )
        write_json(result / "run.json", record)


if __name__ == "__main__":
    typer.run(main)
