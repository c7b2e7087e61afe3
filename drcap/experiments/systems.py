"""The systems beside DRCap in the grid: fitted to a domain, or found as they were."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from drcap import paths
from drcap.baselines import BASELINES, Baseline, ClipBatch, TrainSet
from drcap.config import ExperimentsConfig, override
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.training import configuration, run_folder
from drcap.runs.run_folder import timed


def fitted(experiment: Experiment, materials: Materials) -> Baseline:
    """Return the experiment's system, fitted now unless it has been."""
    training = experiment.training
    system = BASELINES[training.system](materials.space(training.clap))
    folder = system_folder(training, materials)
    with timed(folder):
        system.fit(
            TrainSet(materials.clips(training.train, "train")),
            shared_recipe(training, materials),
            folder,
            progress=materials.progress,
        )
    return system


def shared_recipe(experiment: Experiment, materials: Materials) -> ExperimentsConfig:
    """Return the grid's recipe with the experiment's seed, CLAP model and steps."""
    config = materials.config
    clap = materials.space(experiment.clap).clap
    changes = {"clap": clap.fingerprint, "seed": experiment.seed}
    if experiment.train == "cl":
        changes["training"] = {"steps": config.steps_on_cl}
    return override(config, {"captioner": changes})


def system_folder(training: Experiment, materials: Materials) -> Path:
    """Return where the run lives: named by the experiment and all that it reads."""
    config = shared_recipe(training, materials)
    own = BASELINES[training.system].settings_of
    settings = asdict(getattr(config.baselines, own)) if own else {}
    clips = materials.clips(training.train, "train")
    content = json.dumps(
        [
            config.captioner.to_dict(),
            settings,
            materials.space(training.clap).datastore.fingerprint,
            [[str(clip.path), *clip.captions] for clip in clips],
        ]
    )
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return paths.runs() / f"{training.name}-{materials.profile}-{digest}"


def run_of(experiment: Experiment, materials: Materials) -> Path:
    """Return the run that trained an experiment's captioner, DRCap's or another's."""
    training = experiment.training
    if training.system in BASELINES:
        return system_folder(training, materials)
    return run_folder(training, configuration(training, materials), materials)


def caption_by(
    system: Baseline, experiment: Experiment, materials: Materials, subset: str
) -> list[dict]:
    """Caption the clips of a subset; a record a clip, in order."""
    clips = materials.clips(experiment.test, subset)
    batch = ClipBatch(clips, materials.training_captions(experiment.test))
    return [
        {"clip_id": clip.clip_id, "candidate": candidate, "similar_captions": []}
        for clip, candidate in zip(clips, system.caption(batch), strict=True)
    ]
