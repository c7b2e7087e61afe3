"""The command line as a whole: exit codes, one line for a mistake, quick help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doubles_cli import FakeDRCap

from drcap.errors import AudioError, CheckpointError
from drcap.systems.drcap import DRCap


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Let loading the model raise an error; return a recording to caption."""

    def fail_with(error):
        def from_pretrained(checkpoint=None, device="auto"):
            raise error

        monkeypatch.setattr(DRCap, "from_pretrained", from_pretrained)
        (tmp_path / "dog.wav").touch()
        return tmp_path / "dog.wav"

    return fail_with


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CheckpointError("mapper: missing; train"), "mapper: missing; train"),
        (AudioError("a.wav: is empty"), "a.wav: is empty"),
        (OSError(28, "No space left", "out/x"), "out/x: No space left"),
        (OSError("model.bin not found\nin the hub"), "model.bin not found"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(drcap, failing, error, line):
    assert drcap("caption", failing(error)) == (2, "", f"drcap: {line}\n")


def test_a_mistake_of_the_package_keeps_its_traceback(drcap, failing):
    with pytest.raises(ZeroDivisionError):
        drcap("caption", failing(ZeroDivisionError("oh")))


def test_one_that_waited_for_a_failed_process_says_so(drcap, failing, monkeypatch):
    recording = failing(RuntimeError("gloo: Connection closed by peer [127.0.0.1]"))
    monkeypatch.setenv("RANK", "1")
    code, _, err = drcap("caption", recording)
    assert (code, err) == (2, "drcap: another process failed: its message says why\n")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(RuntimeError):
        drcap("caption", recording)


def test_an_interrupt_is_exit_code_130(drcap, failing):
    code, out, err = drcap("caption", failing(KeyboardInterrupt()))
    assert (code, out) == (130, "") and "Traceback" not in err


@pytest.mark.parametrize("arguments", [["captoin"], ["--colour"], ["caption"]])
def test_a_misspelt_command_is_exit_code_2(drcap, arguments):
    code, out, err = drcap(*arguments)
    assert (code, out) == (2, "") and "Usage: " in err


def test_a_name_that_begins_with_a_dash_is_told_how_it_is_given(drcap):
    code, _, err = drcap("caption", "-0PxbUo.wav")
    assert code == 2 and "./-NAME, or -- -NAME" in err


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_name_that_the_console_cannot_print_is_escaped(drcap, tmp_path, monkeypatch):
    monkeypatch.setattr(DRCap, "from_pretrained", FakeDRCap().from_pretrained)
    recording = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    recording.touch()
    code, out, _ = drcap("caption", recording)
    assert code == 0 and r"caf\udce9.wav	A caf\udce9 makes a sound" in out


def test_help_lists_every_command_without_loading_torch():
    code = (
        "import sys; sys.argv = ['drcap', '--help']\n"
        "from drcap.cli.__main__ import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'faiss'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("set()\n"), done.stderr
    commands = "assets caption classify data datastore doctor evaluate experiment train"
    for command in commands.split():
        assert f" {command} " in done.stdout
