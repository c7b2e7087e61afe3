"""What of the grid of experiments the run graph makes, and for whom.

`selected` turns ONLY=table3 or ONLY=05_main_results into tables and notebooks; the
experiments and trainings that these need follow from it.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drcap import paths
from drcap.config import DatasetsConfig, corpora_profile
from drcap.errors import ConfigError
from drcap.experiments.grid import TABLES, Experiment, table_experiments
from workflow.outputs import NOTEBOOKS

IN_DOMAIN, CROSS_DOMAIN = ("ac", "ac"), ("ac", "cl")
READ_BY = {  # notebook -> (pairs of domains, ablations) beside DRCap itself
    "06_ablation_similarity_selection": ((IN_DOMAIN, CROSS_DOMAIN), ("w/o SS",)),
    "07_ablation_rag": ((IN_DOMAIN, CROSS_DOMAIN), ("w/o RAG",)),
    "08_ablation_lora": ((IN_DOMAIN, CROSS_DOMAIN), ("w/o LoRA",)),
    "09_ablation_projection": ((IN_DOMAIN, CROSS_DOMAIN), ("w/o PD",)),
}
LONGEST = (  # notebooks that are to start before the others
    "01_clap_training",
    "03_text_only_training",
    "06_ablation_similarity_selection",
    "09_ablation_projection",
    "11_baselines",
)
ALL_SEEDS = ("05_main_results", "11_baselines", "12_report")  # have `seeds`
RANGES = ("range 0.65-0.75", "range 0.85-0.95")  # beside the paper's own


def prepared_files(profile: str) -> list[str]:
    """Return the reports of the real datasets that are prepared, where they are read.

    Preparing a dataset again writes its report again.
    """
    if not isinstance(corpora_profile(profile), DatasetsConfig):
        return []
    return sorted(str(path) for path in paths.datasets().glob("*/report.json"))


def selected(only: str) -> tuple[list[str], list[str]]:
    """Return the tables and notebooks that are asked for; all if nothing is.

    only : names set apart by commas: table1 to table4, or a notebook's number or name
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if not wanted:
        return list(TABLES), list(NOTEBOOKS)
    tables = [name for name in TABLES if name.partition("_")[0] in wanted]
    notebooks = [
        name for name in NOTEBOOKS if name in wanted or name.partition("_")[0] in wanted
    ]
    known = {name.partition("_")[0] for name in (*TABLES, *NOTEBOOKS)} | {*NOTEBOOKS}
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(
            f"ONLY: unknown '{unknown[0]}'; give {', '.join(sorted(known))}"
        )
    return tables, notebooks


@dataclass(frozen=True)
class Batch:
    """What one job trains and captions."""

    name: str
    trainings: tuple[Experiment, ...]
    experiments: tuple[Experiment, ...]  # captioned by the captioners of `trainings`


def batches(
    experiments: Sequence[Experiment], trainings: Sequence[Experiment], profile: str
) -> list[Batch]:
    """Return a job a training, the longest first: most to caption, then most to read.

    In smoke, where to start a job takes longest, it is a job a domain.
    trainings : those that are needed beyond those of the experiments
    """
    wanted = [*(each.training for each in experiments), *trainings]
    jobs: dict[str, list[Experiment]] = {}
    for each in dict.fromkeys(wanted):
        alone = re.sub(r"\W", "_", each.name)  # names a rule
        name = f"trained_on_{each.train}" if profile == "smoke" else alone
        jobs.setdefault(name, []).append(each)
    found = [
        Batch(name, tuple(made), tuple(e for e in experiments if e.training in made))
        for name, made in jobs.items()
    ]
    return sorted(found, key=_shortness)


def _shortness(batch: Batch) -> tuple[int, bool]:
    without_captions = all(each.ablation == "w/o RAG" for each in batch.trainings)
    return -len(batch.experiments), without_captions


def digest(experiments: Iterable[Experiment]) -> str:
    """Return a name for a selection of experiments."""
    names = " ".join(each.name for each in experiments)
    return hashlib.sha256(names.encode()).hexdigest()[:8]


def read_by(notebook: str, seeds: Sequence[int]) -> list[Experiment]:
    """Return the experiments whose scores a notebook reads."""
    if notebook == "05_main_results":
        names = ("table1_in_domain", "table2_cross_domain")
        return table_experiments(names, seeds)
    if notebook == "10_ablation_target_domain":
        return table_experiments(["table4_ablation_cross_domain"], seeds)
    if notebook == "11_baselines":
        names = ("table1_in_domain", "table2_cross_domain", "table_shared_lm")
        return table_experiments(names, seeds)
    if notebook == "12_report":
        return table_experiments(seeds=seeds)
    pairs, ablations = READ_BY.get(notebook, ((), ()))
    return [
        Experiment(*pair, ablation=ablation, seed=seed)
        for pair in pairs
        for ablation in ("", *ablations)
        for seed in seeds[:1]
    ]


def trained_for(notebook: str, seeds: Sequence[int]) -> list[Experiment]:
    """Return the captioners that a notebook uses beyond those of its experiments."""
    if notebook != "06_ablation_similarity_selection":
        return []
    return [Experiment(ablation=name, seed=seeds[0]) for name in RANGES]


def experiments_of(
    tables: Iterable[str], notebooks: Iterable[str], seeds: Sequence[int]
) -> list[Experiment]:
    """Return the distinct experiments behind some tables and notebooks."""
    found = table_experiments(tables, seeds)
    for notebook in notebooks:
        found += read_by(notebook, seeds)
    return list(dict.fromkeys(found))
