"""Datastores of up to 450,000 captions: built, indexed, searched, drawn from.

The rows are synthetic, 1,024 wide, made block by block and stored at float16. Each job
has a process to itself, whose peak memory is told twice: what it allocated, and all
that was resident, pages of mapped files among it. A plain full-matrix form stands
beside the smaller ones. Printed as Markdown tables; written with a figure and run.json
to reports/benchmarks/scale.

    python benchmarks/scale.py [--captions N ...] [--output DIR] [--scratch DIR]
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import psutil
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from tabulate import tabulate

from drcap import paths
from drcap.atomic import write_json, write_text
from drcap.clap import CLAP
from drcap.environment import hush
from drcap.plots import save_figure
from drcap.plots.style import INK, THOUSANDS, headline, styled
from drcap.projection import project
from drcap.record import run_record
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.build import build_datastore
from drcap.retrieval.index import INDEXES, recall
from drcap.retrieval.similarity_selection import select_similar

SIZES = (10_000, 50_000, 150_000, 450_000)  # the paper's datastore last
QUERIES = 49_274  # captions that similarity selection draws for, and rows of a support
PROJECTED = 1_000  # audio embeddings that are projected
SEARCHED, BATCH, TOP_K = 512, 64, 3
ALONE = 8  # queries searched one at a time
PLAIN, PLAIN_QUERIES = 50_000, 2_000  # largest datastore of the plain forms
BAND, TEMPERATURE = (0.75, 0.85), 0.05
CLUSTERS, ROWS, ELSEWHERE = 500, 512, 10**7  # queries are rows that no datastore has
MB, GB = 1e6, 1e9
JOBS = {  # label in the figure -> job, and its time that is drawn
    "build on disk": ("build", "seconds"),
    "index: ivf": ("search, ivf", "index_seconds"),
    "index: hnsw": ("search, hnsw", "index_seconds"),
    "select": ("select", "seconds"),
    "project": ("project", "seconds"),
}
MEMORY_LIMIT = 4.0  # GB that any job may have resident


@cache
def centres(dim: int) -> np.ndarray:
    """Return the clusters' centres, (CLUSTERS, dim) float32, unit rows."""
    rows = np.random.default_rng(0).standard_normal((CLUSTERS, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def synthetic_rows(first: int, count: int, dim: int) -> np.ndarray:
    """Return so many rows of an endless matrix, (count, dim) float32, unit rows.

    Within a cluster the cosine is 0.8 on average, and spread by a few directions in
    which the rows vary most, as embeddings do.
    """
    start = first // ROWS
    blocks = [_block(n, dim) for n in range(start, -(-(first + count) // ROWS))]
    return np.concatenate(blocks)[first - start * ROWS :][:count]


def _block(number: int, dim: int) -> np.ndarray:
    random = np.random.default_rng(number)
    variances = 1 / np.arange(1, dim + 1)
    spread = 0.5 * np.sqrt(variances / variances.sum()).astype(np.float32)
    rows = random.standard_normal((ROWS, dim), dtype=np.float32) * spread
    rows += centres(dim)[random.integers(CLUSTERS, size=ROWS)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class SyntheticCLAP(CLAP):
    """Embeds 'synthetic caption 000017' as row 17, and knows how long it took."""

    fingerprint = "synthetic"

    def __init__(self, dim: int):
        self.dim = dim
        self.seconds = 0.0

    def encode_audio(self, waveforms):
        raise NotImplementedError

    def encode_text(self, captions):
        start = time.perf_counter()
        numbers = [int(caption.split()[-1]) for caption in captions]
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
        rows = synthetic_rows(numbers[0], len(numbers), self.dim)
        self.seconds += time.perf_counter() - start
        return torch.from_numpy(rows)


@contextmanager
def watched() -> Iterator[dict]:
    """Fill a dict with the seconds of a block and the process's peak memory, bytes."""
    process, done, told = psutil.Process(), threading.Event(), {}

    def watch() -> None:
        told.update(allocated=0, resident=0)
        while True:
            memory = process.memory_info()
            files = getattr(memory, "shared", 0)  # only Linux tells them apart
            told["resident"] = max(told["resident"], memory.rss)
            told["allocated"] = max(told["allocated"], memory.rss - files)
            if done.wait(0.005):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        yield told
    finally:
        told["seconds"] = time.perf_counter() - start
        done.set()
        watcher.join()


def build(folder: Path, captions: int, dim: int) -> dict:
    """Build a datastore by shards at float16; the encoder's time does not count."""
    texts = [f"synthetic caption {number:06}" for number in range(captions)]
    clap = SyntheticCLAP(dim)
    with watched() as told:
        build_datastore(folder, texts, clap, dtype="float16")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return told | {"seconds": told["seconds"] - clap.seconds, "bytes": size}


def search(folder: Path, index: str) -> dict:
    """Load a datastore, index it and search it: by batches, one by one, for recall."""
    with watched() as told:
        start = time.perf_counter()
        stored = CaptionDatastore.load(folder)
        told["load_seconds"] = time.perf_counter() - start
        content = (stored.captions, stored.embeddings, stored.encoder)
        datastore = CaptionDatastore(*content, index)
        queries = synthetic_rows(ELSEWHERE, SEARCHED, datastore.dim)
        told["index_seconds"] = _seconds(lambda: datastore.searcher)
        for name, size, total in (("", BATCH, SEARCHED), ("alone_", 1, ALONE)):
            datastore.search(queries[:size], TOP_K)  # starts the threads
            batches = [queries[n : n + size] for n in range(0, total, size)]
            spent = _seconds(lambda b=batches: [datastore.search(q, TOP_K) for q in b])
            told[f"{name}milliseconds"] = 1e3 * spent / total
        told["recall"] = recall(datastore, queries, TOP_K)
    return told


def select(folder: Path, queries: int) -> dict:
    """Draw similar captions for each of so many queries."""
    datastore = CaptionDatastore.load(folder)
    rows = synthetic_rows(ELSEWHERE, queries, datastore.dim)
    with watched() as told:
        found = select_similar(rows, datastore, k=TOP_K, progress=False)
    full = sum(len(matches) == TOP_K for matches in found)
    return told | {"share_with_all": full / queries}


def project_all(folder: Path, support: int) -> dict:
    """Project 1,000 embeddings onto as many rows of the file as the support has."""
    datastore = CaptionDatastore.load(folder)
    rows = synthetic_rows(ELSEWHERE, PROJECTED, datastore.dim)
    with watched() as told:
        project(torch.from_numpy(rows), datastore.embeddings[:support], TEMPERATURE)
    return told


def beside(folder: Path) -> dict:
    """Time each function beside its plain full-matrix form, on the same queries."""
    datastore = CaptionDatastore.load(folder)
    captions = datastore.embeddings.astype(np.float32)
    queries = synthetic_rows(ELSEWHERE, PLAIN_QUERIES, datastore.dim)
    few, support = queries[:BATCH], torch.from_numpy(captions)
    tensor = torch.from_numpy(queries[:PROJECTED])
    pairs = {
        "exact search of 64 queries": (
            lambda: datastore.search(few, TOP_K),
            lambda: np.argpartition(-(few @ captions.T), TOP_K, axis=1)[:, :TOP_K],
        ),
        f"selection for {PLAIN_QUERIES:,} queries": (
            lambda: select_similar(queries, datastore, progress=False),
            lambda: _select_plainly(queries, captions),
        ),
        f"projection of {PROJECTED:,} embeddings": (
            lambda: project(tensor, datastore.embeddings, TEMPERATURE),
            lambda: torch.softmax(tensor @ support.T / TEMPERATURE, 1) @ support,
        ),
    }
    return {name: _compared(*both) for name, both in pairs.items()}


def _select_plainly(queries: np.ndarray, captions: np.ndarray) -> list[np.ndarray]:
    similarities = queries @ captions.T
    inside = (similarities >= BAND[0]) & (similarities <= BAND[1])
    random = np.random.default_rng(0)
    return [random.permutation(np.flatnonzero(row))[:TOP_K] for row in inside]


def _compared(ours: Callable, plain: Callable) -> dict:
    """Run both twice, the first time to warm up; return what each took and added."""
    told = {}
    for name, work in (("drcap", ours), ("plain", plain)):
        work()
        before = psutil.Process().memory_info().rss
        with watched() as run:
            work()
        told[name] = {"seconds": run["seconds"], "added": run["resident"] - before}
    return told


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_own_process(job: Callable[..., dict], *arguments) -> dict:
    """Run a job in a fresh process, so that its peak memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(job, *arguments).result()


def run(captions: int, queries: int, dim: int, folder: Path) -> dict:
    """Return what each job took at one size."""
    jobs = {"build": (build, folder, captions, dim)}
    jobs |= {f"search, {index}": (search, folder, index) for index in INDEXES}
    jobs["select"] = (select, folder, queries)
    jobs["project"] = (project_all, folder, min(captions, queries))
    if captions <= PLAIN:
        jobs["beside"] = (beside, folder)
    result = {"captions": captions}
    for name, (job, *arguments) in jobs.items():
        start = time.perf_counter()
        result[name] = in_own_process(job, *arguments)
        spent = time.perf_counter() - start
        print(f"{captions} captions, {name}: {spent:.1f} s", file=sys.stderr)
    return result


def tables(results: list[dict], queries: int) -> str:
    """Return the results as Markdown tables."""
    memory = ["allocated, GB", "resident, GB"]
    headers = ["captions", "job", "seconds", *memory]
    rows = [row for each in results for row in _job_rows(each, queries)]
    parts = [_table(headers, rows, ("", "", ".1f", ".2f", ".2f"))]
    headers = ["captions", "index", "indexing, s", f"ms a query of {BATCH}"]
    headers += ["ms alone", f"recall@{TOP_K}", *memory]
    rows = [_search_row(each, index) for each in results for index in INDEXES]
    formats = ("", "", ".1f", ".2f", ".1f", ".3f", ".2f", ".2f")
    parts.append(_table(headers, rows, formats))
    headers = ["captions", "what", "how", "seconds", "memory added, MB"]
    if rows := [row for each in results for row in _plain_rows(each)]:
        parts.append(_table(headers, rows, ("", "", "", ".3f", ".0f")))
    return "\n\n".join(parts) + "\n"


def _table(columns: list[str], rows: list[tuple], formats: tuple[str, ...]) -> str:
    return tabulate(rows, columns, tablefmt="github", floatfmt=formats)


def _job_rows(result: dict, queries: int) -> Iterator[tuple]:
    captions = result["captions"]
    labels = {
        "build": "build, less encoding",
        "select": f"select for {queries:,} queries",
        "project": f"project {PROJECTED:,} on {min(captions, queries):,} rows",
    }
    for name, label in labels.items():
        job = result[name]
        yield f"{captions:,}", label, job["seconds"], *_memory(job)


def _memory(job: dict) -> tuple[float, float]:
    return job["allocated"] / GB, job["resident"] / GB


def _search_row(result: dict, index: str) -> tuple:
    job = result[f"search, {index}"]
    names = ("index_seconds", "milliseconds", "alone_milliseconds", "recall")
    values = (job[name] for name in names)
    return (f"{result['captions']:,}", index, *values, *_memory(job))


def _plain_rows(result: dict) -> Iterator[tuple]:
    for what, both in result.get("beside", {}).items():
        for how, told in both.items():
            row = (f"{result['captions']:,}", what, how)
            yield *row, told["seconds"], told["added"] / MB


@styled
def plot_scale(results: Sequence[dict]) -> Figure:
    """Show seconds a job, milliseconds a query and peak memory over the captions.

    results : one of each size, as `run` returns them
    """
    figure, (jobs, search, memory) = plt.subplots(1, 3, figsize=(11.6, 3.9))
    for label, (job, name) in JOBS.items():
        _draw_sizes(jobs, results, label, [size[job][name] for size in results])
    for index in INDEXES:
        spent = [size[f"search, {index}"]["milliseconds"] for size in results]
        _draw_sizes(search, results, index, spent)
    for name in ("resident", "allocated"):
        largest = [max(_memories(size, name)) / GB for size in results]
        _draw_sizes(memory, results, name, largest)
    limit = {"color": INK, "linewidth": 0.8, "linestyle": "--", "label": "the limit"}
    memory.axhline(MEMORY_LIMIT, **limit)
    memory.legend(fontsize=8, loc="center left")
    jobs.set(ylabel="Time of a job (s)")
    search.set(ylabel="Time of a query, of 64 at once (ms)")
    memory.set(ylabel="Peak memory of the largest job (GB)", yscale="linear", ylim=0)
    return headline(figure, "What a datastore takes as it grows")


def _memories(size: dict, name: str) -> Iterator[float]:
    jobs = [job for job in size.values() if isinstance(job, dict)]
    return (job[name] for job in jobs if name in job)


def _draw_sizes(
    axes: Axes, results: Sequence[dict], label: str, values: Sequence[float]
) -> None:
    sizes = [size["captions"] for size in results]
    axes.plot(sizes, values, "o-", markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="Captions (N)")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params("x", rotation=30)
    axes.grid(True, which="major")
    axes.legend(fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, nargs="+", default=SIZES)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--dim", type=int, default=1_024)
    parser.add_argument("--output", type=Path, help="folder of the result")
    parser.add_argument("--scratch", type=Path, help="folder with room for datastores")
    options = parser.parse_args()
    hush()
    started, results = time.time(), []
    for captions in options.captions:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            store = Path(folder) / "datastore"
            results.append(run(captions, options.queries, options.dim, store))
    page = f"{options.dim} wide, float16, {torch.get_num_threads()} threads\n\n"
    page += tables(results, options.queries)
    print(page)
    folder = options.output or paths.REPORTS / "benchmarks" / "scale"
    write_json(folder / "result.json", {"sizes": results})
    write_text(folder / "result.md", page)
    save_figure(plot_scale(results), folder / "scale.png")
    sizes = {name: getattr(options, name) for name in ("captions", "queries", "dim")}
    write_json(folder / "run.json", run_record(started=started, seed=0, config=sizes))


if __name__ == "__main__":
    main()
