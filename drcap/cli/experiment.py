"""`drcap experiment`: cells of the grid trained, captioned and scored (sec. III)."""

from pathlib import Path

from drcap import paths
from drcap.cli import options
from drcap.cli.options import argument, option

NAMES = "As drcap_ac_to_cl_wo_pd_seed_0: system, train to test, ablation, seed."


def experiment(
    names: argument(list[str] | None, "NAME", NAMES) = None,
    train: option(list[str] | None, "Train it too, without captions.") = None,
    captions_only: option(bool, "Do not score.", "--captions-only") = False,
    profile: options.Profile = "demo",
    reports: option(Path, "Where results go.", default="reports/") = paths.REPORTS,
) -> None:
    """Train, caption and score experiments, doing only what is missing or stale.

    Results are in reports/<profile>/runs/<name>: predictions.jsonl, scores.json
    and run.json. A killed training resumes.
    """
    from drcap.environment import hush
    from drcap.experiments import run
    from drcap.experiments.grid import named
    from drcap.experiments.materials import Materials

    hush()
    experiments = [named(name) for name in names or ()]
    folder = options.writable(reports / profile)
    materials = Materials(profile)
    for name in train or ():
        run.load_system(named(name), materials)
    for each in experiments:
        run.predicted(each, materials, folder)
    if not captions_only:
        for each, scores in run.complete(experiments, materials, folder).items():
            print(f"{each.name}: CIDEr-D {scores.corpus['cider_d']}")
