"""Recordings for CUDA graphs: stream, pool and order, and the refusal of work of the host."""
import contextlib
import threading
import types

from multibox.engines import cuda_graph
from multibox.engines.cuda_graph import NotRepeatable, Recorder

import numpy as np
import pytest


class Pool:
    n_freed = 0

    def malloc(self, size):
        """Not called."""

    def free_all_blocks(self):
        self.n_freed += 1


class Gpu:
    """A stand-in for CuPy. ``log`` lists the calls; ``fault`` is an error of the end of capture."""

    def __init__(self):
        self.log, self.fault, gpu = [], None, self
        self.allocator = 'default'

        class Stream:
            def __init__(self, non_blocking=False, name='own'):
                assert non_blocking or name == 'current'
                self.name = name

            def record(self):
                return self.name

            def wait_event(self, event):
                gpu.log.append(f'{self.name} waits for {event}')

            def __enter__(self):
                gpu.current, self.before = self, gpu.current

            def __exit__(self, *_):
                gpu.current = self.before

            def begin_capture(self):
                gpu.log.append('begin')

            def end_capture(self):
                gpu.log.append('end')
                if gpu.fault:
                    raise gpu.fault
                return types.SimpleNamespace(
                    launch=lambda: gpu.log.append(f'launch on {gpu.current.name}'))

        @contextlib.contextmanager
        def using_allocator(allocator):
            before, gpu.allocator = gpu.allocator, allocator
            try:
                yield
            finally:
                gpu.allocator = before

        self.current = Stream(name='current')
        self.generator = types.SimpleNamespace(get_random_state=lambda: 'state')
        self.cupy = types.SimpleNamespace(
            random=types.SimpleNamespace(_generator=self.generator), cuda=types.SimpleNamespace(
                Stream=Stream, MemoryPool=Pool, get_current_stream=lambda: self.current,
                using_allocator=using_allocator))

    def note(self):
        self.log.append(f'work on {self.current.name}')
        assert self.allocator != 'default'


@pytest.fixture
def fake(monkeypatch):
    fake = Gpu()
    monkeypatch.setattr(cuda_graph, 'cuda', fake)
    return fake


def assert_as_before(fake):
    assert (fake.current.name, fake.allocator) == ('current', 'default')
    assert fake.generator.get_random_state() == 'state'


def test_work_has_its_own_stream_in_order_with_the_current_one(fake):
    Recorder().run(fake.note)
    assert fake.log == ['own waits for current', 'work on own', 'current waits for own']
    assert_as_before(fake)


def test_a_graph_is_recorded_apart_and_launched_on_the_current_stream(fake):
    launch = Recorder().record(fake.note)
    launch()
    assert fake.log == ['own waits for current', 'begin', 'work on own', 'end',
                        'current waits for own', 'launch on current']
    assert_as_before(fake)


def test_no_other_work_takes_memory_from_the_pool(fake):
    recorder, allocators = Recorder(), []
    for do in recorder.run, recorder.record:
        do(lambda: allocators.append(fake.allocator))
    one, other = allocators
    assert one == other and one.__self__ is recorder._pool
    assert one.__self__ is not Recorder()._pool
    recorder.free()
    assert recorder._pool.n_freed == 1


def test_random_numbers_are_refused(fake):
    with pytest.raises(NotRepeatable, match='draws random numbers'):
        Recorder().record(lambda: fake.generator.get_random_state())
    assert fake.log[-2:] == ['end', 'current waits for own']
    assert_as_before(fake)


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_an_error_ends_the_recording_and_is_the_one_to_tell(fake, error):
    def fail():
        fake.fault = ValueError('the capture is invalid')
        raise error('a host synchronisation')
    with pytest.raises(error, match='a host synchronisation'):
        Recorder().record(fail)
    assert fake.log.count('end') == 1
    assert_as_before(fake)


def test_a_recording_that_cuda_rejects_at_its_end_is_an_error(fake):
    fake.fault = ValueError('the capture is invalid')
    with pytest.raises(ValueError, match='invalid'):
        Recorder().record(fake.note)
    assert_as_before(fake)


def test_other_threads_may_draw_random_numbers_meanwhile(fake):
    drawn = []

    def work():
        thread = threading.Thread(target=lambda: drawn.append(fake.generator.get_random_state()))
        thread.start()
        thread.join()
    Recorder().record(work)
    assert drawn == ['state']


def some_work(xp, x, y):
    def work():
        for _ in range(5):
            temporary = xp.sin(x) * x.T  # each needs memory, which the next one has again
            y[...] += temporary.sum(axis=0)
    return work


@pytest.mark.gpu
def test_launches_do_the_work_and_write_no_memory_of_others(gpu):
    xp = gpu.xp
    x, y = xp.asarray(np.random.default_rng(0).standard_normal((300, 300), 'f')), xp.zeros(300, 'f')
    recorder, work = Recorder(), some_work(xp, x, y)
    for _ in range(2):
        recorder.run(work)
    before = y.copy()
    launch = recorder.record(work)
    np.testing.assert_array_equal(y.get(), before.get())  # recording does nothing
    others = [xp.full((300, 300), 7, 'f') for _ in range(20)]
    x *= 2
    launch()
    expected = before.copy()
    some_work(xp, x, expected)()
    np.testing.assert_array_equal(y.get(), expected.get())
    assert all((other == 7).all() for other in others)


@pytest.mark.gpu
@pytest.mark.parametrize('name', ['asarray', 'set', 'item', 'nonzero', 'rand'])
def test_cuda_or_the_recorder_refuses_all_work_of_the_host(gpu, name):
    xp, y = gpu.xp, gpu.xp.ones(3, 'f')
    host = np.arange(3, dtype='f')
    work = {'asarray': lambda: y.__iadd__(xp.asarray(host)), 'set': lambda: y.set(host),
            'item': lambda: y[0].item(), 'nonzero': lambda: y[y > 0],
            'rand': lambda: y.__iadd__(xp.random.rand(3, dtype='f'))}[name]
    recorder = Recorder()
    recorder.run(work)
    with pytest.raises((NotRepeatable, RuntimeError)):
        recorder.record(work)
    recorder.run(work)  # all is usable afterwards
    assert xp.isfinite(y).all()
