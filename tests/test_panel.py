"""The playground: one pass, edits of the datastore, and the panel in a real browser."""

import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import ipywidgets
import numpy as np
import papermill
import pytest
import soundfile
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from IPython.display import display
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from papermill.iorw import load_notebook_node, write_ipynb

from drcap import notebook, panel, paths
from drcap.assets import asset_path
from drcap.captioner.model import Captioner
from drcap.config import Config, override
from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore
from drcap.systems.base import SILENCE
from drcap.systems.drcap import DRCap


@pytest.fixture(scope="module")
def model(language_model):
    changes = {
        "captioner": {"language_model": language_model, "lora_r": 2},
        "generation": {"num_beams": 2, "max_new_tokens": 6},
    }
    config = override(Config(), changes)
    clap = ToyCLAP()
    torch.manual_seed(0)
    captioner = Captioner.create(clap.dim, config.captioner, torch.float32)
    return DRCap(clap, captioner, config)


@pytest.fixture(scope="module")
def datastore(model):
    return CaptionDatastore.build(TOY_CAPTIONS, model.clap, progress=False)


@pytest.fixture
def recording(tmp_path) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    return tmp_path / "noise.wav"


def test_one_pass_is_the_models_own_and_lists_what_it_stands_on(
    model, datastore, recording
):
    audio_embed = model.embed(recording)
    caption, table = panel.caption_with(model, audio_embed, datastore, {})
    expected = model.caption(recording, datastore=datastore, support=datastore)
    assert caption == expected.caption
    prompt = table[table["in the prompt"] == "yes"]
    assert [*prompt["caption"]] == [m.caption for m in expected.similar_captions]
    similarities = datastore.embeddings @ audio_embed.numpy()
    weights = np.exp(similarities.astype(float) / model.clap.temperature)
    weights /= weights.sum()
    rows = [datastore.captions.index(text) for text in table["caption"]]
    np.testing.assert_allclose(table["similarity"], similarities[rows], atol=1e-5)
    np.testing.assert_allclose(table["weight"], weights[rows], rtol=1e-3, atol=1e-6)
    assert len(table) >= panel.HEAVIEST


def test_switches_change_the_pass(model, datastore, recording):
    audio_embed = model.embed(recording)
    off = {"retrieval": {"enabled": False}, "projection": {"enabled": False}}
    _, table = panel.caption_with(model, audio_embed, datastore, off)
    assert not (table["in the prompt"] == "yes").any()
    assert table["weight"].isna().all()
    limits = {"retrieval": {"sim_min": -1.0, "sim_max": 1.0, "top_k": 2}}
    _, drawn = panel.caption_with(model, audio_embed, datastore, limits, drawn=True)
    _, nearest = panel.caption_with(model, audio_embed, datastore, limits)
    for each in (drawn, nearest):
        assert (each["in the prompt"] == "yes").sum() == 2
    assert [*nearest["in the prompt"][:2]] == ["yes", "yes"]
    assert [*drawn["in the prompt"][:2]] != ["yes", "yes"]


def test_silence_is_no_event_and_no_captions_are_an_error(model, datastore):
    silent = torch.zeros(model.clap.dim)
    caption, table = panel.caption_with(model, silent, datastore, {})
    assert caption == SILENCE and table.empty
    empty = panel.edited(datastore, model, added=" \n", dropped="", kept=False)
    with pytest.raises(ConfigError, match="empty"):
        panel.caption_with(model, silent + 1, empty, {})


def test_edits_make_another_datastore_and_leave_the_first_alone(model, datastore):
    before = datastore.captions, datastore.embeddings.copy()
    first, second = TOY_CAPTIONS[:2]
    own = panel.edited(datastore, model, "a new one\n\n", f"{first}\nunknown", True)
    assert own.captions == [*TOY_CAPTIONS[1:], "a new one"]
    assert datastore.captions == before[0] == TOY_CAPTIONS
    np.testing.assert_array_equal(datastore.embeddings, before[1])
    alone = panel.edited(datastore, model, f"{second}\na new one", "", False)
    assert alone.captions == [second, "a new one"]


def test_the_panel_captions_anew_when_a_widget_moves(
    model, datastore, recording, monkeypatch
):
    passes = []

    def pass_through(model, audio_embed, datastore, changes, drawn):
        passes.append((len(datastore), changes, drawn))
        raise ConfigError("shown, not raised")

    monkeypatch.setattr(panel, "caption_with", pass_through)
    controls, _ = panel.panel(model, datastore, [recording]).children
    upload, recorder, *switches = controls.children
    named = {switch.description: switch for switch in switches}
    named["top k"].value = 1
    named["similarity selection"].value = True
    named["add"].value = "one more\nand another"
    named["tau"].value = 0.5
    sizes, changes, drawn = zip(*passes, strict=True)
    assert len(passes) == 5 and sizes[-1] == len(datastore) + 2 and drawn[-1]
    assert changes[-1]["retrieval"] == {"enabled": True, "top_k": 1}
    assert changes[-1]["projection"]["temperature"] == 0.5
    content = recording.read_bytes()
    facts = {"type": "audio/wav", "size": len(content)}
    facts["last_modified"] = datetime.datetime.now(datetime.UTC)
    file = {"name": "mine.wav", "content": memoryview(content), **facts}
    upload.value = (file,)
    assert named["recording"].value.read_bytes() == content
    samples = np.zeros(8_000, np.float32)
    recorder.samples = samples.tobytes()
    written, rate = soundfile.read(named["recording"].value, dtype="float32")
    assert rate == model.clap.sr and len(written) == len(samples)
    assert len(passes) == 7 and isinstance(upload, ipywidgets.FileUpload)


def test_an_output_comes_whole_and_says_what_went_wrong():
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    def show(which):
        display({"text/plain": which}, raw=True)
        if which == "a mistake":
            raise ConfigError("say this")
        if which == "a fault":
            raise ValueError("line by line")
        print("printed")

    shell = TerminalInteractiveShell.instance()
    try:
        options = ["well", "a mistake", "a fault"]
        controls = panel.Interactive(show, which=options)
        changes = []
        controls.out.observe(changes.append, "outputs")
        first, printed = controls.out.outputs
        assert first["data"] == {"text/plain": "well"}
        assert printed["text"] == "printed\n"
        controls.children[0].value = "a mistake"
        assert controls.out.outputs[-1]["text"] == "say this\n"
        controls.children[0].value = "a fault"
        assert "in show\n" in controls.out.outputs[-1]["text"]
        assert "ValueError: line by line" in controls.out.outputs[-1]["text"]
        assert len(changes) == 2
    finally:
        shell.clear_instance()


def test_outside_jupyter_nothing_is_live(monkeypatch):
    assert not notebook.live()
    monkeypatch.setenv("VOILA_REQUEST_URL", "http://localhost")
    assert notebook.live()


@pytest.fixture
def serve(tmp_path):
    """Return `start(module, *options)`: a server in `tmp_path`, and its address."""
    processes = []

    def start(*command: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        own = {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_DIR": str(tmp_path)}
        own |= {"JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
        process = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}", "--no-browser"],
            cwd=tmp_path,
            env=os.environ | own,
            start_new_session=True,
        )
        processes.append(process)
        for _ in range(120):  # one visit: each starts a kernel
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}/"
            time.sleep(0.5)
        pytest.fail(f"nothing listens on port {port}")

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def smoke_copy(name: str, folder: Path) -> NotebookNode:
    """Return a notebook with the parameters of the smoke profile."""
    made = load_notebook_node(str(paths.REPOSITORY / f"notebooks/{name}.ipynb"))
    given = {"profile": "smoke", "reports_dir": str(folder / "reports")}
    return papermill.parameterize.parameterize_notebook(made, given)


def opened(browser, address: str):
    """Return a page of the address, all of which has come."""
    from playwright.sync_api import expect

    page = browser.new_page()
    page.set_default_timeout(120_000)
    expect.set_options(timeout=120_000)
    page.goto(address)
    return page


OWN = "A dog barks and barks and barks"


@pytest.mark.slow
@pytest.mark.browser
def test_a_reader_uploads_a_recording_and_adds_a_caption(serve, browser, tmp_path):
    from playwright.sync_api import expect

    dog = next(asset_path("animal-recordings").rglob("dog.mp3"))
    sound, sr = soundfile.read(dog)
    soundfile.write(tmp_path / "my dog.wav", sound, sr)
    made = smoke_copy("13_playground", tmp_path)
    write_ipynb(made, str(tmp_path / "playground.ipynb"))
    address = serve("voila", "playground.ipynb", "--show_tracebacks=True")
    page = opened(browser, address)
    caption = page.locator(".widget-output h2")
    caption.wait_for()
    of_the_first = caption.inner_text()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload").click()
    chooser.value.set_files(tmp_path / "my dog.wav")
    expect(caption).not_to_have_text(of_the_first, use_inner_text=True)
    before = caption.inner_text()
    assert "dog" in before.lower()
    expect(page.locator("audio").first).to_be_visible()
    text = page.get_by_placeholder("captions to add, one a line")
    text.fill(OWN)
    text.blur()  # sends it
    expect(caption).not_to_have_text(before, use_inner_text=True)
    assert page.get_by_role("cell", name=OWN).count()
    page.get_by_role("button", name="Record").click()
    page.wait_for_timeout(1_500)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("option", has_text="microphone.wav")).to_be_attached()
    expect(page.get_by_role("button", name="Record again")).to_be_visible()


@pytest.mark.slow
@pytest.mark.browser
def test_the_panel_runs_in_jupyterlab(serve, browser, tmp_path):
    from playwright.sync_api import expect

    made = smoke_copy("13_playground", tmp_path)
    shown = next(i for i, cell in enumerate(made.cells) if "panel.panel" in cell.source)
    del made.cells[shown + 1 :]  # what the other test runs
    write_ipynb(made, str(tmp_path / "playground.ipynb"))
    address = serve("jupyterlab", "--allow-root", "--IdentityProvider.token=")
    page = opened(browser, f"{address}lab/tree/playground.ipynb")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".lm-MenuBar-item", has_text="Run").click()
    page.locator("[data-command='runmenu:run-all']").click()
    caption = page.locator(".jp-OutputArea .widget-output h2")
    caption.wait_for()
    of_all = caption.inner_text()
    text = page.get_by_placeholder("captions to add, one a line")
    text.fill(OWN)
    text.blur()
    page.get_by_label("keep others").uncheck()
    expect(page.get_by_role("cell", name=OWN)).to_be_visible()
    expect(caption).not_to_have_text(of_all, use_inner_text=True)


STAND_INS = """
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, {tests!r})
from doubles import TOY_CAPTIONS, ToyCLAP
from drcap.captioner.model import Captioner
from drcap.config import Config
from drcap.systems.drcap import DRCap

clap = ToyCLAP()
settings = {{"language_model": {language_model!r}, "lora_r": 2}}
config = override(Config(), {{"captioner": settings, "generation": {{"num_beams": 1}}}})
captioner = Captioner.create(clap.dim, config.captioner, torch.float32)
model = DRCap(clap, captioner, config)
told = {{"ac": TOY_CAPTIONS[:40], "cl": TOY_CAPTIONS[40:]}}
materials = SimpleNamespace(training_captions=told.get)
dog = Path({dog!r})
some = [SimpleNamespace(captions=[c], path=dog) for c in TOY_CAPTIONS[:40:10]]
support = clap.encode_text(told["ac"]).numpy()
known = clap.encode_text(told["cl"]).numpy()
means, heard_at, chosen = (known.mean(0), support.mean(0)), known[:4], 1
"""


@pytest.mark.slow
@pytest.mark.browser
def test_the_modality_gap_is_moved_by_sliders(serve, browser, tmp_path, language_model):
    from playwright.sync_api import expect

    made = smoke_copy("02_modality_gap", tmp_path)
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    first = next(i for i, cell in enumerate(code) if "def explore(" in cell.source)
    panel_cells = code[first : first + 3]
    assert "if live():" in panel_cells[-1].source
    facts = {"tests": str(Path(__file__).parent), "language_model": language_model}
    facts["dog"] = str(next(asset_path("animal-recordings").rglob("dog.mp3")))
    stand_ins = new_code_cell(STAND_INS.format(**facts))
    start = next(i for i, cell in enumerate(code) if "notebook.start" in cell.source)
    made.cells = [*code[: start + 1], stand_ins, *panel_cells]
    write_ipynb(made, str(tmp_path / "gap.ipynb"))
    page = opened(browser, serve("voila", "gap.ipynb", "--show_tracebacks=True"))
    shown = page.locator(".widget-output")
    shown.locator("img").wait_for()
    for name in ("tau", "along"):
        before = shown.inner_text()
        slider = page.locator(".widget-hslider", has_text=name)
        slider.locator(".noUi-handle").press("ArrowRight")
        expect(shown).not_to_have_text(before, use_inner_text=True)
    page.get_by_label("clip").select_option("3")
    expect(shown).to_contain_text(f"Reference: {TOY_CAPTIONS[30]}")
    expect(shown.locator("audio")).to_be_visible()
