"""The run graph: from pinned assets to the tables, figures and the page of results.

    snakemake --cores all --config profile=demo seeds=0 only=table3

assets -> corpora -> CLAP -> spaces (embeddings, datastore, retrieval) -> trainings ->
predictions -> scores -> tables and notebooks -> report. What is up to date is not run
again. A rule's own messages are kept in logs/<profile>/.
"""

import os
import shutil
import sys
from pathlib import Path


workdir: workflow.basedir


sys.path.insert(0, str(workflow.basedir))  # for whoever calls from another folder

from drcap import config as settings
from drcap import paths
from drcap.experiments.grid import TABLES
from workflow import grid
from workflow.outputs import outputs

PROFILE = config.get("profile", "demo")
SEEDS = [int(seed) for seed in str(config.get("seeds", 0)).replace(",", " ").split()]
settings.profile(PROFILE)  # an unknown one is an error before anything runs
PREPARED = grid.prepared_files(PROFILE)
WANTED_TABLES, NOTEBOOKS = grid.selected(str(config.get("only") or ""))

REPORTS = f"reports/{PROFILE}"
LOGS = f"logs/{PROFILE}"
CACHE = paths.home() / "reproduce"  # what the cache holds, as files to depend on
MADE = CACHE / PROFILE
OPTIONS = f"--profile {PROFILE}"
GPUS = int(os.environ.get("GPUS", shutil.which("nvidia-smi") is not None))  # a job's
# how CLAP's training is started; over four GPUs by
# "accelerate launch --multi_gpu --num_processes 4 -m"
LAUNCH = os.environ.get("LAUNCH", "python -m")
FIRST = 1_000  # priority of what most of the rest waits for
# of jobs that use all cores; in smoke, most of a job is its start, and two can share
THREADS = 1 if PROFILE == "smoke" else workflow.cores
LOGGED = "2>&1 | tee {log}"  # progress bars and messages, on the terminal and kept

CODE = [str(path) for path in sorted(Path("drcap").rglob("*.py"))]
CODE = [path for path in CODE if not path.startswith(("drcap/cli/", "drcap/doctor.py"))]
CHECKPOINTS = [str(path) for path in sorted(Path("drcap/checkpoints").rglob("*.*"))]


def code(*folders):
    """Return the package's modules below these folders, or of these names."""
    prefixes = tuple(f"drcap/{folder}" for folder in folders)
    return [path for path in CODE if path.startswith(prefixes)]


def scores_of(experiments):
    return [f"{REPORTS}/runs/{each.name}/scores.json" for each in experiments]


EXPERIMENTS = grid.experiments_of(WANTED_TABLES, NOTEBOOKS, SEEDS)
TRAINED = [each for name in NOTEBOOKS for each in grid.trained_for(name, SEEDS)]
BATCHES = grid.batches(EXPERIMENTS, TRAINED, PROFILE)


# Captions, scores and tables are committed. These files say which were made here, so
# that a fresh clone makes its own.
def captioned(batch):
    return MADE / f"captions-{batch.name}.txt"


def trained(trainings):
    return [captioned(each) for each in BATCHES if {*each.trainings} & {*trainings}]


SCORED = MADE / f"scores-{grid.digest(EXPERIMENTS)}.txt"
TABLE_FILES = [
    f"{REPORTS}/tables/{name}.{kind}"
    for name in WANTED_TABLES
    for kind in ("csv", "md", "tex")
]
RESULTS = [f"{REPORTS}/{path}" for name in NOTEBOOKS for path in outputs(name)]


shell.prefix("set -o pipefail; export TQDM_MININTERVAL=10; ")


localrules:
    all,
    assets,
    table,
    report,


rule all:
    input:
        TABLE_FILES,
        [MADE / f"{name}.txt" for name in WANTED_TABLES],
        RESULTS,
        [f"{REPORTS}/notebooks/{name}.ipynb" for name in NOTEBOOKS],
        [] if config.get("only") else f"{REPORTS}/summary.md",
    message: f"Results: {REPORTS}/"


rule assets:
    input: "drcap/assets/assets.toml"
    output: CACHE / "assets.txt"
    log: f"{LOGS}/assets.log"
    message: "Weights and data (log: {log})"
    shell: "drcap assets fetch " + LOGGED + " && drcap assets list > {output}"


rule datastore:
    input: rules.assets.output, CHECKPOINTS
    output: CACHE / f"datastore-{PROFILE}.json"
    log: f"{LOGS}/datastore.log"
    priority: FIRST
    message: "Datastore of AudioCaps' captions (log: {log})"
    threads: THREADS
    shell:
        f"python -m workflow.datastore {{output}} {OPTIONS} --seed {SEEDS[0]} " + LOGGED


rule corpora:
    input: rules.assets.output, code("data/soundscapes/"), PREPARED
    output: CACHE / f"corpora-{PROFILE}.txt"
    log: f"{LOGS}/corpora.log"
    priority: FIRST
    message: "Corpora (log: {log})"
    threads: THREADS
    shell: f"python -m workflow.corpora {OPTIONS} 2>&1 >{{output}} | tee {{log}}"


rule clap:
    input: rules.corpora.output, code("clap/", "config/clap.py")
    output: CACHE / f"clap-{PROFILE}-seed-{{seed}}.txt"
    log: f"{LOGS}/clap-seed-{{seed}}.log"
    priority: FIRST
    message: "CLAP model (log: {log})"
    threads: THREADS
    resources: gpu=GPUS
    shell:
        f"{LAUNCH} workflow.train_clap {OPTIONS} --seed {{wildcards.seed}}"
        " 2>&1 >{output} | tee {log}"


rule space:
    input: CACHE / f"clap-{PROFILE}-seed-0.txt", code("retrieval/", "spaces")
    output: MADE / "space-{system}.json"
    log: f"{LOGS}/space-{{system}}.log"
    priority: FIRST
    message: "Embeddings, datastore and retrieval of {wildcards.system} (log: {log})"
    threads: THREADS
    resources: gpu=GPUS
    shell:
        f"python -m workflow.experiments embed {{wildcards.system}} {OPTIONS}"
        " --done {output} " + LOGGED


for place, batch in enumerate(BATCHES):
    rule:
        name: f"captions_{batch.name}"
        input:
            sorted({MADE / f"space-{each.clap}.json" for each in batch.trainings}),
            code("captioner/", "config/", "retrieval/", "projection", "baselines/"),
            code("experiments/training", "experiments/systems", "experiments/prediction"),
        output:
            [
                f"{REPORTS}/runs/{each.name}/{file}"
                for each in batch.experiments
                for file in ("predictions.jsonl", "run.json")
            ],
            touch(captioned(batch)),
        params:
            " ".join(each.name for each in batch.experiments),
            " ".join(f"--train {each.name}" for each in batch.trainings),
        log: f"{LOGS}/{batch.name}.log"
        message: f"Captioner and captions, {batch.name} (log: {{log}})"
        threads: 1  # two at once are faster than one with two threads
        resources: gpu=GPUS
        priority: FIRST - 1 - place
        shell: f"python -m workflow.experiments caption {{params}} {OPTIONS} " + LOGGED


rule scores:
    input:
        [captioned(each) for each in BATCHES if each.experiments],
        code("evaluation/"),
    output: scores_of(EXPERIMENTS), touch(SCORED)
    params: " ".join(each.name for each in EXPERIMENTS)
    log: f"{LOGS}/scores.log"
    priority: FIRST
    message: "Scores of all captions, in one process (log: {log})"
    threads: THREADS
    shell: f"python -m workflow.experiments score {{params}} {OPTIONS} " + LOGGED


rule table:
    input:
        SCORED,
        lambda wildcards: scores_of(TABLES[wildcards.table].experiments(SEEDS)),
        code("experiments/", "evaluation/bootstrap.py"),
    output:
        multiext(f"{REPORTS}/tables/{{table}}", ".csv", ".md", ".tex"),
        f"{REPORTS}/runs/{{table}}/run.json",
        touch(MADE / "{table}.txt"),
    params: " ".join(f"--seeds {seed}" for seed in SEEDS)
    log: f"{LOGS}/{{table}}.log"
    message: "{output[1]} (log: {log})"
    wildcard_constraints: table="|".join(TABLES)
    shell:
        f"python -m workflow.table {{wildcards.table}} {{params}} {OPTIONS} "
        + LOGGED


for place, notebook in enumerate(NOTEBOOKS):
    needed = grid.read_by(notebook, SEEDS)

    rule:
        name: f"notebook_{notebook}"
        input:
            rules.datastore.output if notebook < "05" else [],
            CACHE / f"clap-{PROFILE}-seed-{SEEDS[0]}.txt" if "01" <= notebook < "03" else [],
            [SCORED, *scores_of(needed)] if needed else [],
            trained(grid.trained_for(notebook, SEEDS)),
            CODE,
            CHECKPOINTS,
            notebook=f"notebooks/{notebook}.ipynb",
        output:
            [f"{REPORTS}/{path}" for path in outputs(notebook)],
            notebook=f"{REPORTS}/notebooks/{notebook}.ipynb",
        params:
            f"-p profile={PROFILE} -p seed={SEEDS[0]} -p reports_dir={REPORTS}"
            + (f" -p 'seeds={SEEDS}'" if notebook in grid.ALL_SEEDS else ""),
        log: f"{LOGS}/{notebook}.log"
        message: "{input.notebook} (log: {log})"
        threads: 1  # as many at once as there are cores
        resources: gpu=GPUS
        # the longest, then in reading order
        priority: len(NOTEBOOKS) * (notebook in grid.LONGEST) + len(NOTEBOOKS) - place
        shell:
            "python -m workflow.run_notebook {input.notebook} {output.notebook}"
            " {params} --log {log}"


rule report:
    input: RESULTS, TABLE_FILES, "workflow/summary.py"
    output: f"{REPORTS}/summary.md"
    log: f"{LOGS}/report.log"
    message: "{output} (log: {log})"
    shell: "python -m workflow.summary {REPORTS} 2>&1 | tee {log}"
