"""`drcap evaluate`: caption a data set's clips and score the captions."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap import paths
from drcap.cli import options
from drcap.cli.options import option
from drcap.errors import AudioError, DatasetError

if TYPE_CHECKING:
    from drcap.data.clip import Subset

OUTPUT = "reports/evaluation/DATASET-SPLIT"
SPLITS = {
    "audiocaps": ("train", "val", "test"),
    "clotho": ("development", "validation", "evaluation"),
}
HEADLINE = (
    "{dataset} {split}: {clips} clips scored, {missing_clips} missing, "
    "{failed_clips} failed, {seconds} s\nPredictions: {predictions}\n\n"
)


def evaluate(
    dataset: option(str, "audiocaps or clotho"),
    root: option(Path, "The data set's folder."),
    split: option(str, "As the data set names it."),
    as_json: options.AsJson = False,
    output: option(Path | None, "Folder of the results.", default=OUTPUT) = None,
    metrics: option(str | None, "A,B,C", default="all that are available") = None,
    limit: option(int | None, "Only the first N clips.", min=1) = None,
    datastore: options.Datastore = None,
    support: options.Support = None,
    top_k: options.TopK = None,
    beams: options.Beams = None,
    choice: options.Choice = None,
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
    from drcap.atomic import write_json
    from drcap.evaluation.metrics import check_names, score
    from drcap.evaluation.tables import score_table, to_markdown
    from drcap.processes import Processes
    from drcap.record import RECORD, run_record
    from drcap.systems.predictions import caption_dataset, write_predictions

    started = time.time()
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    check_names(names or ())
    chosen = options.CaptionOptions(
        *(datastore, support, top_k, beams, no_retrieval, no_projection),
        choice=choice,
    )
    listed = read_clips(dataset, root, split)
    folder = options.writable(output or default_folder() / f"{dataset}-{split}")
    processes = Processes(device)
    model = options.load_model(checkpoint, str(processes.device))
    settings = chosen.settings(model.clap)
    predictions = caption_dataset(model, listed.clips[:limit], processes, **settings)
    if not processes.main:  # one of them scores and reports
        return
    # before the scoring: hours of captioning must not be lost to a failing metric
    file = folder / "predictions.jsonl"
    write_predictions(file, predictions.clips, predictions.captioned)
    for result in predictions.failed:
        print(f"drcap: {result.error}", file=sys.stderr)
    if not predictions.captioned:
        count = len(predictions.failed)
        raise AudioError(f"none of the {count} clips can be read: nothing to score")
    scores = score(predictions.candidates, predictions.mult_references, names)
    summary = {
        "dataset": dataset,
        "split": split,
        "clips": scores.clips,
        "missing_clips": len(listed.missing),
        "failed_clips": len(predictions.failed),
        "scores": scores.corpus,
        "unavailable": scores.unavailable,
        "seconds": round(time.time() - started, 1),
        "predictions": str(file),
    }
    write_json(folder / "scores.json", summary | {"per_clip": scores.per_clip})
    patterns = (f"{split}*.csv", f"dataset/{split}*.csv", f"**/*captions_{split}.csv")
    tables = {path for pattern in patterns for path in root.glob(pattern)}
    given = [Path(path) for path in (checkpoint, datastore, support) if path]
    record = run_record(
        started=started,
        config=model.config,
        seed=model.config.seed,
        inputs=[*sorted(tables), *(path for path in given if path.exists())],
        options={"device": device, "limit": limit, "caption": asdict(chosen)},
        missing_clips=list(listed.missing),
        failed_clips=[asdict(result) for result in predictions.failed],
    )
    write_json(folder / RECORD, record)
    page = to_markdown(score_table({"DRCap": scores})).rstrip()
    print(json.dumps(summary) if as_json else HEADLINE.format(**summary) + page)
    if predictions.failed:
        raise typer.Exit(2)


def default_folder() -> Path:
    """Return reports/evaluation, in the checkout where the package runs from one."""
    checkout = (paths.REPOSITORY / "pyproject.toml").exists()
    return (paths.REPORTS if checkout else Path("reports")) / "evaluation"


def read_clips(dataset: str, root: Path, split: str) -> "Subset":
    """Return a split's clips, those without a recording reported and left out.

    Raises DatasetError for an unknown data set or split, or malformed annotations.
    """
    from drcap.data.audiocaps import read_audiocaps
    from drcap.data.clotho import read_clotho

    readers = {"audiocaps": read_audiocaps, "clotho": read_clotho}
    if dataset not in readers:
        known = ", ".join(readers)
        raise DatasetError(f"unknown data set {dataset!r}: choose from {known}")
    if split not in SPLITS[dataset]:
        known = ", ".join(SPLITS[dataset])
        raise DatasetError(f"{dataset} has no split {split!r}: choose from {known}")
    listed = readers[dataset](root, split)
    if listed.missing:
        print(
            f"drcap: {len(listed.missing)} clips of {dataset} {split} have no "
            f"recording under {root} and are left out; {len(listed.unmatched)} "
            "recordings there match none of its rows",
            file=sys.stderr,
        )
    return listed
