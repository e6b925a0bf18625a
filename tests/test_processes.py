"""multibox_loss under a real mpiexec: two halves of a batch are the whole batch."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

MPIEXEC = shutil.which('mpiexec', path=pathlib.Path(sys.executable).parent)

PROGRAM = '''
from multibox import multibox_loss

import chainer
import chainermn
import numpy as np

comm = chainermn.create_communicator('naive')
rng = np.random.RandomState(0)
B, K, C = 4, 200, 5
mb_locs, mb_confs, gt_mb_locs = (rng.normal(size=(B, K, n)).astype('f') for n in (4, C, 4))
gt_mb_labels = np.where(rng.uniform(size=(B, K)) < .05, rng.randint(1, C, (B, K)), 0).astype('i')
{change}

def losses_and_gradients(part, comm=None):
    predicted = chainer.Variable(mb_locs[part]), chainer.Variable(mb_confs[part])
    losses = multibox_loss(*predicted, gt_mb_locs[part], gt_mb_labels[part], 3, comm)
    sum(losses).backward()
    return np.array([loss.array for loss in losses]), [x.grad for x in predicted]

half = slice(comm.rank * B // 2, (comm.rank + 1) * B // 2)
losses, gradients = losses_and_gradients(half, comm)
expected, expected_gradients = losses_and_gradients(slice(None))
np.testing.assert_allclose(comm.allreduce(losses) / comm.size, expected, rtol=1e-5)
for ours, whole in zip(gradients, expected_gradients):
    np.testing.assert_allclose(ours / comm.size, whole[half], rtol=1e-5, atol=1e-8)
'''


@pytest.mark.skipif(MPIEXEC is None, reason='no mpiexec beside this Python')
@pytest.mark.parametrize('change', ['', 'gt_mb_labels[:2] = 0', 'gt_mb_labels[:] = 0'],
                         ids=['even', 'one process without positives', 'no positive anywhere'])
def test_two_processes_give_the_losses_and_gradients_of_the_whole_batch(change, tmp_path):
    program = tmp_path / 'program.py'
    program.write_text(PROGRAM.format(change=change))
    result = subprocess.run(
        [MPIEXEC, '--oversubscribe', '-n', '2', sys.executable, program],
        capture_output=True, text=True, timeout=120, env={
            **os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[1]),
            'OMPI_ALLOW_RUN_AS_ROOT': '1', 'OMPI_ALLOW_RUN_AS_ROOT_CONFIRM': '1'})
    assert result.returncode == 0, result.stderr
