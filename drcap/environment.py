"""What a process sets before its work: quiet libraries, threads that sleep when idle.

Neither changes a result.
"""

import os
import warnings


def hush() -> None:
    """Silence Python's warnings, and transformers' messages and progress bars."""
    from transformers.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def set_thread_policy() -> None:
    """Let idle OpenMP threads sleep; call it before torch is imported.

    By default they spin, and take the cores from the processes beside them. What the
    user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
