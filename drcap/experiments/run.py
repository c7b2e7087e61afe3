"""An experiment, from its system to its scores (sec. III-B), in a folder of its own.

    reports/<profile>/runs/<experiment>/predictions.jsonl, scores.json, run.json

`complete` does what is missing of a list of experiments. Captions are up to date if
their record was made with the settings of now. Scores are if they are of these captions
and no asset that a metric lacked has been fetched since.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from drcap import assets, cache
from drcap.atomic import sha256, write_json
from drcap.checkpoint import saved_weights, timed, training_seconds
from drcap.config import Config, clap_profile, corpora_profile, override
from drcap.data.clip import Clip
from drcap.evaluation.metrics import METRICS, Scores, score_systems
from drcap.experiments.grid import ABLATIONS, DOMAINS, Experiment
from drcap.experiments.materials import Materials
from drcap.record import RECORD, made_with, run_record
from drcap.retrieval.similarity_selection import refit_range
from drcap.systems import load_class, predictions
from drcap.systems.base import Captioned, ClipBatch, Similar, System, TrainingSet

PREDICTIONS, SCORES = "predictions.jsonl", "scores.json"


def configuration(experiment: Experiment, materials: Materials) -> Config:
    """Return the whole configuration of an experiment: the recipe and its changes."""
    recipe, ablation = materials.config, ABLATIONS[experiment.ablation]
    space = materials.space(experiment.clap)
    changes = [{"clap": space.clap.fingerprint, "seed": experiment.seed}]
    if experiment.train == "cl":
        changes.append({"training": {"steps": recipe.steps_on_cl}})
    config = recipe.captioner
    for change in (*changes, ablation.training, ablation.inference):
        config = override(config, change)
    if ablation.refit_range:  # to the quantiles that it cuts off in DRCap's own space
        captions = materials.training_captions(experiment.train)
        reference, own = (
            (joint.text(captions), joint.datastore.embeddings)
            for joint in (materials.space("drcap"), space)
        )
        band = config.retrieval.sim_min, config.retrieval.sim_max
        low, high = refit_range(band, reference, own)
        config = override(config, {"retrieval": {"sim_min": low, "sim_max": high}})
    return config


def load_system(experiment: Experiment, materials: Materials) -> System:
    """Return the experiment's system, trained now unless it has been.

    Experiments that differ at inference or in the clips alone share their training.
    """
    kind, config, data, folder = _training(experiment, materials)
    system = kind.in_space(materials.space(experiment.clap))
    with timed(folder):
        system.fit(data, config, folder, progress=materials.progress)
    return system.adjusted(configuration(experiment, materials))


def _training(experiment: Experiment, materials: Materials):
    """Return class, recipe, data and folder, named by all that the training reads."""
    training = experiment.training
    kind = load_class(training.system)
    config = replace(materials.config, captioner=configuration(training, materials))
    reads = kind.reads_recordings(config)
    clips = materials.clips(training.train, "train") if reads else ()
    captions = materials.training_captions(training.train)
    validation = materials.clips(training.train, "val")
    withheld = []
    if not ABLATIONS[training.ablation].training_text:
        others = [domain for domain in DOMAINS if domain != training.train]
        withheld = [
            text for name in others for text in materials.training_captions(name)
        ]
    data = TrainingSet(captions, clips, validation, withheld)
    own = getattr(config.baselines, kind.settings_of, None)
    key = [config.captioner, own, materials.space(training.clap).datastore.fingerprint]
    key += [captions, withheld]
    key += [[str(clip.path), *clip.captions] for clip in (*clips, *validation)]
    folder = cache.run_folder(f"{training.name}-{materials.profile}", key)
    return kind, config, data, folder


def support_captions(experiment: Experiment, materials: Materials) -> list[str]:
    """Return S as captions (sec. II-C): of the domain captioned, else of the source."""
    target = ABLATIONS[experiment.ablation].target_text
    return materials.training_captions(experiment.test if target else experiment.train)


def clip_batch(
    experiment: Experiment, materials: Materials, subset: str = "test"
) -> ClipBatch:
    """Return the clips of a subset, and the text that the experiment uses with them."""
    clips = materials.clips(experiment.test, subset)
    support = support_captions(experiment, materials)
    if ABLATIONS[experiment.ablation].target_text:
        return ClipBatch(clips, support)
    return ClipBatch(clips, support, materials.training_captions(experiment.test))


def similar_captions(
    experiment: Experiment, materials: Materials, clips: Sequence[Clip]
) -> Similar:
    """Return each clip's similar captions, more than a prompt holds, nearest first."""
    withheld = clip_batch(experiment, materials).withheld
    space = materials.space(experiment.clap)
    return space.similar(clips, materials.config.retrieved, exclude=withheld)


def predict(
    experiment: Experiment, materials: Materials, system: System | None = None
) -> list[Captioned]:
    """Caption the test clips; AudioError if a recording cannot be read.

    system : of the experiment's training, where it has been loaded
    """
    system = system or load_system(experiment, materials)
    system = system.adjusted(configuration(experiment, materials))
    return system.caption_clips(clip_batch(experiment, materials))


def folder_of(experiment: Experiment, reports: Path) -> Path:
    """Return the folder of an experiment's run under `reports/<profile>`."""
    return Path(reports) / "runs" / experiment.name


def run_files(experiments: Iterable[Experiment], reports: Path) -> list[Path]:
    """Return the files that hold the captions and scores of experiments."""
    names = PREDICTIONS, SCORES
    return [folder_of(each, reports) / name for each in experiments for name in names]


def write_predictions(
    experiment: Experiment,
    materials: Materials,
    reports: Path,
    system: System | None = None,
) -> Path:
    """Caption the test clips; write captions and record; return their folder.

    system : as in `predict`
    """
    started, folder = time.time(), folder_of(experiment, reports)
    system = system or load_system(experiment, materials)
    loaded = time.monotonic()
    captioned = predict(experiment, materials, system)
    seconds = (time.monotonic() - loaded) / len(captioned)
    clips = materials.clips(experiment.test, "test")
    predictions.write_predictions(folder / PREDICTIONS, clips, captioned)
    *_, run = _training(experiment, materials)
    cost = {
        "trained parameters": saved_weights(run / "best"),
        "training seconds": training_seconds(run),
        "seconds a caption": seconds,
    }
    record = run_record(
        started=started,
        seed=experiment.seed,
        config=configuration(experiment, materials),
        key=_key(experiment, materials),
        inputs=[file for file in (run / "best", run / "log.csv") if file.exists()],
        profile=materials.profile,
        experiment=asdict(experiment),
        clips=len(clips),
        cost=cost,
    )
    write_json(folder / RECORD, record)
    return folder


def read_predictions(experiment: Experiment, reports: Path) -> list[dict[str, Any]]:
    """Read a run's captions: `clip_id`, `candidate` and `similar_captions` a clip."""
    return predictions.read_predictions(folder_of(experiment, reports) / PREDICTIONS)


def write_scores(
    experiments: Sequence[Experiment], materials: Materials, reports: Path
) -> None:
    """Score runs whose captions are there, in one process: Java starts once."""
    texts = {}
    for experiment in experiments:
        clips = materials.clips(experiment.test, "test")
        references = {clip.clip_id: list(clip.captions) for clip in clips}
        records = read_predictions(experiment, reports)
        candidates = [record["candidate"] for record in records]
        mult_references = [references[record["clip_id"]] for record in records]
        texts[experiment] = candidates, mult_references
    for experiment, scores in score_systems(texts).items() if texts else ():
        folder = folder_of(experiment, reports)
        made_of = {"predictions": sha256(folder / PREDICTIONS)}
        made_of |= {"lacking": assets.lacking_metrics()}
        write_json(folder / SCORES, made_of | asdict(scores), indent=None)


def read_scores(
    experiments: Iterable[Experiment], reports: Path
) -> dict[Experiment, Scores]:
    """Read the scores of those of the experiments that have been scored."""
    stored = {each: _stored(each, reports) for each in experiments}
    return {
        experiment: Scores(
            **{field.name: values[field.name] for field in fields(Scores)}
        )
        for experiment, values in stored.items()
        if values
    }


def complete(
    experiments: Sequence[Experiment], materials: Materials, reports: Path
) -> Mapping[Experiment, Scores]:
    """Return the scores of all experiments, after doing what of them is missing."""
    for experiment in experiments:
        if not is_captioned(experiment, materials, reports):
            write_predictions(experiment, materials, reports)
    stale = [e for e in experiments if not _is_scored(e, reports)]
    write_scores(stale, materials, reports)
    return read_scores(experiments, reports)


def is_captioned(experiment: Experiment, materials: Materials, reports: Path) -> bool:
    """Tell whether the captions are there, made with the settings of now."""
    folder = folder_of(experiment, reports)
    made = made_with(folder, _key(experiment, materials))
    return made and (folder / PREDICTIONS).exists()


def _key(experiment: Experiment, materials: Materials) -> list[object]:
    """Return every setting that an experiment's numbers depend on."""
    profile, changes = materials.profile, ABLATIONS[experiment.ablation]
    configs = materials.config, clap_profile(profile), corpora_profile(profile)
    return [experiment, changes, *configs]


def _is_scored(experiment: Experiment, reports: Path) -> bool:
    values = _stored(experiment, reports)
    if not {*METRICS} <= {*values.get("corpus", ())}:
        return False
    captions = sha256(folder_of(experiment, reports) / PREDICTIONS)
    fetched = {*values.get("lacking", ())} - {*assets.lacking_metrics()}
    return values["predictions"] == captions and not fetched


def _stored(experiment: Experiment, reports: Path) -> dict[str, Any]:
    path = folder_of(experiment, reports) / SCORES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
