"""A figure of what datastores take as they grow: time, and memory."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from drcap.plots.style import INK, headline, styled

INDEXES = ("exact", "ivf", "hnsw")
JOBS = {
    "build on disk": ("build", "seconds"),
    "index: ivf": ("search, ivf", "index_seconds"),
    "index: hnsw": ("search, hnsw", "index_seconds"),
    "select": ("select", "seconds"),
    "project": ("project", "seconds"),
}
LIMIT = 4.0  # GB that any job may have resident


@styled
def plot_scale(results: Sequence[dict]) -> Figure:
    """Show seconds a job, milliseconds a query and peak memory over the captions.

    results : one of each size, as `benchmarks/scale.py` writes them to result.json
    """
    figure, (jobs, search, memory) = plt.subplots(1, 3, figsize=(11.6, 3.9))
    for label, (job, name) in JOBS.items():
        _draw(jobs, results, label, [each[job][name] for each in results])
    for index in INDEXES:
        spent = [each[f"search, {index}"]["milliseconds"] for each in results]
        _draw(search, results, index, spent)
    for name, label in (("resident", "resident"), ("allocated", "allocated")):
        _draw(memory, results, label, [_largest(each, name) for each in results])
    memory.axhline(LIMIT, color=INK, linewidth=0.8, linestyle="--", label="the limit")
    memory.legend(fontsize=8, loc="center left")
    jobs.set(ylabel="Time of a job (s)")
    search.set(ylabel="Time of a query, of 64 at once (ms)")
    memory.set(ylabel="Peak memory of the largest job (GB)", yscale="linear", ylim=0)
    headline(figure, "What a datastore takes as it grows")
    return figure


def _draw(axes: Axes, results: Sequence[dict], label: str, values: list[float]) -> None:
    sizes = [each["captions"] for each in results]
    axes.plot(sizes, values, "o-", markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="Captions (N)")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params("x", rotation=30)
    axes.grid(True, which="major")
    axes.legend(fontsize=8)


def _largest(result: dict, name: str) -> float:
    """Return the most memory that any job of a size had, in GB."""
    jobs = (job for job in result.values() if isinstance(job, dict) and name in job)
    return max(job[name] for job in jobs) / 1e9
