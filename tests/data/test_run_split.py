"""The division that a run wrote is that of its evaluation, also after images have come."""
from multibox.data import load_data, split
from tests.support.voc import write

import pytest


@pytest.fixture
def run(tmp_path):
    """A folder with a.xml to j.xml, and that of a run on it."""
    write(tmp_path / 'data', {'trainval': 'abcdefghij'})
    (tmp_path / 'data/ImageSets/Main/trainval.txt').unlink()
    (tmp_path / 'run').mkdir()
    data = load_data(tmp_path / 'data')
    split.save(tmp_path / 'run', tmp_path / 'data', data.drawn)
    return data


def names(dataset):
    return [path.stem for path in dataset.paths]


def test_new_images_are_not_used(run, tmp_path):
    write(tmp_path / 'data', {'new': ['new0', 'new1', 'new2']})
    data = load_data(tmp_path / 'data', run=tmp_path / 'run')
    assert names(data.train) == names(run.train) and names(data.test) == names(run.test)
    assert any('3 images that are new since then are not used' in note for note in data.notes)
    assert len(load_data(tmp_path / 'data').test) == 3


def test_the_division_of_another_folder_does_not_count(run, tmp_path):
    write(tmp_path / 'other', {'trainval': 'abcde'})
    (tmp_path / 'other/ImageSets/Main/trainval.txt').unlink()
    assert len(load_data(tmp_path / 'other', run=tmp_path / 'run').train) == 4


@pytest.mark.parametrize('text', ['', '[]', '{"data": 1}', '{"train": 3}'])
def test_a_damaged_file_counts_as_none(run, tmp_path, text):
    (tmp_path / 'run' / split.FILE).write_text(text)
    data = load_data(tmp_path / 'data', run=tmp_path / 'run')
    assert names(data.test) == names(run.test)


def test_faulty_annotations_are_not_told_as_new_images(run, tmp_path):
    (tmp_path / 'data/Annotations/broken.xml').write_text('<annotation>')
    before, after = (load_data(tmp_path / 'data', run=folder)
                     for folder in (None, tmp_path / 'run'))
    assert not any('new since then' in note for note in after.notes)
    assert len(after.problems) == len(before.problems) == 1
