"""The command python -m multibox.data check."""
import json
import subprocess
import sys

from multibox.data.check import main
from multibox.errors import UserError
from tests.support.cases import raw_object, stem, voc, xml, xml_object
from tests.support.mpi import ROOT

import pytest


def run(*flags):
    return subprocess.run([sys.executable, '-m', 'multibox.data', 'check', *map(str, flags)],
                          cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path):
    """A folder with one bad image, a difficult object, and a class that labels.txt leaves out."""
    voc(tmp_path / 'set')
    annotations = tmp_path / 'set/Annotations'
    (annotations / 'im000.xml').write_text(xml(raw_object('nut', 50, 1, 40, 9)))
    (annotations / 'im001.xml').write_text(xml(
        xml_object('nut', (10, 20, 50, 60), rest='<difficult>1</difficult>')
        + raw_object('cog', 1, 1, 9, 9)))
    (tmp_path / 'set/labels.txt').write_text('bolt\nnut\n')
    return tmp_path / 'set'


@pytest.mark.parametrize('flag, name', [('--json', 'labels.txt'), ('--pictures', '')])
def test_files_of_the_data_set_are_not_overwritten(folder, flag, name):
    (folder / 'sample.png').write_text('precious')
    before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    with pytest.raises(UserError, match=r'(labels\.txt|sample\.png): is a file in the data set'):
        main(['check', str(folder), flag, str(folder / name)])
    assert {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()} == before


def test_an_earlier_result_in_the_data_set_is_replaced(folder):
    for _ in range(2):
        main(['check', str(folder), '--json', str(folder / 'out.json')])


def test_the_json_has_the_documented_schema(folder):
    main(['check', str(folder), '--json', str(folder / 'out.json')])
    content = json.loads((folder / 'out.json').read_text())
    assert list(content) == ['train', 'test', 'label_names', 'problems', 'notes']
    assert content['train'][0] == {
        'image': str(folder / 'JPEGImages/im001.png'), 'size': [120, 160],
        'bbox': [[20, 10, 59, 49]], 'label': ['nut'], 'difficult': [True],
        'ignored': [[0, 0, 8, 8]]}
    assert [len(content[part]) for part in ('train', 'test')] == [3, 2]
    assert content['label_names'] == ['bolt', 'nut']
    assert content['problems'] == [{
        'file': str(folder / 'Annotations/im000.xml'), 'object': 1,
        'reason': 'box is inverted, its min is above its max'}]
    assert all(isinstance(note, str) for note in content['notes'])


def test_a_problem_of_a_file_has_no_object(folder):
    (folder / 'JPEGImages/im002.png').unlink()
    main(['check', str(folder), '--json', str(folder / 'out.json')])
    assert json.loads((folder / 'out.json').read_text())['problems'][1]['object'] is None


def test_the_result_is_printed(folder, capsys):
    main(['check', str(folder)])
    out = capsys.readouterr().out
    assert 'im000.xml, object 1, xmin=50 ymin=1 xmax=40 ymax=9: box is inverted' in out
    assert "1 objects of class 'cog' are ignored" in out
    assert out.splitlines()[-3:] == [
        '3 images to train, 2 to evaluate, classes: bolt, nut',
        'objects to train: bolt 2, nut 2', 'objects to evaluate: bolt 2, nut 2']


def test_strict_refuses_a_problem(folder):
    with pytest.raises(UserError, match='1 problems in the annotations'):
        main(['check', str(folder), '--strict'])


def test_difficult_objects_are_listed_in_either_case(folder):
    for flags in [], ['--difficult']:
        main(['check', str(folder), '--json', str(folder / 'out.json'), *flags])
        train = json.loads((folder / 'out.json').read_text())['train']
        assert train[0]['difficult'] == [True]


def test_the_program_ends_with_0_and_nothing_on_stderr(folder):
    result = run(folder, '--json', folder / 'out.json')
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('ruin', ['no folder', 'empty', 'all bad', 'labels'])
def test_an_error_is_one_line_and_1(folder, ruin):
    target = folder
    if ruin == 'no folder':
        target = folder / 'absent'
    elif ruin == 'empty':
        target = folder / 'empty'
        target.mkdir()
    elif ruin == 'labels':
        (folder / 'labels.txt').write_text('a\na\n')
    else:
        for i in range(6):
            (folder / 'Annotations' / f'{stem(i)}.xml').write_text('<html/>')
    result = run(target)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f'python -m multibox.data: {target}')


@pytest.mark.parametrize('flag', ['--json', '--pictures'])
def test_a_result_that_cannot_be_written_is_named(folder, flag):
    target = folder / 'labels.txt' / 'x'
    with pytest.raises(UserError, match=f'{target}: cannot be'):
        main(['check', str(folder), flag, str(target)])
