"""`drcap evaluate`: caption a data set's clips and score the captions."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap import paths
from drcap.cli import options
from drcap.cli.options import option
from drcap.errors import AudioError, ConfigError, DatasetError, check_choice

if TYPE_CHECKING:
    from drcap.data.clip import Subset

OUTPUT = "reports/evaluation/DATASET-SPLIT"
CHECKPOINTS = "Folder or hub id of a captioner; several are compared."
SPLITS = {
    "audiocaps": ("train", "val", "test"),
    "clotho": ("development", "validation", "evaluation"),
}
HEADLINE = (
    "{dataset} {split}: {clips} clips scored, {missing_clips} missing, "
    "{failed_clips} failed, {seconds} s\nPredictions: {predictions}\n"
)


@options.with_caption_options
def evaluate(
    dataset: option(str, "audiocaps, clotho or csv"),
    root: option(Path, "The data set's folder, or a CSV file of files and captions."),
    split: option(str | None, "As the data set names it; not of a CSV file.") = None,
    as_json: options.AsJson = False,
    output: option(Path | None, "Folder of the results.", default=OUTPUT) = None,
    metrics: option(str | None, "A,B,C", default="all that are available") = None,
    limit: option(int | None, "Only the first N clips.", min=1) = None,
    device: options.Device = "auto",
    checkpoint: option(list[str] | None, CHECKPOINTS) = None,
    *,
    chosen: options.CaptionOptions,
) -> None:
    """Print captioners' scores on a data set, as a table or a JSON object each.

    A CSV file has the columns file and caption, or caption_1, caption_2 and so on;
    files are relative to it. The output folder gets predictions.jsonl, scores.json
    and run.json, of several captioners in a folder each. A clip that cannot be read is
    reported on stderr, the rest is scored, and the exit code is 2. Under `accelerate
    launch -m drcap.cli evaluate` processes share the clips.
    """
    from drcap.atomic import write_json
    from drcap.evaluation.metrics import check_names, score_systems
    from drcap.evaluation.tables import intervals, score_table, to_markdown
    from drcap.processes import Processes
    from drcap.record import RECORD, run_record
    from drcap.systems.drcap import DRCap
    from drcap.systems.predictions import caption_dataset, write_predictions

    started = time.time()
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    check_names(names or ())
    listed = read_clips(dataset, root, split)
    folder = output or default_folder() / "-".join(filter(None, [dataset, split]))
    systems = system_folders(checkpoint or [None], options.writable(folder))
    processes, made = Processes(device), {}
    for name, (own, place) in systems.items():
        model = DRCap.from_pretrained(own, device=str(processes.device))
        settings = chosen.settings(model.clap)
        predictions = caption_dataset(
            model, listed.clips[:limit], processes, **settings
        )
        made[name] = predictions, model.config
        if processes.main:  # one of them scores and reports
            # before the scoring: hours of captioning must not be lost to a metric
            file = options.writable(place) / "predictions.jsonl"
            write_predictions(file, predictions.clips, predictions.captioned)
    if not processes.main:
        return
    failed = predictions.failed  # of every captioner: they cannot be read
    for result in failed:
        print(f"drcap: {result.error}", file=sys.stderr)
    if not predictions.captioned:
        raise AudioError(
            f"none of the {len(failed)} clips can be read: nothing to score"
        )
    texts = {name: (p.candidates, p.mult_references) for name, (p, _) in made.items()}
    scores_of, summaries = score_systems(texts, names), []
    for name, scores in scores_of.items():
        own, place = systems[name]
        summary = {
            "dataset": dataset,
            "split": split,
            "clips": scores.clips,
            "missing_clips": len(listed.missing),
            "failed_clips": len(failed),
            "scores": scores.corpus,
            "intervals": intervals(scores),
            "unavailable": scores.unavailable,
            "seconds": round(time.time() - started, 1),
            "predictions": str(place / "predictions.jsonl"),
        }
        if len(systems) > 1:
            summary = {"system": name} | summary
        write_json(place / "scores.json", summary | {"per_clip": scores.per_clip})
        files = (own, chosen.datastore, chosen.support, chosen.captions)
        given = [Path(path) for path in files if path]
        config = made[name][1]
        record = run_record(
            started=started,
            config=config,
            seed=config.seed,
            inputs=[*tables(root, split), *(path for path in given if path.exists())],
            options={"device": device, "limit": limit, "caption": asdict(chosen)},
            missing_clips=list(listed.missing),
            failed_clips=[asdict(result) for result in failed],
        )
        write_json(place / RECORD, record)
        summaries.append(summary)
    for summary in summaries:
        line = HEADLINE.format(**summary | {"split": split or root.name})
        print(json.dumps(summary) if as_json else line)
    if not as_json:
        print(to_markdown(score_table(scores_of)).rstrip())
    if failed:
        raise typer.Exit(2)


def system_folders(
    checkpoints: Sequence[str | None], folder: Path
) -> dict[str, tuple[str | None, Path]]:
    """Name the captioners of a table: name -> (checkpoint, folder of its results).

    One alone is DRCap, in the folder itself; several have their folders' names.
    ConfigError if two have the same name.
    """
    if len(checkpoints) == 1:
        return {"DRCap": (checkpoints[0], folder)}
    systems = {Path(own).name: (own, folder / Path(own).name) for own in checkpoints}
    if len(systems) < len(checkpoints):
        given = ", ".join(checkpoints)
        raise ConfigError(f"--checkpoint {given}: two have the same name; rename one")
    return systems


def tables(root: Path, split: str | None) -> list[Path]:
    """Return the files of a split's captions, for the record."""
    if split is None:
        return [root]
    patterns = (f"{split}*.csv", f"dataset/{split}*.csv", f"**/*captions_{split}.csv")
    return sorted({path for pattern in patterns for path in root.glob(pattern)})


def default_folder() -> Path:
    """Return reports/evaluation, in the checkout where the package runs from one."""
    checkout = (paths.REPOSITORY / "pyproject.toml").exists()
    return (paths.REPORTS if checkout else Path("reports")) / "evaluation"


def read_clips(dataset: str, root: Path, split: str | None) -> "Subset":
    """Return a split's clips, those without a recording reported and left out.

    Raises DatasetError for an unknown data set or split, or malformed annotations.
    """
    from drcap.data.audiocaps import read_audiocaps
    from drcap.data.clip import read_listed
    from drcap.data.clotho import read_clotho

    readers = {"audiocaps": read_audiocaps, "clotho": read_clotho}
    check_choice("data set", dataset, [*readers, "csv"], DatasetError)
    if dataset == "csv":
        if split is not None:
            raise DatasetError("a CSV file has no splits: drop --split")
    elif split is None:
        known = ", ".join(SPLITS[dataset])
        raise DatasetError(f"{dataset}: give --split, one of {known}")
    else:
        check_choice(f"split of {dataset}", split, SPLITS[dataset], DatasetError)
    listed = read_listed(root) if split is None else readers[dataset](root, split)
    if listed.missing:
        where = str(root) if split is None else f"{dataset} {split}"
        print(
            f"drcap: {len(listed.missing)} clips of {where} have no "
            f"recording under {root if split else root.parent} and are left out; "
            f"{len(listed.unmatched)} recordings there match none of its rows",
            file=sys.stderr,
        )
    return listed
