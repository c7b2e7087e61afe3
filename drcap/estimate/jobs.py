"""The jobs of a profile, sized by its configuration, in the order they run."""

from dataclasses import replace

from drcap.config import (
    ExperimentsConfig,
    clap_profile,
    experiments_profile,
)
from drcap.estimate.captioner_jobs import (
    captioner_job,
    captioning_cost,
    captioning_job,
)
from drcap.estimate.cost import Cost, Job
from drcap.estimate.encoder_jobs import clap_job, corpora_job, datastore_job
from drcap.estimate.shapes import LanguageModelShape, language_model_shape
from drcap.estimate.sizes import Sizes, profile_sizes
from drcap.experiments.grid import Experiment, table_experiments

TRAINED = (  # systems whose training is a captioner's; the others' costs little
    *("drcap", "drcap_seen", "drcap_noise", "wsac_shared", "soft_hard_prompts"),
    *("prefix_aac", "recap", "enclap"),
)


def profile_jobs(name: str) -> list[Job]:
    """Return the jobs of a profile, in the order they run."""
    grid, clap = experiments_profile(name), clap_profile(name)
    sizes = profile_sizes(name)
    captioner = grid.captioner.captioner
    whole = language_model_shape(captioner.language_model)  # as it lies on the disk
    shape = replace(whole, depth=captioner.language_model_blocks or whole.depth)
    steps = {"ac": grid.captioner.training.steps, "cl": grid.steps_on_cl}
    experiments = table_experiments()
    return [
        Job("language model", disk=whole.weight_bytes(2)),
        corpora_job(sizes.seconds, sizes.procedural),
        clap_job("CLAP", clap, sizes.pairs, clap.training.epochs),
        clap_job("CLAP, targets seen", clap, sizes.target_clips, grid.seen_epochs),
        datastore_job(clap, sizes.datastore),
        *(
            captioner_job(grid.captioner, shape, clap.dim, d, n)
            for d, n in steps.items()
        ),
        *(
            captioning_job(grid.captioner, shape, domain, sizes.domains[domain][2])
            for domain in steps
        ),
        grid_job(grid, shape, clap.dim, experiments, sizes),
    ]


def grid_job(
    grid: ExperimentsConfig,
    shape: LanguageModelShape,
    dim: int,
    experiments: list[Experiment],
    sizes: Sizes,
) -> Job:
    """Return all captioners of the tables, trained, and all their captions."""
    runs = {each.training for each in experiments if each.system in TRAINED}
    steps = {"ac": grid.captioner.training.steps, "cl": grid.steps_on_cl}
    total = sum(steps[each.train] for each in runs)
    clips = sum(sizes.domains[each.test][2] for each in experiments)
    one = captioner_job(grid.captioner, shape, dim, "all", total)
    tested = captioning_cost(grid.captioner, shape, clips)
    ways = {name: _together(cost, tested) for name, cost in one.ways.items()}
    return Job(f"grid, {len(runs)} captioners", ways, one.disk * len(runs))


def _together(training: Cost, tested: Cost) -> Cost:
    return replace(
        training,
        operations=training.operations + tested.operations,
        memory=max(training.memory, tested.memory),
        traffic=training.traffic + tested.traffic,
        blocks=training.blocks + tested.blocks,
    )
