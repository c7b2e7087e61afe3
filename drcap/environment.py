"""What a process sets before its work: quiet libraries, threads that sleep when idle.

Nothing here changes a result.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator


def hush() -> None:
    """Silence Python's warnings, and transformers' messages and progress bars."""
    from transformers.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep standard error, and transformers' progress bars, off the screen."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        if bars:
            logging.enable_progress_bar()


def set_thread_policy() -> None:
    """Let idle OpenMP threads sleep; call it before torch is imported.

    By default they spin, and take the cores from the processes beside them. What the
    user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
