"""The notebook examples/own_photographs.ipynb runs from top to bottom, and is stored clean."""
import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / 'examples/own_photographs.ipynb'
SHORT = '--iteration 60', '--iteration 3'  # the test need not learn anything


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    assert SHORT[0] in cells['run-train'].source
    cells['run-train'].source = cells['run-train'].source.replace(*SHORT)
    NotebookClient(notebook, resources={'metadata': {'path': str(tmp_path)}}).execute()
    shown = {name: ''.join(output.get('text', '') for output in cell.outputs)
             for name, cell in cells.items() if cell.cell_type == 'code'}
    assert '40 images to train, 10 to evaluate' in shown['run-check']
    assert 'weights: ' in shown['run-train']
    assert re.search(r'^mean +0\.\d{3}$', shown['show-scores'], re.MULTILINE)
    for name in 'show-check', 'run-detect':
        assert 'image/png' in cells[name].outputs[-1].data
    assert re.search(r'-> boxes \(N, 4\)|requirements-onnx\.txt', shown['run-export'])


def test_the_stored_notebook_is_clean():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {'kernelspec', 'language_info'}
    assert notebook.metadata.language_info == {'name': 'python'}
    for cell in notebook.cells:
        assert cell.metadata == {}
        if cell.cell_type == 'code':
            assert cell.outputs == [] and cell.execution_count is None
