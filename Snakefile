"""The run graph: assets, corpora, CLAP, datastore, one rule a notebook, one page.

    snakemake --cores all --config profile=demo seed=0

What is up to date is not run again. A rule's own messages are kept in logs/<profile>/.
"""

import sys
from pathlib import Path


workdir: workflow.basedir


sys.path.insert(0, str(workflow.basedir))  # for whoever calls from another folder

from drcap import config as settings
from drcap import paths
from workflow.outputs import NOTEBOOKS, outputs

PROFILE = config.get("profile", "demo")
SEED = int(config.get("seed", 0))
settings.profile(PROFILE)  # an unknown one is an error before anything runs

REPORTS = f"reports/{PROFILE}"
LOGS = f"logs/{PROFILE}"
CACHE = paths.home() / "reproduce"  # what the cache holds, as files to depend on
RESULTS = [f"{REPORTS}/{path}" for name in NOTEBOOKS for path in outputs(name)]
COMMANDS = ("drcap/cli/", "drcap/doctor.py")  # no result depends on them
CODE = [str(path) for path in sorted(Path("drcap").rglob("*.py"))]
CODE = [path for path in CODE if not path.startswith(COMMANDS)]
CORPORA = [path for path in CODE if path.startswith("drcap/data/soundscapes/")]
CLAP = [path for path in CODE if path.startswith(("drcap/clap/", "drcap/config/"))]
ABOUT_CLAP = ("01_clap_training", "02_modality_gap")
CHECKPOINTS = [str(path) for path in sorted(Path("drcap/checkpoints").rglob("*.*"))]


rule all:
    input:
        f"{REPORTS}/summary.md",
        RESULTS,
        [f"{REPORTS}/notebooks/{name}.ipynb" for name in NOTEBOOKS],
    message: f"Results: {REPORTS}/summary.md"


rule assets:
    input: "drcap/assets.toml"
    output: CACHE / "assets.txt"
    log: f"{LOGS}/assets.log"
    message: "Weights and data (log: {log})"
    shell: "drcap assets fetch 2>&1 | tee {log} && drcap assets list > {output}"


rule datastore:
    input: rules.assets.output, CHECKPOINTS
    output: CACHE / f"datastore-{PROFILE}.json"
    params: f"--profile {PROFILE} --seed {SEED}"
    log: f"{LOGS}/datastore.log"
    message: "Datastore of captions (log: {log})"
    threads: workflow.cores
    shell: "python -m workflow.datastore {output} {params} 2>&1 | tee {log}"


rule corpora:
    input: rules.assets.output, CORPORA
    output: CACHE / f"corpora-{PROFILE}.txt"
    log: f"{LOGS}/corpora.log"
    message: "Procedural corpora (log: {log})"
    threads: workflow.cores
    shell:
        "python -m workflow.soundscapes --profile {PROFILE} 2>&1 >{output} | tee {log}"


rule clap:
    input: rules.corpora.output, CLAP
    output: CACHE / f"clap-{PROFILE}-seed-{SEED}.txt"
    log: f"{LOGS}/clap.log"
    message: "CLAP model (log: {log})"
    threads: workflow.cores
    shell:
        "python -m workflow.train_clap --profile {PROFILE} --seed {SEED}"
        " 2>&1 >{output} | tee {log}"


for place, notebook in enumerate(NOTEBOOKS):

    rule:
        name: f"notebook_{notebook}"
        input:
            rules.datastore.output,
            rules.clap.output if notebook in ABOUT_CLAP else [],
            CODE,
            CHECKPOINTS,
            notebook=f"notebooks/{notebook}.ipynb",
        output:
            [f"{REPORTS}/{path}" for path in outputs(notebook)],
            notebook=f"{REPORTS}/notebooks/{notebook}.ipynb",
        params: f"-p profile={PROFILE} -p seed={SEED} -p reports_dir={REPORTS}"
        log: f"{LOGS}/{notebook}.log"
        message: "{input.notebook} (log: {log})"
        threads: min(workflow.cores, 4)
        priority: len(NOTEBOOKS) - place  # in reading order
        shell:
            "python -m workflow.run_notebook {input.notebook} {output.notebook}"
            " {params} --log {log}"


rule report:
    input: RESULTS, "workflow/summary.py"
    output: f"{REPORTS}/summary.md"
    log: f"{LOGS}/report.log"
    message: "{output} (log: {log})"
    shell: "python -m workflow.summary {REPORTS} 2>&1 | tee {log}"
