"""A file is written as a whole or not at all."""
import json
import os

from multibox import files

import chainer
import chainer.links as L
import numpy as np
import pytest


def test_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    steps = []
    path = tmp_path / 'model.npz'
    fsync = os.fsync
    monkeypatch.setattr(os, 'fsync', lambda fd: steps.append(path.exists()) or fsync(fd))
    files.save_npz(path, L.Linear(3, 2))
    assert steps == [False] and path.exists()


def test_saved_weights_load_with_chainer(tmp_path):
    saved, loaded = L.Linear(3, 2), L.Linear(3, 2)
    files.save_npz(tmp_path / 'model.npz', saved)
    chainer.serializers.load_npz(str(tmp_path / 'model.npz'), loaded)
    np.testing.assert_array_equal(loaded.W.array, saved.W.array)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x.json'
    files.write_json(path, {'a': 1})
    with pytest.raises(KeyboardInterrupt), files.open_whole(path) as file:
        file.write(b'half')
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == {'a': 1} and len(list(tmp_path.iterdir())) == 1


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        files.write_json(tmp_path / 'x.json', {'a': float('nan')})
