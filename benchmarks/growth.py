"""How the demo's jobs grow with captions, steps, clips and cores, at three sizes each.

Captions are embedded, a captioner of the grid is trained, clips are captioned, captions
are scored: on one core and on all of them, each in a process of its own. Eight minutes
on two cores. Printed as a Markdown table; written to reports/benchmarks/growth, where
costs.md of a profile takes it from.

    python benchmarks/growth.py [--output FOLDER] [--scale SHARE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from drcap import paths
from drcap.atomic import write_text
from drcap.record import keep_records, run_record

PROFILE, DIM = "demo", 256
SIZES = {  # what grows -> in which three sizes
    "captions embedded": (500, 1_000, 2_000),
    "steps of a captioner": (8, 16, 32),
    "clips captioned": (20, 40, 80),
    "captions scored": (100, 200, 400),
}


def jobs() -> dict[str, Callable[[int], object]]:
    """Return the jobs, each a function of its size; what they share is loaded."""
    from drcap.captioner.generate import generate
    from drcap.captioner.train import train
    from drcap.config import experiments_profile, override
    from drcap.devices import fastest_dtype
    from drcap.environment import hush
    from drcap.evaluation.metrics import score
    from drcap.load import load_clap
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.default import default_captions
    from drcap.systems.drcap import SHIPPED, DRCap

    hush()
    clap, captions = load_clap(), default_captions(2_400)
    recipe = experiments_profile(PROFILE).captioner
    anything = {"retrieval": {"sim_min": -1.0, "sim_max": 1.0}}
    rows = np.random.default_rng(0).standard_normal((len(captions), DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    datastore = CaptionDatastore(captions, rows.astype(np.float32), "random")

    def trained(steps: int):
        schedule = dict.fromkeys(("steps", "validate_every", "save_every"), steps)
        schedule |= {"warmup_steps": 0}
        config = override(override(recipe, anything), {"training": schedule})
        with tempfile.TemporaryDirectory() as folder:
            train(config, captions, datastore, Path(folder))

    captioner = DRCap.from_pretrained(SHIPPED).captioner  # of the same size
    captioner.causal_lm().to(fastest_dtype(captioner.device))
    embeddings = clap.encode_text(captions[: SIZES["clips captioned"][-1]])

    def captioned(clips: int):
        similar = [captions[3 * row : 3 * row + 3] for row in range(clips)]
        generate(captioner, embeddings[:clips], similar, recipe.generation)

    def scored(count: int):  # others at each size: a known caption costs nothing
        texts = captions[count : 2 * count]
        return score(texts, [[text] for text in captions[:count]])

    works = clap.encode_text, trained, captioned, scored
    inputs = (lambda size: captions[:size]), int, int, int
    return {
        what: lambda size, work=work, given=given: work(given(size))
        for what, work, given in zip(SIZES, works, inputs, strict=True)
    }


def measure(share: float) -> dict[str, list[tuple[int, float]]]:
    """Return sizes and seconds of every job in this process."""
    measured = {}
    for what, job in jobs().items():
        sizes = [max(2, round(share * size)) for size in SIZES[what]]
        job(2)  # starts what there is to start
        for size in sizes:
            started = time.perf_counter()
            job(size)
            spent = time.perf_counter() - started
            measured.setdefault(what, []).append((size, spent))
    return measured


def measured_on(cores: int, share: float) -> dict[str, list[tuple[int, float]]]:
    """Return what `measure` does in a process of so many threads."""
    command = [sys.executable, __file__, "--worker", "--scale", str(share)]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = paths.REPORTS / "benchmarks" / "growth"
    parser.add_argument("--output", type=Path, default=default)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.scale)))
        return
    started, rows = time.time(), []
    for cores in sorted({1, os.cpu_count() or 1}):
        for what, points in measured_on(cores, options.scale).items():
            sizes, seconds = zip(*points, strict=True)
            row = {"what": what, "cores": cores, "at": ", ".join(map(str, sizes))}
            row["seconds"] = ", ".join(f"{spent:.1f}" for spent in seconds)
            slope, start = np.polyfit(sizes, seconds, 1)
            rows.append(row | {"seconds each": f"{slope:.3g}", "and": f"{start:.2g}"})
    frame = pd.DataFrame(rows)
    write_text(options.output / "result.csv", frame.to_csv(index=False))
    record = {"growth": run_record(started=started, seed=0, profile=PROFILE)}
    keep_records(options.output, "benchmarks", record)
    print(frame.to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
