"""Similarity selection and projection against their plain full-matrix forms.

All run in this process on the same synthetic unit rows, must give equal results, and
are printed as a Markdown table. Peak memory is what each adds to the process.

    python benchmarks/retrieval.py [--captions N] [--queries B] [--dim D]
"""

import argparse
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from tabulate import tabulate

from drcap.projection import BLOCK, project
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.similarity_selection import select_similar

BAND = (0.75, 0.85)
TEMPERATURE = 0.02


def clustered_rows(count: int, dim: int, seed: int) -> np.ndarray:
    """Return (count, dim) unit rows around 500 centres; many pairs lie in the band."""
    centres = np.random.default_rng(0).standard_normal((500, dim))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(500, size=count)]
    rows = rows + 0.5 * random.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def select_plainly(queries: np.ndarray, captions: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each query's band, out of the full (B, N) matrix."""
    similarities = queries @ captions.T
    inside = (similarities >= BAND[0]) & (similarities <= BAND[1])
    return [np.flatnonzero(row) for row in inside]


def project_plainly(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return equation 4 out of the full (B, N) matrix."""
    return torch.softmax(queries @ support.T / TEMPERATURE, dim=1) @ support


def products(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return the two products of equation 4 alone, which no exact form goes below."""
    return (queries @ support.T) @ support


def one_pass(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return equation 4 as `project` computes it for a support that fits in memory."""
    return project(queries, support, TEMPERATURE)


def blocks(queries: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    """Return equation 4 as `project` computes it for a larger support."""
    return project(queries, support, TEMPERATURE, block_size=BLOCK)


def measure(function: Callable[[], object]) -> tuple[object, float, float]:
    """Return the result, the seconds, and the peak of added memory in MB."""
    process = psutil.Process()
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return result, seconds, (peak - before) / 1e6


def check_selection(selected, bands: list[np.ndarray]) -> None:
    """Each draw is min(3, band) captions of the band; an edge may round either way."""
    for matches, band in zip(selected, bands, strict=True):
        inner = [m for m in matches if BAND[0] + 1e-5 < m.similarity < BAND[1] - 1e-5]
        assert {int(match.caption) for match in inner} <= set(band.tolist())
        assert abs(len(matches) - min(3, len(band))) <= len(matches) - len(inner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=384)
    sizes = parser.parse_args()
    captions = clustered_rows(sizes.captions, sizes.dim, seed=1)
    queries = clustered_rows(sizes.queries, sizes.dim, seed=2)
    names = [str(row) for row in range(len(captions))]
    datastore = CaptionDatastore(names, captions, "synthetic")
    audio, support = torch.from_numpy(queries), torch.from_numpy(captions)
    # starts the thread pools
    for form in (project_plainly, products, one_pass, blocks):
        form(audio[:100], support[:100])

    selected, *drcap_selection = measure(lambda: select_similar(queries, datastore))
    bands, *plain_selection = measure(lambda: select_plainly(queries, captions))
    check_selection(selected, bands)
    plainly, *plain_projection = measure(lambda: project_plainly(audio, support))
    _, *both_products = measure(lambda: products(audio, support))
    at_once, *one_pass_projection = measure(lambda: one_pass(audio, support))
    by_blocks, *block_projection = measure(lambda: blocks(audio, support))
    for projected in (at_once, by_blocks):
        torch.testing.assert_close(projected, plainly, atol=1e-4, rtol=0)

    print(
        f"{sizes.queries} queries, {sizes.captions} captions, D = {sizes.dim}, "
        f"{torch.get_num_threads()} threads\n"
    )
    rows = [
        ("similarity selection", "blocks (drcap)", *drcap_selection),
        ("similarity selection", "full matrix", *plain_selection),
        ("projection", "one pass (drcap, support in memory)", *one_pass_projection),
        ("projection", "blocks (drcap, larger support)", *block_projection),
        ("projection", "full matrix", *plain_projection),
        ("projection", "its two products alone, full matrix", *both_products),
    ]
    headers = ["what", "how", "seconds", "peak memory added, MB"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=("", "", ".2f", ".0f")))


if __name__ == "__main__":
    main()
