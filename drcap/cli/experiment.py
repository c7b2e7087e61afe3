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
    trainings = [named(name) for name in train or ()]
    folder = options.writable(reports / profile)
    materials = Materials(profile)
    stale = [e for e in experiments if not run.is_captioned(e, materials, folder)]
    for training in dict.fromkeys([*(e.training for e in stale), *trainings]):
        system = run.load_system(training, materials)
        for each in stale:
            if each.training == training:
                run.write_predictions(each, materials, folder, system)
    if not captions_only:
        for each, scores in run.complete(experiments, materials, folder).items():
            print(f"{each.name}: {scores.clips} clips scored")
