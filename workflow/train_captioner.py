"""Train a captioner of a profile on captions, on one device or on several.

    python -m workflow.train_captioner --profile demo
    accelerate launch --multi_gpu --num_processes 2 -m workflow.train_captioner \
        --profile paper --language-model lmsys/vicuna-7b-v1.5 --micro-batch 1

The batch is the profile's whatever the number of processes: they share it. With
`--use_fsdp` in the place of `--multi_gpu` the frozen language model is cut among them.
On a CPU give `--device cpu` and launch with `--multi_gpu` all the same (accelerate's
`--cpu` starts one process). A killed run goes on when it is called again, with any
number of processes.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from drcap import config as configuration
from drcap import paths
from drcap.captioner.train import TrainingRun, train
from drcap.clap import load_clap
from drcap.config import Config, override
from drcap.data.captions import read_captions
from drcap.files import write_json
from drcap.processes import Processes
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.default import default_captions, default_datastore
from drcap.runs.provenance import run_record


def main(
    profile: Annotated[str, typer.Option(help="smoke, demo or paper")] = "demo",
    seed: Annotated[int, typer.Option(help="of data order, draws and dropout")] = 0,
    captions: Annotated[
        Path | None, typer.Option(help="one a line; default: AudioCaps' training ones")
    ] = None,
    clap: Annotated[str | None, typer.Option(help="name or folder")] = None,
    language_model: Annotated[
        str | None, typer.Option(help="asset, folder or hub id")
    ] = None,
    quantisation: Annotated[str | None, typer.Option(help="none or nf4")] = None,
    attention: Annotated[
        str | None, typer.Option(help="auto, sdpa, eager or flash_attention_2")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="optimiser steps")] = None,
    micro_batch: Annotated[
        int | None, typer.Option(help="rows computed at once, gradients added up")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option(help="less memory for a second forward pass")
    ] = False,
    stop_after: Annotated[
        int | None, typer.Option(help="leave the schedule at this step")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="folder of the run")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda")] = "auto",
) -> None:
    """Train, and write config.json, log.csv, state.safetensors, best/ and run.json."""
    started = time.time()
    config = _with(
        configuration.profile(profile),
        {
            "": {"seed": seed, "clap": clap},
            "captioner": {
                "language_model": language_model,
                "quantisation": quantisation,
                "attention": attention,
            },
            "training": {
                "micro_batch": micro_batch,
                "gradient_checkpointing": gradient_checkpointing or None,
            },
        },
        steps,
    )
    processes = Processes(device)
    texts, datastore = _data(config, captions, processes)
    folder = output or paths.runs() / f"captioner-{profile}-seed-{seed}"
    run = train(config, texts, datastore, folder, stop_after=stop_after, device=device)
    if processes.main:  # one of them tells
        _record(run, config, started, processes, captions)
        losses = run.log.validation_loss.dropna()
        lowest = f"{losses.min():.3f}" if len(losses) else "not measured yet"
        typer.echo(f"{run.best}: {len(run.log)} steps, validation loss {lowest}")


def _with(config: Config, given: dict[str, dict[str, Any]], steps: int | None):
    """Return `config` with the options that were given; a shorter run warms up less."""
    changes: dict[str, Any] = {}
    for section, values in given.items():
        said = {name: value for name, value in values.items() if value is not None}
        changes |= said if section == "" else {section: said}
    if steps is not None:
        training = config.training
        share = training.warmup_steps / training.steps
        changes["training"] |= {"steps": steps, "warmup_steps": round(share * steps)}
    return override(config, changes)


def _data(
    config: Config, captions: Path | None, processes: Processes
) -> tuple[list[str], CaptionDatastore]:
    """Return training captions and datastore; the first process makes what is kept."""
    clap = load_clap(config.clap, str(processes.device))
    if captions is not None:
        texts = read_captions(captions)
        return texts, CaptionDatastore.build(texts, clap, progress=processes.main)
    with processes.main_first():
        datastore = default_datastore(
            clap, config.captions, config.seed, progress=processes.main
        )
    return default_captions(config.captions, config.seed), datastore


def _record(
    run: TrainingRun,
    config: Config,
    started: float,
    processes: Processes,
    captions: Path | None,
) -> None:
    """Write how the run came about, as of its latest call."""
    record = run_record(
        started=started,
        seed=config.seed,
        config=config,
        inputs=[run.folder / "config.json", *([captions] if captions else [])],
        processes=processes.count,
        sharded=processes.sharded,
        steps_done=len(run.log),
    )
    write_json(run.folder / "run.json", record)


if __name__ == "__main__":
    typer.run(main)
