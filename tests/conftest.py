"""Tests that load real models need the fetched assets: without them they fail."""

import pytest
from doubles import tiny_language_model

from drcap import assets


def pytest_runtest_setup(item):
    if item.get_closest_marker("slow"):
        missing = [each.name for each in assets.select() if assets.problem(each)]
        if missing:
            pytest.fail(f"no {', '.join(missing)}: run `make setup`", pytrace=False)


@pytest.fixture(scope="session")
def language_model(tmp_path_factory) -> str:
    """The folder of a tiny language model."""
    return str(tiny_language_model(tmp_path_factory.mktemp("language-model")))
