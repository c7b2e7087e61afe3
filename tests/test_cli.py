import subprocess
import sys

import pytest

import drcap.cli
from drcap.errors import AudioError, CheckpointError
from drcap.pipeline import DRCap


@pytest.fixture
def drcap_command(monkeypatch, capsys):
    """Run `drcap`; return its exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["drcap", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            drcap.cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


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


@pytest.mark.parametrize("error", [CheckpointError, AudioError])
def test_a_users_mistake_is_one_line_and_exit_code_2(drcap_command, failing, error):
    recording = failing(error("mapper.safetensors: missing; train again"))
    code, out, err = drcap_command("caption", recording)
    assert (code, out) == (2, "")
    assert err == "drcap: mapper.safetensors: missing; train again\n"


def test_a_mistake_of_the_package_keeps_its_traceback(monkeypatch, failing):
    recording = failing(ZeroDivisionError("oh"))
    monkeypatch.setattr("sys.argv", ["drcap", "caption", str(recording)])
    with pytest.raises(ZeroDivisionError):
        drcap.cli.main()


def test_an_interrupt_is_exit_code_130(drcap_command, failing):
    recording = failing(KeyboardInterrupt())
    code, out, err = drcap_command("caption", recording)
    assert (code, out) == (130, "") and "Traceback" not in err


def test_help_lists_every_command(drcap_command):
    code, out, _ = drcap_command("--help")
    assert code == 0
    for command in ("assets", "caption", "datastore", "doctor", "evaluate", "import"):
        assert f" {command} " in out


@pytest.mark.parametrize("arguments", [["captoin"], ["--colour"], ["caption"]])
def test_a_misspelt_command_is_exit_code_2(drcap_command, arguments):
    code, out, err = drcap_command(*arguments)
    assert (code, out) == (2, "") and "Usage: " in err


def test_help_comes_without_loading_torch():
    code = (
        "import sys; sys.argv = ['drcap', '--help']\n"
        "from drcap.cli import main\n"
        "try: main()\n"
        "finally: print({'torch', 'transformers', 'faiss'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("set()\n"), done.stderr
