"""Which job of a profile fits on which machine, in which way, and for how many hours.

A job runs as long as the slowest of three takes: its operations at a stated share of
the peak, reading the weights from memory, and starting one block after another. Where
weights are sharded, passing them between the cards is added. Estimates, for choosing a
machine and a way; a run's own record says what it took.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from drcap.estimate.accelerators import (
    ACCELERATORS,
    GIB,
    Accelerator,
    this_machine,
)
from drcap.estimate.cost import Cost, Job
from drcap.estimate.jobs import profile_jobs

BLOCK_SECONDS = 6e-4  # to start the kernels of a block, forward or backward
LINK = 20e9  # bytes/s between cards over PCIe
SHARDED = "sharded"


@dataclass(frozen=True)
class Estimate:
    """One job on one machine."""

    job: str
    machine: str
    fits: bool
    way: str  # in which it fits; "": as configured
    memory_gib: float  # of one card, in that way, or the least that was tried
    hours: float | None  # None where it does not fit


def estimate(job: Job, machine: Accelerator) -> Estimate:
    """Return the first way of a job that fits, or the one that needs the least."""
    tried = [
        (way, cost, cut)
        for way, cost in job.ways.items()
        for cut in _cuts(cost, machine)
    ]
    if not tried:
        return Estimate(
            job.name, machine.name, True, "", 0.0, _hours(job, None, machine)
        )
    for way, cost, cut in tried:
        memory = _memory(cost, cut, machine)
        if memory <= machine.memory:
            named = ", ".join(filter(None, (way, SHARDED * cut)))
            hours = _hours(job, cost, machine, cut)
            return Estimate(job.name, machine.name, True, named, memory / GIB, hours)
    least = min(_memory(cost, cut, machine) for _, cost, cut in tried)
    return Estimate(job.name, machine.name, False, "", least / GIB, None)


def profile_report(name: str, machines: Sequence[Accelerator] = ()) -> dict:
    """Return the estimates of a profile's jobs, JSON-ready.

    machines : by default the named accelerators and this one
    """
    machines = machines or (*ACCELERATORS, this_machine())
    jobs = profile_jobs(name)
    found = {job.name: [estimate(job, each) for each in machines] for job in jobs}
    apart = [job for job in jobs if not job.within]
    whole = zip(*(found[job.name] for job in apart), strict=True)
    return {
        "profile": name,
        "machines": [asdict(machine) for machine in machines],
        "jobs": [
            {
                "job": job.name,
                "disk_gib": job.disk / GIB,
                "on": list(map(asdict, found[job.name])),
            }
            for job in jobs
        ],
        "hours": list(map(_hours_in_all, whole)),
        "disk_gib": sum(job.disk for job in apart) / GIB,
    }


def _hours_in_all(estimates: Sequence[Estimate]) -> float | None:
    """Return how long jobs take one after another; None if one does not fit."""
    hours = [each.hours for each in estimates]
    return None if None in hours else sum(hours)


def _cuts(cost: Cost, machine: Accelerator) -> list[bool]:
    """Return whether weights may be whole, and cut among the cards."""
    return [False, True] if machine.cards > 1 and cost.sharded else [False]


def _memory(cost: Cost, cut: bool, machine: Accelerator) -> float:
    spared = cost.sharded * (1 - 1 / machine.cards) if cut else 0.0
    return cost.memory - spared


def _hours(
    job: Job, cost: Cost | None, machine: Accelerator, cut: bool = False
) -> float:
    prepared = job.core_seconds / machine.cores
    if cost is None:
        return prepared / 3_600
    share = min(1.0, job.utilisation * machine.gain)
    rate = machine.operations * share * machine.cards
    alone = machine.cards if job.divides else 1  # cards that share a step all read it
    seconds = max(
        cost.operations / rate,
        cost.traffic / machine.bandwidth / alone,
        cost.blocks * BLOCK_SECONDS / alone,
        prepared,
    )
    if cut:
        seconds += cost.exchanged * (1 - 1 / machine.cards) / LINK
    return seconds / 3_600
