"""What all tests share: threads, a tiny language model, what each marker needs.

`slow` tests load real models and `graph` tests run the whole smoke graph: without the
fetched assets they fail. `gpu` tests are skipped where there is no accelerator.
"""

import os
import shutil

import pytest

from drcap import assets, environment

environment.set_thread_policy()
# of processes that have a core each, threads are in the way; torch reads this on import
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item):
    """Fail a test whose assets are missing; skip one whose accelerator is."""
    if item.get_closest_marker("slow") or item.get_closest_marker("graph"):
        missing = [asset.name for asset in assets.select() if assets.problem(asset)]
        if missing:
            pytest.fail(f"no {', '.join(missing)}: run `make setup`", pytrace=False)
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an accelerator")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, with a microphone that beeps.

    Of one module: the event loop that it keeps running would stop Snakemake's.
    """
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: `apt-get install chromium`")
    quiet = ["--mute-audio", "--autoplay-policy=no-user-gesture-required"]
    quiet += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as driver:
        options = {"executable_path": program, "args": ["--no-sandbox", *quiet]}
        chromium = driver.chromium.launch(**options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def language_model(tmp_path_factory) -> str:
    """The folder of a tiny language model."""
    from doubles import tiny_language_model

    return str(tiny_language_model(tmp_path_factory.mktemp("language-model")))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder, which is not there yet."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def drcap(monkeypatch, capsys):
    """Run the command `drcap`; return its exit code, stdout and stderr."""
    from drcap.cli.__main__ import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["drcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run
