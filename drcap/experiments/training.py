"""A captioner for each experiment that needs one of its own (sec. III-B).

Rows of a table that differ at inference alone, and the same row on another domain's
clips, share a captioner. A finished run is found again by what it was made of.
"""

import hashlib
import json
from pathlib import Path

from drcap import paths
from drcap.captioner.train import TrainingRun, train
from drcap.config import Config, override
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.retrieval.similarity_range import refit_range
from drcap.runs.run_folder import timed


def configuration(experiment: Experiment, materials: Materials) -> Config:
    """Return the whole configuration of an experiment: the recipe and its changes."""
    recipe, changes = materials.config, experiment.changes
    clap = materials.space(experiment.clap).clap
    config = override(
        recipe.captioner, {"clap": clap.fingerprint, "seed": experiment.seed}
    )
    if experiment.train == "cl":
        config = override(config, {"training": {"steps": recipe.steps_on_cl}})
    config = override(override(config, changes.training), changes.inference)
    return _refitted(config, experiment, materials) if changes.refit_range else config


def _refitted(config: Config, experiment: Experiment, materials: Materials) -> Config:
    """Move the range to the quantiles that it cuts off in the space of DRCap itself."""
    captions = materials.training_captions(experiment.train)
    own, reference = (materials.space(clap) for clap in (experiment.clap, "drcap"))
    sim_min, sim_max = refit_range(
        (config.retrieval.sim_min, config.retrieval.sim_max),
        (reference.text(captions), reference.datastore.embeddings),
        (own.text(captions), own.datastore.embeddings),
    )
    return override(config, {"retrieval": {"sim_min": sim_min, "sim_max": sim_max}})


def trained(experiment: Experiment, materials: Materials) -> TrainingRun:
    """Return the run that trains the experiment's captioner, resumed or as it is."""
    training = experiment.training
    config = configuration(training, materials)
    folder = run_folder(training, config, materials)
    with timed(folder):
        return train(
            config,
            materials.training_captions(training.train),
            materials.space(training.clap).datastore,
            folder,
            progress=materials.progress,
        )


def run_folder(training: Experiment, config: Config, materials: Materials) -> Path:
    """Return where the run lives: named by the experiment and all that it reads."""
    datastore = materials.space(training.clap).datastore
    captions = materials.training_captions(training.train)
    content = json.dumps([config.to_dict(), datastore.fingerprint, captions])
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return paths.runs() / f"{training.name}-{materials.profile}-{digest}"
