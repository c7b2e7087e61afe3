"""The grid's runs made: captions, scores and their record, where results.py reads them.

`complete` does what is missing of a list of experiments and returns all their scores. A
run made with other settings counts as missing.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from drcap.baselines import Baseline
from drcap.captioner.model import Captioner
from drcap.config import clap_profile, corpora_profile, experiments_profile
from drcap.evaluation.metrics import Scores, score
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.prediction import load_captioner, predict
from drcap.experiments.results import (
    PREDICTIONS,
    RECORD,
    SCORES,
    folder_of,
    read_predictions,
    read_scores,
)
from drcap.experiments.systems import run_of
from drcap.experiments.training import configuration
from drcap.files import sha256, write_json, write_text
from drcap.runs.provenance import run_record
from drcap.runs.run_folder import saved_weights, training_seconds


def settings_digest(experiment: Experiment, profile: str) -> str:
    """Return a hash of every setting that an experiment's numbers depend on."""
    settings = [
        asdict(experiment),
        asdict(experiment.changes),
        experiments_profile(profile).to_dict(),
        clap_profile(profile).to_dict(),
        asdict(corpora_profile(profile)),
    ]
    content = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def is_predicted(experiment: Experiment, profile: str, reports: Path) -> bool:
    """Tell whether the run's captions are there, made with the settings of now."""
    folder = folder_of(experiment, reports)
    if not all((folder / name).exists() for name in (PREDICTIONS, RECORD)):
        return False
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return record.get("settings") == settings_digest(experiment, profile)


def write_predictions(
    experiment: Experiment,
    materials: Materials,
    reports: Path,
    captioner: Captioner | Baseline | None = None,
) -> Path:
    """Caption the test clips; write the captions and the record. Returns the folder.

    captioner : the experiment's own, where it has been loaded
    """
    started = time.time()
    folder = folder_of(experiment, reports)
    captioner = captioner or load_captioner(experiment, materials)
    loaded = time.monotonic()
    records = predict(experiment, materials, captioner)
    seconds = time.monotonic() - loaded
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    write_text(folder / PREDICTIONS, "".join(line + "\n" for line in lines))
    run = run_of(experiment, materials)
    made_by = [run / "best", run / "log.csv"]
    record = run_record(
        started=started,
        seed=experiment.seed,
        config=configuration(experiment, materials),
        inputs=[path for path in made_by if path.exists()],
        profile=materials.profile,
        experiment=asdict(experiment),
        settings=settings_digest(experiment, materials.profile),
        clips=len(records),
        cost={
            "trained parameters": saved_weights(run / "best"),
            "training seconds": training_seconds(run),
            "seconds a caption": seconds / len(records),
        },
    )
    write_json(folder / RECORD, record)
    return folder


def write_scores(
    experiments: Iterable[Experiment], materials: Materials, reports: Path
) -> None:
    """Score runs whose captions are there, in one process: Java starts once."""
    for experiment in experiments:
        folder = folder_of(experiment, reports)
        records = read_predictions(experiment, reports)
        clips = {
            clip.clip_id: clip for clip in materials.clips(experiment.test, "test")
        }
        scores = score(
            [record["candidate"] for record in records],
            [list(clips[record["clip_id"]].captions) for record in records],
        )
        made_of = {"predictions": sha256(folder / PREDICTIONS)}
        write_json(folder / SCORES, made_of | asdict(scores), indent=None)


def is_scored(experiment: Experiment, reports: Path) -> bool:
    """Tell whether the scores are those of the captions that are there."""
    folder = folder_of(experiment, reports)
    if not (folder / SCORES).exists():
        return False
    values = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    return values["predictions"] == sha256(folder / PREDICTIONS)


def complete(
    experiments: Sequence[Experiment], materials: Materials, reports: Path
) -> Mapping[Experiment, Scores]:
    """Return the scores of all experiments, after doing what of them is missing."""
    for experiment in experiments:
        if not is_predicted(experiment, materials.profile, reports):
            write_predictions(experiment, materials, reports)
    unscored = [each for each in experiments if not is_scored(each, reports)]
    write_scores(unscored, materials, reports)
    return read_scores(experiments, reports)
