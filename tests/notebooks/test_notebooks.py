"""Every notebook runs completely and is committed with its output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_its_short_form(path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_SEG_QUICK", "1")
    notebook = nbformat.read(path, as_version=4)
    # A cell that hangs is stopped, and its kernel with it; a cell that fails raises.
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    assert all(cell.outputs for cell in notebook.cells if "plt.show()" in cell.source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs_in_order(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    run = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in run] == list(range(1, len(run) + 1))
    assert all(cell.outputs for cell in run if "plt.show()" in cell.source)
    outputs = [output for cell in run for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert path.stat().st_size < 800_000
