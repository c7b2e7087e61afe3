import os
import warnings

from transformers.utils import logging

from drcap.environment import hush, set_thread_policy


def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY")  # tests/conftest.py has set it
    set_thread_policy()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    set_thread_policy()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_libraries_are_hushed(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "filters", [])
    bars = logging.is_progress_bar_enabled()
    try:
        hush()
        warnings.warn("old", stacklevel=1)
        logging.get_logger("transformers").warning("loud")
        assert not logging.is_progress_bar_enabled()
        assert capsys.readouterr() == ("", "")
    finally:
        logging.set_verbosity_warning()
        if bars:
            logging.enable_progress_bar()
