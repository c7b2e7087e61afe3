"""What a job asks of a machine: operations, bytes and time beside the accelerator."""

from dataclasses import dataclass, field

ADAM = 16  # bytes a trained parameter: itself, gradient and both moments in float32
OVERHEAD = 1.5 * 2**30  # bytes of the GPU's context, workspace and fragments
LARGE, SMALL = 0.4, 0.25  # share of the peak that large and small networks reach


@dataclass(frozen=True)
class Cost:
    """One way to run a job, on one card."""

    operations: float  # floating-point operations, of all its cards together
    memory: float = 0.0  # bytes
    sharded: float = 0.0  # bytes of them that more cards may cut among themselves
    traffic: float = 0.0  # bytes of weights that are read, one card's
    blocks: float = 0.0  # blocks of a network run one after another
    exchanged: float = 0.0  # bytes that pass between cards where weights are sharded


@dataclass(frozen=True)
class Job:
    """One job of a profile, and the ways to run it."""

    name: str
    ways: dict[str, Cost] = field(default_factory=dict)  # "": as configured
    disk: float = 0.0  # bytes that it leaves
    core_seconds: float = 0.0  # of processor time beside the accelerator's
    utilisation: float = LARGE
    divides: bool = False  # cards do parts of it by themselves
    within: bool = False  # another job of the profile holds it
