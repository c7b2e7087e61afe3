"""Outputs are taken over from a run at default parameters, and from no other."""

import nbformat
import papermill
import pytest
from typer.testing import CliRunner

from workflow import publish_notebooks
from workflow.publish_notebooks import PublishError, main, published

PARAMETERS = 'profile: str = "demo"  # which\nseed: int = 0  # of all'
CODE = "print(profile, seed)"


def notebook(folder, name="a", code=CODE):
    cells = [nbformat.v4.new_code_cell(text) for text in (PARAMETERS, code)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path = folder / f"{name}.ipynb"
    nbformat.write(made, path)
    return path


@pytest.fixture
def run(tmp_path):
    """Execute a notebook with parameters; return the source and the copy."""
    (tmp_path / "copies").mkdir()
    source = notebook(tmp_path)

    def execute(**parameters):
        copy = tmp_path / "copies" / source.name
        papermill.execute_notebook(
            source, copy, parameters, kernel_name="python3", progress_bar=False
        )
        return source, copy

    return execute


def test_outputs_are_those_of_the_run_and_cells_those_of_the_source(run):
    source, copy = run(profile="demo", seed=0)
    made = published(source, copy)
    plain = nbformat.read(source, nbformat.NO_CONVERT)
    assert [c.source for c in made.cells] == [c.source for c in plain.cells]
    assert made.cells[-1].outputs[0].text == "demo 0\n"
    assert [cell.execution_count for cell in made.cells] == [1, 2]


@pytest.mark.parametrize("other", [{"seed": 1}, {"profile": "smoke"}])
def test_other_parameters_are_refused(run, other):
    with pytest.raises(PublishError, match="run with"):
        published(*run(**other))


def test_a_copy_of_an_older_notebook_is_refused(run, tmp_path):
    source, copy = run(seed=0)
    notebook(tmp_path, code="print('changed')")
    with pytest.raises(PublishError, match="run `make reproduce`"):
        published(source, copy)


def test_nothing_is_written_if_one_copy_does_not_fit(run, tmp_path):
    source, _ = run(seed=0)
    notebook(tmp_path, name="b")  # has no copy
    before = source.read_bytes()
    app = publish_notebooks.typer.Typer()
    app.command()(main)
    arguments = [str(tmp_path / "copies"), "--folder", str(tmp_path)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 2 and source.read_bytes() == before


def test_a_published_notebook_is_as_old_as_it_was(run, tmp_path):
    source, _ = run(seed=0)
    before = source.stat().st_mtime_ns
    main(tmp_path / "copies", tmp_path)
    assert source.stat().st_mtime_ns == before
    made = nbformat.read(source, nbformat.NO_CONVERT)
    assert made.cells[-1].outputs[0].text == "demo 0\n"
