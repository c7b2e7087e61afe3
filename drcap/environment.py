"""What a process sets before its work: quiet libraries, threads that sleep when idle.

Neither changes a result. Commands, scripts, notebooks and the tests call these before
anything else; the modules of the method never do, so that importing drcap leaves a
user's own process as it is.
"""

import os
import sys
import warnings


def set_thread_policy() -> None:
    """Let idle OpenMP threads sleep; call it before torch is imported.

    By default they spin, and take the cores from the processes beside them. Also lets
    the CPU compute what an Apple GPU cannot. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def hush() -> None:
    """Silence Python's warnings, and transformers' messages and progress bars.

    For the rest of the process. Imports nothing: transformers reads the variables.
    """
    warnings.simplefilter("ignore")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:  # has read them already
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
