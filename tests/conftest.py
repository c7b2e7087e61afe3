"""What all tests share: a tiny language model, an order, a process a core.

Tests that load real models need the fetched assets: without them they fail.
"""

import os

# of processes that have a core each, threads are in the way; torch reads this on import
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from doubles import tiny_language_model

from drcap import assets


def pytest_collection_modifyitems(items):
    """Put the run graph first: one process is busy with it while others do the rest."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")


def pytest_runtest_setup(item):
    if item.get_closest_marker("slow"):
        missing = [each.name for each in assets.select() if assets.problem(each)]
        if missing:
            pytest.fail(f"no {', '.join(missing)}: run `make setup`", pytrace=False)


@pytest.fixture(scope="session")
def language_model(tmp_path_factory) -> str:
    """The folder of a tiny language model."""
    return str(tiny_language_model(tmp_path_factory.mktemp("language-model")))
