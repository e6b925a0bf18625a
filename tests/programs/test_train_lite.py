"""lite300 in train.py: a resumed run, two processes, the blocks that do not learn."""
import train
from multibox.weights import efficientnet, load_model
from multibox.weights.fitting import slots
from tests.programs.test_train_processes import (
    arrays,
    assert_one_and_two_processes_end_alike,
    flags,
)
from tests.support import mpi
from tests.support.logs import log_without_time

import numpy as np
import pytest

LITE = {'model': 'lite300', 'batchsize': 2, 'iteration': 4, 'snapshot-interval': 2,
        'eval-interval': 4, 'log-interval': 1}


@pytest.fixture(scope='module')
def out(data, tmp_path_factory):
    """The folder of a run of four iterations."""
    folder = tmp_path_factory.mktemp('lite') / 'out'
    train.main([*flags(data, folder, **LITE)])
    return folder


@pytest.mark.slow
def test_frozen_blocks_keep_imagenets_weights_and_the_others_learn(out):
    trained, imagenet = slots(load_model(out / 'model.npz')[0]), efficientnet.read()
    changed = {name.split('/')[3] for name, array in imagenet.items()
               if name.startswith('extractor/trunk/blocks/')
               and not np.array_equal(trained[name], array)}
    assert changed == {str(i) for i in range(train.LITE['frozen'] - 1, 16)}
    np.testing.assert_array_equal(
        trained['extractor/trunk/stem/W'], imagenet['extractor/trunk/stem/W'])


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_weights_and_log(out, tmp_path):
    for name in 'snapshot_iter_2', 'settings.json':
        (tmp_path / name).write_bytes((out / name).read_bytes())
    train.main(['--out', str(tmp_path), '--resume'])
    ours, expected = arrays(tmp_path / 'model.npz'), arrays(out / 'model.npz')
    for key, array in expected.items():
        np.testing.assert_array_equal(ours[key], array, err_msg=key)
    assert log_without_time(tmp_path) == log_without_time(out)


@pytest.mark.slow
@mpi.needs_mpiexec
def test_one_and_two_processes_end_in_the_same_parameters(data, tmp_path):
    changes = {**LITE, 'eval-interval': 2}
    del changes['batchsize'], changes['iteration']
    assert assert_one_and_two_processes_end_alike(data, tmp_path, 2, '1', **changes) > 150
