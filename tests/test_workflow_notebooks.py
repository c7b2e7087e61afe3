"""Notebooks are run with parameters; what is kept is clean, whole, or not there.

Outputs are published from a run at default parameters, and from no other.
"""

import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from drcap import paths
from workflow.__main__ import main
from workflow.notebooks import (
    INJECTED,
    LARGEST,
    WIDGET,
    NotebookError,
    cleaned,
    execute,
    problems,
    publish,
    published,
)

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
DEFAULTS = "seed: int = 0  # of the draws\nname: str = 'nobody'  # who"
NOISY = """
import os, sys
from tqdm import tqdm
for _ in tqdm(range(3), desc="counting"):
    print("to stdout")
    print("to stderr", file=sys.stderr)
print(name, seed, os.getcwd(), sys.executable, sep="\\n")
seed + 1
"""


def write_notebook(path, *sources):
    parameters = new_code_cell(DEFAULTS, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Title"), parameters, *map(new_code_cell, sources)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    source = write_notebook(folder / "noisy.ipynb", NOISY)
    for copy in ("first.ipynb", "second.ipynb"):
        execute(source, folder / copy, {"seed": 7}, log=folder / "noisy.log")
    return folder


def test_it_runs_with_the_parameters_in_the_repository_on_this_interpreter(run):
    stdout, result = code_cells(run / "first.ipynb")[-1].outputs
    expected = ["nobody", "7", str(paths.REPOSITORY), sys.executable]
    assert stdout.text.split("\n")[3:-1] == expected
    assert result.data["text/plain"] == "8"


def test_noise_is_in_the_log_and_not_in_the_copy(run):
    text = (run / "first.ipynb").read_text()
    for noise in ("papermill", "execution_time", "widgets", '"tags": []', "counting:"):
        assert noise not in text
    outputs = str([cell.outputs for cell in code_cells(run / "first.ipynb")])
    assert "to stdout" in outputs and "to stderr" not in outputs
    log = (run / "noisy.log").read_text()
    assert "to stdout" in log and "to stderr" in log and "counting: 100%" in log


def test_equal_runs_give_equal_bytes(run):
    first, second = run / "first.ipynb", run / "second.ipynb"
    assert first.read_bytes() == second.read_bytes()
    assert problems(nbformat.read(first, as_version=4)) == []


def test_an_unknown_parameter_is_an_error_that_names_the_known_ones(tmp_path):
    source = write_notebook(tmp_path / "plain.ipynb")
    with pytest.raises(NotebookError, match="'sed'; known are seed, name"):
        execute(source, tmp_path / "copy.ipynb", {"sed": 1}, log=tmp_path / "log")
    assert not (tmp_path / "copy.ipynb").exists()


def test_a_failing_cell_is_named_with_its_log_and_an_older_copy_stays(tmp_path):
    source = write_notebook(tmp_path / "bad.ipynb", "1 + 1", "raise ValueError('no')")
    copy, log = tmp_path / "copy.ipynb", tmp_path / "bad.log"
    copy.write_text("older")
    with pytest.raises(NotebookError, match=r"cell 3 raised ValueError \(no\)") as told:
        execute(source, copy, log=log)
    assert str(log) in str(told.value)
    assert "raise ValueError('no')" in log.read_text()
    assert copy.read_text() == "older"


def test_a_kernel_that_dies_is_an_error(tmp_path):
    source = write_notebook(tmp_path / "dies.ipynb", "import os; os._exit(3)")
    with pytest.raises(NotebookError, match="dies.ipynb: did not run.*DeadKernel"):
        execute(source, tmp_path / "copy.ipynb", log=tmp_path / "log")
    assert not (tmp_path / "copy.ipynb").exists()


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "text.ipynb").write_text("not JSON")
    for name, complaint in (("absent", "no such notebook"), ("text", "not a Python")):
        with pytest.raises(NotebookError, match=complaint):
            execute(tmp_path / f"{name}.ipynb", tmp_path / "copy.ipynb")


def test_the_command_keeps_a_copy_with_values_from_its_options(
    tmp_path, monkeypatch, capsys
):
    source, copy = write_notebook(tmp_path / "a.ipynb", "(name, seed)"), tmp_path / "b"
    command = ["workflow", "notebook", source, copy, "--log", tmp_path / "log"]
    for given, code in (["seed=2", "name=you"], 0), (["sed=2"], 2):
        options = [word for value in given for word in ("-p", value)]
        monkeypatch.setattr("sys.argv", [*map(str, command), *options])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert (stopped.value.code or 0) == code
    [result] = code_cells(copy)[-1].outputs
    assert result.data["text/plain"] == "('you', 2)"
    line = f"drcap: {source}: unknown parameter 'sed'; known are seed, name\n"
    assert capsys.readouterr().err == line


def test_problems_are_found():
    widget = new_output("display_data", {WIDGET: {"model_id": "x"}})
    error = new_output("error", ename="ValueError", evalue="", traceback=[])
    cells = [
        new_code_cell("", outputs=[widget, error], execution_count=2),
        new_code_cell("x" * LARGEST),
    ]
    notebook = new_notebook(cells=cells, metadata={"widgets": {}})
    found = "; ".join(problems(notebook))
    for problem in (
        "error",
        "widget among",
        "widget state",
        "in order",
        f"over {LARGEST:,}",
    ):
        assert problem in found
    assert "widget" not in "; ".join(problems(cleaned(notebook)))


def test_outputs_are_those_of_the_run_and_cells_those_of_the_source(run, tmp_path):
    source = write_notebook(tmp_path / "plain.ipynb", "print(seed)")
    copies = tmp_path / "copies"
    execute(source, copies / "plain.ipynb", {"seed": 0}, tmp_path / "log")
    before = source.stat().st_mtime_ns
    publish(copies, tmp_path)
    assert source.stat().st_mtime_ns == before  # the graph must not run it again
    assert [cell.execution_count for cell in code_cells(source)] == [1, 2]
    assert code_cells(source)[-1].outputs[0].text == "0\n"
    made = nbformat.read(copies / "plain.ipynb", as_version=4)
    made.cells = [cell for cell in made.cells if cell.id != INJECTED]
    made.cells[1].source = "seeds: list = [0]  # of the captioners"
    nbformat.write(made, tmp_path / "seeded.ipynb")
    given = new_code_cell("# Parameters\nseeds = [0, 1]", metadata={"tags": [INJECTED]})
    made.cells.insert(2, given)
    nbformat.write(made, copies / "seeded.ipynb")
    cell = published(tmp_path / "seeded.ipynb", copies / "seeded.ipynb").cells[1]
    assert cell.source == "seeds: list = [0, 1]  # of the captioners"
    with pytest.raises(NotebookError, match="run with seed = 7, not 0"):
        published(run / "noisy.ipynb", run / "first.ipynb")
    write_notebook(tmp_path / "plain.ipynb", "print('changed')")
    write_notebook(tmp_path / "a.ipynb")  # has no copy
    content = source.read_bytes()
    with pytest.raises(NotebookError, match="run `make reproduce`"):
        published(source, copies / "plain.ipynb")
    with pytest.raises(FileNotFoundError):
        publish(copies, tmp_path)
    assert source.read_bytes() == content
