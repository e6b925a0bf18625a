"""Work in several threads, and losses that do not depend on their number."""
import threading

from multibox import multibox_loss
from multibox.engines import threads
from multibox.engines.threads import in_threads
from multibox.losses.blocks import row_sums

import chainer
import numpy as np
import pytest
import threadpoolctl


@pytest.fixture(params=[1, 3], ids='{} threads'.format)
def n_thread(request, monkeypatch):
    monkeypatch.setattr(threads, '_n_thread', lambda: request.param)
    return request.param


def test_each_part_is_computed_once(n_thread):
    done = []
    in_threads(done.append, range(1000), n_element=2 ** 30)
    assert sorted(done) == list(range(1000))


def test_large_work_is_shared(n_thread):
    barrier, seen = threading.Barrier(n_thread, timeout=60), set()

    def work(part):
        barrier.wait()  # passes only if all threads have a part
        seen.add(threading.current_thread())

    in_threads(work, range(n_thread), n_element=2 ** 30)
    assert len(seen) == n_thread


def test_little_work_stays_in_this_thread(n_thread):
    seen = []
    in_threads(lambda part: seen.append(threading.current_thread()), range(9), n_element=100)
    assert set(seen) == {threading.current_thread()}


def test_an_error_of_a_part_is_raised(n_thread):
    def fail(part):
        raise ArithmeticError(part)

    with pytest.raises(ArithmeticError):
        in_threads(fail, range(4), n_element=2 ** 30)


def test_after_an_error_no_further_part_begins(n_thread):
    begun, barrier = [], threading.Barrier(n_thread, timeout=60)

    def fail(part):
        begun.append(part)
        barrier.wait()
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        in_threads(fail, range(100), n_element=2 ** 30)
    assert len(begun) == n_thread


def test_where_no_thread_can_start_this_one_computes_all(n_thread, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, 'start', refuse)
    done = []
    in_threads(done.append, range(9), n_element=2 ** 30)
    assert sorted(done) == list(range(9))


def test_the_errors_of_numpy_that_are_ignored_are_ignored_in_all_threads(n_thread):
    barrier = threading.Barrier(n_thread, timeout=60)

    def work(part):
        barrier.wait()
        assert np.geterr()['over'] == 'raise'

    with np.errstate(over='raise'):
        in_threads(work, range(n_thread), n_element=2 ** 30)


@pytest.mark.parametrize('variable', ['OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'])
def test_limits_of_libraries_are_kept(variable, monkeypatch):
    monkeypatch.setattr(threads, 'available_cores', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.delenv('OPENBLAS_NUM_THREADS', raising=False)
    for value in '3', '3,1':
        monkeypatch.setenv(variable, value)
        assert threads._n_thread() == 3


def test_sums_do_not_depend_on_the_threads_of_the_matrix_products():
    logits = np.random.default_rng(0).normal(size=(14812, 81)).astype('f')
    sums = set()
    for n in 1, 2:
        with threadpoolctl.threadpool_limits(n):
            sums.add(row_sums(logits).tobytes())
    assert len(sums) == 1


@pytest.mark.parametrize('p_positive', [.001, .5], ids='{} positive'.format)
def test_losses_and_gradients_have_the_same_bits(p_positive, monkeypatch):
    rng = np.random.default_rng(0)
    locs, targets = rng.normal(size=(2, 4, 8732, 4)).astype('f')
    confs = rng.normal(size=(4, 8732, 21)).astype('f')
    labels = np.where(rng.uniform(size=(4, 8732)) < p_positive, rng.integers(1, 21, (4, 8732)), 0)

    def bits(n):
        monkeypatch.setattr(threads, '_n_thread', lambda: n)
        variables = chainer.Variable(locs), chainer.Variable(confs)
        losses = multibox_loss(*variables, targets, labels, 3)
        sum(losses).backward()
        return [each.array.tobytes() for each in losses] + [x.grad.tobytes() for x in variables]

    assert bits(1) == bits(3)
