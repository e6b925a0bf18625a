"""Work in several threads, and losses that do not depend on their number."""
import threading

from multibox import multibox_loss
from multibox.engines import threads
from multibox.engines.threads import in_threads

import chainer
import numpy as np
import pytest


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


@pytest.mark.parametrize('variable', ['OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'])
def test_limits_of_libraries_are_kept(variable, monkeypatch):
    monkeypatch.setattr(threads, 'available_cores', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.delenv('OPENBLAS_NUM_THREADS', raising=False)
    monkeypatch.setenv(variable, '3')
    assert threads._n_thread.__wrapped__() == 3


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
