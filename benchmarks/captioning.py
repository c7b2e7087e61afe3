"""The time to caption the ten animal recordings in one call, and each further clip.

The first is one `drcap caption` in a process of its own, loading included; the second
is taken on a model that is loaded and warm. Printed as a Markdown table.

    python benchmarks/captioning.py [--beams N] [--rounds R]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from tabulate import tabulate

from drcap import assets
from drcap.audio import find_recordings
from drcap.environment import hush
from drcap.systems.drcap import DRCap

DRCAP = [sys.executable, "-m", "drcap.cli"]


def seconds_of_one_call(folder: Path, beams: int) -> float:
    """Caption a folder from the command line; return the seconds it took."""
    command = [*DRCAP, "caption", "--beams", str(beams), str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_a_clip(recordings: list[Path], beams: int, rounds: int) -> list[float]:
    """Return the seconds a recording of each round, on a model that is warm."""
    hush()
    model = DRCap.from_pretrained()
    model.caption(recordings, num_beams=beams)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        results = model.caption(recordings, num_beams=beams)
        seconds.append((time.perf_counter() - start) / len(recordings))
        assert all(result.caption for result in results)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = assets.asset_path("animal-recordings")
    recordings = find_recordings([folder])
    seconds_of_one_call(folder, options.beams)  # builds the datastore where it is not
    one_call = seconds_of_one_call(folder, options.beams)
    further = seconds_a_clip(recordings, options.beams, options.rounds)

    print(f"{options.beams} beams, {torch.get_num_threads()} threads\n")
    rows = [
        (f"{len(recordings)} recordings in one call, loading included", one_call),
        ("a further recording, median round", statistics.median(further)),
        ("a further recording, slowest round", max(further)),
    ]
    headers = ["what", "seconds"]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".2f"))


if __name__ == "__main__":
    main()
