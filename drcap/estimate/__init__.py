"""What a profile's jobs cost, before any of them starts.

- `sizes.py`         clips and captions of the profile's corpora
- `shapes.py`        parameters, operations and bytes of an architecture, by arithmetic
- `accelerators.py`  what named GPUs, and this machine, compute and hold
- `cost.py`          what a job asks of a machine
- `encoder_jobs.py`, `captioner_jobs.py`, `jobs.py`   the jobs, as a configuration sizes
  them
- `report.py`        which job fits on what, and for how long it runs
"""

from drcap.estimate.accelerators import ACCELERATORS, Accelerator, this_machine
from drcap.estimate.cost import Cost, Job
from drcap.estimate.jobs import profile_jobs
from drcap.estimate.report import Estimate, estimate, profile_report
from drcap.estimate.shapes import LanguageModelShape, language_model_shape

__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "Cost",
    "Estimate",
    "Job",
    "LanguageModelShape",
    "estimate",
    "language_model_shape",
    "profile_jobs",
    "profile_report",
    "this_machine",
]
