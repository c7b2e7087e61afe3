"""Train the CLAP model of a profile on weak captions, the targets' clips removed.

    python -m workflow.train_clap --profile demo
    accelerate launch -m workflow.train_clap --profile demo

A killed run resumes when called again. Under a launcher its processes share each batch;
on a CPU, say `accelerate launch --multi_gpu --num_processes 2` and `--device cpu`.
"""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from drcap.clap.stages import run_folder
from drcap.clap.train import CLAPRun, train_clap
from drcap.config import CLAPConfig, clap_profile, override
from drcap.data.corpora import Corpora, corpora
from drcap.files import write_json
from drcap.runs.provenance import run_record


def main(
    profile: Annotated[str, typer.Option(help="as demo, demo-real or paper")] = "demo",
    seed: Annotated[int, typer.Option(help="of weights, order and draws")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--corpora", help="holds them; default: built here")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="folder of the run")] = None,
    initial: Annotated[
        Path | None, typer.Option(help="folder of a CLAP model to start from")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda")] = "auto",
) -> None:
    """Train, and write config.json, log.csv, state.safetensors, model/ and run.json."""
    started = time.time()
    config = override(clap_profile(profile), {"seed": seed})
    data = corpora(profile, folder)
    clips = data.pairs
    run = train_clap(
        config,
        clips,
        output or run_folder(f"clap-{profile}", config, clips),
        validation=data.clips("ac", "val"),
        initial=initial,
        device=device,
    )
    if os.environ.get("RANK", "0") == "0":  # one of them tells
        _record(run, config, started, data)
        last = run.log.iloc[-1]
        typer.echo(
            f"{run.model}: {last.step:.0f} steps, loss {last.loss:.3f}, audio-to-text "
            f"R@10 {last.recall_at_10:.2f} among the validation clips"
        )


def _record(run: CLAPRun, config: CLAPConfig, started: float, data: Corpora) -> None:
    """Write how the run came about; a run found finished keeps its record."""
    path = run.folder / "run.json"
    if not path.exists():
        record = run_record(
            started=started,
            seed=config.seed,
            config=config,
            inputs=[run.folder / "config.json"],  # has the hash of the clips
            corpora=data.config,
        )
        write_json(path, record)


if __name__ == "__main__":
    typer.run(main)
