"""The notebooks run from top to bottom, and are kept without outputs."""

import tempfile
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

from euclid_dask.data.local import filesystem_type

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> NotebookNode:
    """Return a notebook."""
    return nbformat.read(FOLDER / name, as_version=4)


def result_texts(notebook: NotebookNode) -> str:
    """Return all that the cells of a notebook answered, as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    for output in outputs:
        texts += [str(value) for kind, value in output.get("data", {}).items() if "text" in kind]
    return "\n".join(texts)


@pytest.fixture
def executed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> NotebookNode:
    """The notebook of that name, executed by a kernel of the running interpreter."""
    write_kernel_spec(tmp_path / "kernels" / "here")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = read(request.param)
    NotebookClient(notebook, timeout=250, kernel_name="here", resources={}).execute(
        cwd=str(tmp_path)
    )
    return notebook


@pytest.mark.notebook
@pytest.mark.parametrize("executed", ["01_first_pipeline.ipynb"], indirect=True)
def test_the_first_pipeline_fails_and_is_mended(executed: NotebookNode) -> None:
    said = result_texts(executed)
    assert "could not convert string to float: 'cloudy'" in said
    assert "Algol    1.27\nMira     0.40\nDeneb    0.01\n" in said


@pytest.mark.notebook
@pytest.mark.parametrize("executed", ["02_demo.ipynb"], indirect=True)
def test_the_demo_finds_its_sources(executed: NotebookNode) -> None:
    said = result_texts(executed)
    assert ": done, " in said
    assert "'completeness'" in said
    assert " 0 tasks done" in said


@pytest.mark.notebook
@pytest.mark.parametrize("executed", ["03_way_of_a_file.ipynb"], indirect=True)
def test_the_way_of_a_file_is_counted_three_times(executed: NotebookNode) -> None:
    said = result_texts(executed)
    if filesystem_type(Path(tempfile.gettempdir())) == "tmpfs":
        pytest.skip("what is written to memory is not counted")
    for topology, copies in (("separate", 3), ("red", 2), ("green", 2), ("purple", 1)):
        assert f"{topology:10} registry {copies}, disks {copies}, kernel {copies}." in said


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
