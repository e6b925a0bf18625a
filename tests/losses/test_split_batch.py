"""Under a real mpiexec, shares of a batch give the results of the whole batch."""
from tests.support import mpi

import pytest

PROGRAM = mpi.ROOT / 'tests' / 'support' / 'split_batch.py'


@mpi.needs_mpiexec
@pytest.mark.parametrize('n', [1, 2, 3, 4])
def test_losses_gradients_statistics_and_scores_are_those_of_the_whole_batch(n):
    result = mpi.run(n, PROGRAM)
    assert result.returncode == 0, result.stderr


@mpi.needs_mpiexec
@pytest.mark.parametrize('fault', ['not summed', 'not divided'])
def test_the_program_detects_a_wrong_count_of_positives(fault):
    result = mpi.run(2, PROGRAM, fault)
    assert result.returncode != 0 and 'Not equal to tolerance' in result.stderr
