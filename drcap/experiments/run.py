"""An experiment, from its system to its scores (sec. III-B).

Captions are kept in the cache, a file an experiment, until they are scored: then they
enter the table of results (results.py), and their record the run.json beside it.

`complete` does what is missing of a list of experiments. Captions are up to date if
they were made with the settings of now. Scores are if they are of these captions and no
asset that a metric lacked has been fetched since.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path
from typing import Any

from drcap import assets, cache, paths
from drcap.atomic import write_json
from drcap.checkpoint import saved_weights, timed, training_seconds
from drcap.config import Config, clap_profile, corpora_profile, override
from drcap.data.clip import Clip
from drcap.errors import ConfigError
from drcap.evaluation.metrics import METRICS, Scores, score_systems
from drcap.experiments.grid import ABLATIONS, DOMAINS, Experiment, named
from drcap.experiments.materials import Materials
from drcap.experiments.results import (
    TABLE,
    read_facts,
    read_predictions,
    read_scores,
    write_results,
)
from drcap.record import keep_records, made_with, run_record
from drcap.retrieval.similarity_selection import refit_range
from drcap.systems import SYSTEMS, load_class, predictions
from drcap.systems.base import ClipBatch, Similar, System, TrainingSet


def changes(experiment: Experiment, materials: Materials) -> list[dict[str, Any]]:
    """Return what an experiment changes of the recipe that all share, in turn."""
    recipe, ablation = materials.config, ABLATIONS[experiment.ablation]
    space = materials.space(experiment.clap)
    steps = {"training": {"steps": recipe.steps_on_cl}}
    made = [{"clap": space.clap.fingerprint, "seed": experiment.seed}]
    made += [steps if experiment.train == "cl" else {}]
    made += [ablation.training, ablation.inference]
    if ablation.refit_range:  # to the quantiles that it cuts off in DRCap's own space
        captions = materials.training_captions(experiment.train)
        reference, own = (
            (joint.text(captions), joint.datastore.embeddings)
            for joint in (materials.space("drcap"), space)
        )
        band = recipe.captioner.retrieval.sim_min, recipe.captioner.retrieval.sim_max
        low, high = refit_range(band, reference, own)
        made.append({"retrieval": {"sim_min": low, "sim_max": high}})
    return [change for change in made if change]


def configuration(experiment: Experiment, materials: Materials) -> Config:
    """Return the whole configuration of an experiment: the recipe and its changes."""
    return reduce(override, changes(experiment, materials), materials.config.captioner)


def load_system(experiment: Experiment, materials: Materials) -> System:
    """Return the experiment's system, trained now unless it has been.

    Experiments that differ at inference or in the clips alone share their training.
    """
    kind, config, data, folder = _training(experiment, materials)
    system = kind.in_space(materials.space(experiment.clap))
    with timed(folder):
        system.fit(data, config, folder)
    return system.adjusted(configuration(experiment, materials))


def _training(experiment: Experiment, materials: Materials):
    """Return class, recipe, data and folder, named by all that the training reads."""
    training = experiment.training
    kind = load_class(training.system)
    config = replace(materials.config, captioner=configuration(training, materials))
    supervised = SYSTEMS[training.system].setting == "supervised"
    clips = materials.clips(training.train, "train") if supervised else ()
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


def captions_file(experiment: Experiment, profile: str) -> Path:
    """Return the file of captions and their record in the cache."""
    return paths.made(profile) / "captions" / f"{experiment.name}.json"


def run_files(experiments: Iterable[Experiment], reports: Path) -> list[Path]:
    """Return the files that hold the captions and scores of experiments."""
    return [Path(reports) / TABLE] if [*experiments] else []


def write_captions(
    experiment: Experiment, materials: Materials, system: System | None = None
) -> None:
    """Caption the test clips and keep captions and record in the cache.

    system : of the experiment's training, where it has been loaded

    AudioError if a recording cannot be read.
    """
    started = time.time()
    system = system or load_system(experiment, materials)
    loaded, batch = time.monotonic(), clip_batch(experiment, materials)
    system = system.adjusted(configuration(experiment, materials))
    captioned = system.caption_clips(batch)
    seconds = (time.monotonic() - loaded) / len(captioned)
    *_, run = _training(experiment, materials)
    cost = {
        "trained parameters": saved_weights(run / "best"),
        "training seconds": training_seconds(run),
        "seconds a caption": seconds,
    }
    record = run_record(
        started=started,
        seed=experiment.seed,
        config=materials.config,
        changes=changes(experiment, materials),
        key=_key(experiment, materials),
        inputs=[file for file in (run / "best", run / "log.csv") if file.exists()],
        profile=materials.profile,
        experiment=asdict(experiment),
        clips=len(batch.clips),
        cost=cost,
    )
    kept = {
        "record": record,
        "predictions": predictions.records(batch.clips, captioned),
    }
    write_json(captions_file(experiment, materials.profile), kept)


def write_scores(
    experiments: Sequence[Experiment], materials: Materials, reports: Path
) -> None:
    """Score captions in one process, as Java starts once; put both into the table.

    Experiments of other settings than those of now leave it.
    """
    captions, texts, facts, records = {}, {}, {}, {}
    for experiment in experiments:
        kept = _kept(experiment, materials)
        records |= {experiment.name: kept["record"]} if kept else {}
        own = kept.get("predictions") or read_predictions(experiment, reports)
        captions[experiment] = own
        clips = materials.clips(experiment.test, "test")
        references = {clip.clip_id: list(clip.captions) for clip in clips}
        texts[experiment] = (
            [prediction["candidate"] for prediction in own],
            [references[prediction["clip_id"]] for prediction in own],
        )
        facts[experiment] = {
            "key": cache.digest(_key(experiment, materials)),
            "captions": cache.digest(texts[experiment][0]),
            "lacking": assets.lacking_metrics(),
        }
    known = read_facts(reports)
    current = [name for name in known if _current(name, known[name], materials)]
    write_results(reports, captions, score_systems(texts), facts, current)
    keep_records(reports, "experiments", records, only=read_facts(reports))


def complete(
    experiments: Sequence[Experiment],
    materials: Materials,
    reports: Path,
    seeds: Collection[int] | None = None,
) -> Mapping[Experiment, Scores]:
    """Return the scores of all experiments, after doing what of them is missing.

    seeds : those to train where they are missing, else all; of the others what is
        captioned counts, as a run of the graph may have been stopped
    """
    facts, captioned = read_facts(reports), []
    for experiment in experiments:
        if not is_captioned(experiment, materials, facts):
            if seeds is not None and experiment.seed not in seeds:
                continue
            write_captions(experiment, materials)
        captioned.append(experiment)
    stale = [e for e in captioned if not _is_scored(e, materials, facts.get(e.name))]
    if stale:
        write_scores(stale, materials, reports)
    return read_scores(captioned, reports)


def is_captioned(
    experiment: Experiment, materials: Materials, facts: Mapping[str, Any] | None = None
) -> bool:
    """Tell whether captions made with the settings of now are in the cache.

    facts : of a table of results (`read_facts`), which may hold them as well
    """
    known, key = (facts or {}).get(experiment.name), _key(experiment, materials)
    return made_with(known, key) or bool(_kept(experiment, materials))


def _is_scored(
    experiment: Experiment, materials: Materials, facts: Mapping[str, Any] | None
) -> bool:
    if not made_with(facts, _key(experiment, materials)):
        return False
    if not {*METRICS} <= {*facts["corpus"]}:
        return False
    if kept := _kept(experiment, materials):  # captioned anew?
        candidates = [prediction["candidate"] for prediction in kept["predictions"]]
        if facts["captions"] != cache.digest(candidates):
            return False
    return {*facts["lacking"]} <= {*assets.lacking_metrics()}


def _kept(experiment: Experiment, materials: Materials) -> dict[str, Any]:
    """Return captions and record if they are those of now, else nothing."""
    try:
        path = captions_file(experiment, materials.profile)
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or damaged
        return {}
    return kept if made_with(kept["record"], _key(experiment, materials)) else {}


def _key(experiment: Experiment, materials: Materials) -> list[object]:
    """Return every setting that an experiment's numbers depend on."""
    profile, changes = materials.profile, ABLATIONS[experiment.ablation]
    configs = materials.config, clap_profile(profile), corpora_profile(profile)
    return [experiment, changes, *configs]


def _current(name: str, facts: Mapping[str, Any], materials: Materials) -> bool:
    try:
        return made_with(facts, _key(named(name), materials))
    except ConfigError:  # an experiment that is no longer in the grid
        return False
