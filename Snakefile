"""The run graph: from pinned assets to the tables, figures and the page of results.

    snakemake --cores all --config profile=demo seeds=0 only=table3

assets -> corpora -> CLAP -> spaces (embeddings, datastore, retrieval) -> captions ->
scores -> tables and notebooks -> report. The ten recordings come first, then Tables III
and IV, then the rest. Snakemake removes a job's outputs before it starts; `drcap
experiment` then does what is missing.
"""

import os
import sys
from pathlib import Path

workdir: workflow.basedir

sys.path.insert(0, str(workflow.basedir))  # for whoever calls from another folder

from snakemake.logging import logger

from drcap.experiments.grid import SEEN, TABLES
from workflow import graph, progress

PLAN = graph.plan(config)  # an unknown profile or part stops here
SEED, REPORTS, LOGS = PLAN.seeds[0], PLAN.reports, f"logs/{PLAN.profile}"
MADE, CACHE = PLAN.made, PLAN.made.parent  # files that stand for what the cache holds
CLAP = f"{CACHE}/clap-{PLAN.profile}-seed-{{seed}}.txt"
CHECKPOINTS = sorted(map(str, Path("drcap/checkpoints").rglob("*.*")))
OPTIONS = f"--profile {PLAN.profile}"
LOGGED = "2>&1 | tee {log:q}"  # on the terminal and kept
# starts CLAP's training; on GPUs "accelerate launch --multi_gpu --num_processes 4 -m"
LAUNCH = os.environ.get("LAUNCH", "python -m")
GPUS = graph.gpus()  # of a job: 1 where torch sees a GPU
MEMORY = graph.MEMORY.get(PLAN.profile, 32_000)  # MB of a job that loads models
# of jobs that use all cores; the others, two at once, are faster with one thread each
THREADS = 1 if PLAN.small else workflow._cores or 8
FIRST = 1_000  # priority of what most of the rest waits for
if workflow.is_main_process:
    progress.follow(workflow, PLAN, logger)
shell.prefix("set -o pipefail; export TQDM_MININTERVAL=10; ")

localrules: all, assets, table, report

rule all:
    input:
        PLAN.results, PLAN.written, PLAN.scored(PLAN.experiments),
        [MADE / f"{name}.txt" for name in PLAN.tables],
        [f"{REPORTS}/notebooks/{name}.ipynb" for name in PLAN.notebooks],
        [] if PLAN.only else f"{REPORTS}/summary.md",

rule assets:
    input: "drcap/assets/assets.toml"
    output: CACHE / "assets.txt"
    log: f"{LOGS}/assets.log"
    shell: f"drcap assets fetch {LOGGED} && drcap assets list > {{output:q}}"

rule datastore:
    input: rules.assets.output, CHECKPOINTS
    output: CACHE / f"datastore-{PLAN.profile}.json"
    log: f"{LOGS}/datastore.log"
    threads: THREADS
    resources: gpu=GPUS, mem_mb=MEMORY
    priority: 3 * FIRST
    shell: f"python -m workflow datastore {{output:q}} {OPTIONS} --seed {SEED} {LOGGED}"

rule corpora:
    input: rules.assets.output, graph.code("drcap/data/", "soundscapes/"), PLAN.prepared
    output: CACHE / f"corpora-{PLAN.profile}.txt"
    log: f"{LOGS}/corpora.log"
    threads: THREADS
    resources: mem_mb=MEMORY
    priority: FIRST
    shell: f"python -m workflow corpora {OPTIONS} 2>&1 >{{output:q}} | tee {{log:q}}"

rule clap:
    input: rules.corpora.output, graph.code("drcap/clap/")
    output: CLAP
    log: f"{LOGS}/clap-seed-{{seed}}.log"
    threads: THREADS
    resources: gpu=GPUS, mem_mb=MEMORY
    priority: FIRST
    params: f"{LAUNCH} drcap.cli train clap {OPTIONS}"
    shell: "{params} --seed {wildcards.seed} 2>&1 >{output:q} | tee {log:q}"

for system in ("drcap", SEEN):
    rule:
        name: f"space_{system}"
        input: CLAP.format(seed=0), graph.code("drcap/retrieval/", "drcap/joint_space")
        output: MADE / f"space-{system}.json"
        log: f"{LOGS}/space-{system}.log"
        threads: THREADS if system == "drcap" else 1  # beside the ablations' jobs
        resources: gpu=GPUS, mem_mb=MEMORY
        priority: FIRST
        params: system  # in `shell` it would be the last one of the loop
        shell: f"python -m workflow space {{params}} {{output:q}} {OPTIONS} {LOGGED}"

for place, batch in enumerate(PLAN.batches):
    rule:
        name: f"captions_{batch.name}"
        input:
            sorted({MADE / f"space-{each.clap}.json" for each in batch.trainings}),
            graph.code("drcap/captioner/", "drcap/projection", "drcap/systems/"),
        output: PLAN.captions(batch.experiments), touch(PLAN.captioned(batch))
        params: batch.options
        log: f"{LOGS}/{batch.name}.log"
        resources: gpu=GPUS, mem_mb=MEMORY
        priority: FIRST * (2 if PLAN.is_early(batch) else 1) - 1 - place
        shell: f"drcap experiment {{params}} --captions-only {OPTIONS} {LOGGED}"

for scoring, experiments in PLAN.scorings.items():
    rule:
        name: f"scores_{scoring}"
        input: PLAN.captions(experiments), graph.code("drcap/evaluation/")
        output: touch(PLAN.scored(experiments))
        params: " ".join(each.name for each in experiments), lacking=graph.lacking_metrics()
        log: f"{LOGS}/scores_{scoring}.log"
        resources: mem_mb=max(MEMORY, graph.SPICE)
        priority: 2 * FIRST
        shell: f"python -m workflow scores {{params[0]}} {OPTIONS} {LOGGED}"

rule table:
    input:
        lambda wildcards: PLAN.scored(TABLES[wildcards.table].experiments(PLAN.seeds)),
        graph.code("drcap/experiments/", "drcap/evaluation/bootstrap"),
    output:
        multiext(f"{REPORTS}/tables/{{table}}", ".csv", ".md"), touch(MADE / "{table}.txt")
    params: " ".join(f"--seeds {seed}" for seed in PLAN.seeds)
    log: f"{LOGS}/{{table}}.log"
    resources: mem_mb=1_000
    wildcard_constraints: table="|".join(TABLES)
    priority: 2 * FIRST
    shell: f"python -m workflow table {{wildcards.table}} {{params}} {OPTIONS} {LOGGED}"

for notebook in PLAN.notebooks:
    rule:
        name: f"notebook_{notebook}"
        input:
            [] if "05" <= notebook != "13_playground" else rules.datastore.output,
            sorted(map(str, Path("reports/real").glob("*.csv"))) if notebook >= "14" else [],
            CLAP.format(seed=SEED) if "01" <= notebook < "03" else [],
            PLAN.needs(notebook), graph.code("drcap/", "soundscapes/"), CHECKPOINTS,
            notebook=f"notebooks/{notebook}.ipynb",
        output: graph.outputs(notebook, REPORTS), notebook=f"{REPORTS}/notebooks/{notebook}.ipynb"
        params: PLAN.parameters(notebook)
        log: f"{LOGS}/{notebook}.log"
        threads: THREADS if notebook in graph.FIRST else 1
        resources: gpu=GPUS, mem_mb=MEMORY
        priority: 3 * FIRST if notebook in graph.FIRST else graph.priority(notebook)
        shell:
            "python -m workflow notebook {input.notebook:q} {output.notebook:q}"
            " {params} --log {log:q}"

rule report:
    input: PLAN.results, PLAN.written, "workflow/summary.py", "workflow/costs.py"
    output: [f"{REPORTS}/{name}" for name in ("summary.md", "costs.md", "costs.csv")]
    log: f"{LOGS}/report.log"
    shell: f"python -m workflow summary {REPORTS} {LOGGED}"
