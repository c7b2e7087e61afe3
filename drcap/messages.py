"""The libraries' own messages and bars, kept off the screen."""

import warnings


def hush() -> None:
    """Silence warnings, and what transformers says and draws while it loads."""
    from transformers.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
