"""`drcap evaluate`: caption a data set's clips and score the captions."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcap.cli import options
from drcap.errors import AudioError, DatasetError
from drcap.files import write_json

if TYPE_CHECKING:
    from drcap.data.audiocaps import AudioCaps
    from drcap.evaluation.metrics import Scores
    from drcap.evaluation.predict import Predictions

SPLITS = {"audiocaps": ("train", "val", "test")}


def evaluate(
    dataset: Annotated[str, typer.Option(help="audiocaps")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The data set's folder.")],
    split: Annotated[str, typer.Option(help="train, val or test")],
    as_json: options.AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="evaluation/<dataset>-<split>"),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", show_default="all that can be computed here"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N clips.")
    ] = None,
    datastore: options.Datastore = None,
    support: options.Support = None,
    top_k: options.TopK = None,
    beams: options.Beams = None,
    device: options.Device = "auto",
    checkpoint: options.Checkpoint = None,
    no_retrieval: options.NoRetrieval = False,
    no_projection: options.NoProjection = False,
) -> None:
    """Print a captioner's scores on a data set, as a table or one JSON object.

    The output folder gets predictions.jsonl, scores.json and run.json. A clip
    that cannot be read is reported on stderr, the rest is scored, and the exit
    code is 2. Under `accelerate launch -m drcap.cli evaluate` processes share
    the clips.
    """
    from drcap.evaluation.metrics import check_names, score
    from drcap.evaluation.predict import caption_clips, write_predictions
    from drcap.processes import Processes

    started = time.time()
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    check_names(names or ())
    wanted = options.CaptionOptions(
        datastore, support, top_k, beams, no_retrieval, no_projection
    )
    found = _read_clips(dataset, root, split)
    processes = Processes(device)
    model = options.load_model(checkpoint, str(processes.device))
    predictions = caption_clips(
        model, found.clips[:limit], processes, **wanted.settings(model.clap)
    )
    if not processes.main:  # one of them scores and tells
        return
    output = output or Path("evaluation") / f"{dataset}-{split}"
    # before the scoring: hours of captioning must not be lost to a failing metric
    write_predictions(output / "predictions.jsonl", predictions)
    _report_failures(predictions)
    scores = score(predictions.candidates, predictions.mult_references, names)
    summary = {
        "dataset": dataset,
        "split": split,
        "clips": scores.clips,
        "missing_clips": len(found.missing),
        "failed_clips": len(predictions.failed),
        "scores": scores.corpus,
        "unavailable": scores.unavailable,
        "seconds": round(time.time() - started, 1),
        "predictions": str(output / "predictions.jsonl"),
    }
    write_json(output / "scores.json", summary | {"per_clip": scores.per_clip})
    write_json(
        output / "run.json",
        _run_record(
            started,
            model.config,
            [*_tables(root, split), checkpoint, datastore, support],
            options={"device": device, "limit": limit, "caption": wanted},
            missing_clips=found.missing,
            failed_clips=predictions.failed,
        ),
    )
    print(json.dumps(summary) if as_json else _page(summary, scores))
    if predictions.failed:
        raise typer.Exit(2)


def _read_clips(dataset: str, root: Path, split: str) -> "AudioCaps":
    from drcap.data.audiocaps import read_audiocaps

    if dataset not in SPLITS:
        known = ", ".join(SPLITS)
        raise DatasetError(f"unknown data set {dataset!r}: choose from {known}")
    if split not in SPLITS[dataset]:
        known = ", ".join(SPLITS[dataset])
        raise DatasetError(f"{dataset} has no split {split!r}: choose from {known}")
    found = read_audiocaps(root, split)
    if found.missing:
        print(
            f"drcap: {len(found.missing)} clips of {dataset} {split} have no recording "
            f"under {root} and are left out",
            file=sys.stderr,
        )
    return found


def _report_failures(predictions: "Predictions") -> None:
    for failure in predictions.failed:
        print(f"drcap: {failure['error']}", file=sys.stderr)
    if not predictions.captioned:
        count = len(predictions.failed)
        raise AudioError(f"none of the {count} clips can be read: nothing to score")


def _tables(root: Path, split: str) -> list[Path]:
    return [*root.glob(f"{split}*.csv"), *root.glob(f"dataset/{split}*.csv")]


def _run_record(started: float, config, inputs: list, **extra) -> dict:
    from drcap.runs.provenance import run_record

    existing = [Path(path) for path in inputs if path and Path(path).exists()]
    return run_record(
        started=started, config=config, seed=config.seed, inputs=existing, **extra
    )


def _page(summary: dict, scores: "Scores") -> str:
    from drcap.evaluation.tables import score_table, to_markdown

    headline = (
        "{dataset} {split}: {clips} clips scored, {missing_clips} missing, "
        "{failed_clips} failed, {seconds} s\nPredictions: {predictions}"
    ).format(**summary)
    table = to_markdown(score_table({"DRCap": scores})).rstrip()
    return f"{headline}\n\n{table}"
