"""Updates that are launched as a CUDA graph are those without it, to the bit."""
import functools
import types

from multibox.engines.cuda_graph import NotRepeatable
from multibox.engines.updates.scale import Scale
from multibox.training import OPTIMIZERS, TrainChain, make_optimizer, updater
from multibox.training.updater import WARM_UP, GraphedUpdate, Updater
from tests.support.fake_recorder import Recorder

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.optimizer_hooks import GradientClipping, Lasso
from chainer.serializers import DictionarySerializer, NpzDeserializer

N = WARM_UP + 5  # updates: some before the recording, the recording, and launches
SIZE, LABELS = 6, np.zeros(4, 'i')


class Dense(chainer.Link):
    """A fully connected layer without a product of matrices, which CuPy cannot record."""

    def __init__(self, n_in, n_out):
        super().__init__()
        with self.init_scope():
            self.W = chainer.Parameter(chainer.initializers.LeCunNormal(), (n_out, n_in))
            self.b = chainer.Parameter(0, n_out)

    def forward(self, x):
        shape = len(x), *self.W.shape
        products = F.broadcast_to(F.expand_dims(x, 1), shape) * F.broadcast_to(self.W, shape)
        return F.sum(products, axis=2) + F.broadcast_to(self.b, shape[:2])


class Chain(TrainChain):
    """A chain of two layers under the loss of least squares, optionally in float16."""

    def __init__(self, dtype='f'):
        rng = np.random.default_rng(0)
        model = chainer.Sequential(Dense(SIZE, 5), Dense(5, 2))
        for layer in model:
            layer.W.array[...] = rng.standard_normal(layer.W.shape)
            for parameter in layer.params():
                parameter.array = parameter.array.astype(dtype)
        super().__init__(model)

    def check(self):
        """Arrays of NumPy count as arrays on a GPU, which are not read at once."""

    def terms(self, x, t, labels, comm=None):
        y = F.cast(self.model(F.cast(x, self.model[0].W.dtype)), 'f')
        loc, conf = F.sum(F.square(y - t)) / 8, F.sum(F.absolute(y)) / 8
        return loc, conf, loc + conf


@functools.cache
def batches(n, overflow):
    """Batches (x, t) for updates 1 to n; the gradients of update ``overflow`` are infinite."""
    rng = np.random.default_rng(1)
    every = [(rng.standard_normal((4, SIZE)).astype('f'), rng.standard_normal((4, 2)).astype('f'))
             for _ in range(n)]
    if overflow:
        every[overflow - 1][0][0] = np.inf
    return every


class Run:
    """A training whose learning rate changes before every update.

    Args:
        xp: the array module.
        recorder: class of the recorder; None trains without graphs.
    """

    def __init__(self, xp, recorder, dtype='f', name='momentum_sgd'):
        self.xp, self.chain = xp, Chain(dtype)
        self.chain.to_device('@numpy' if xp is np else '@cupy:0')
        self.optimizer = make_optimizer(name, self.chain, .1, .05)
        self.step = OPTIMIZERS[name].step_size
        self.observed, self.n = [], 0
        self.reporter = chainer.Reporter()
        self.reporter.add_observer('main', self.chain)
        self.update = functools.partial(self.optimizer.update, self.chain)
        if recorder:
            self.update = GraphedUpdate(self.optimizer)

    def train(self, n=N, overflow=None):
        """Update up to the count ``n`` and return all that has to be equal."""
        for x, t in batches(N + 3, overflow)[self.n:n]:
            self.n += 1
            setattr(self.optimizer, self.step, .02 / self.n)
            setattr(self.chain.model[0].W.update_rule.hyperparam, self.step, .01 / self.n)
            observation = {}
            with self.reporter.scope(observation):
                self.update(*map(self.xp.asarray, (x, t, LABELS)))
            self.observed.append(observation)
        return self.state()

    def state(self):
        state = {'unread': np.array([cuda.to_cpu(each) for each in self.chain._unread])}
        serializer = DictionarySerializer(state)
        self.optimizer.serialize(serializer['optimizer'])
        self.chain.serialize(serializer['chain'])
        for i, observation in enumerate(self.observed):
            state.update({f'{name} {i}': cuda.to_cpu(value)
                          for name, value in observation.items()})
        return {name: np.copy(cuda.to_cpu(value)) for name, value in state.items()}


@pytest.fixture
def recorders(kernel_xp, monkeypatch):
    """The list of the recorders made. With NumPy they are stand-ins."""
    made, real = [], updater.Recorder

    def make():
        made.append(real() if kernel_xp is not np else Recorder(current.optimizer))
        return made[-1]
    current = types.SimpleNamespace()
    monkeypatch.setattr(updater, 'Recorder', make)
    init = GraphedUpdate.__init__
    monkeypatch.setattr(GraphedUpdate, '__init__', lambda self, optimizer: (
        setattr(current, 'optimizer', optimizer), init(self, optimizer))[1])
    return made


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.mark.filterwarnings('ignore:invalid', 'ignore:overflow')
@pytest.mark.parametrize('dtype, overflow, name', [
    *(('f', None, name) for name in OPTIMIZERS),
    *(('e', overflow, name) for name in OPTIMIZERS for overflow in (None, 2, WARM_UP + 1, N - 1))])
def test_updates_by_a_graph_are_the_same_to_the_bit(
        kernel_xp, recorders, capsys, dtype, overflow, name):
    graphed, plain = (Run(kernel_xp, recorder, dtype, name) for recorder in (True, None))
    assert_equal(graphed.train(overflow=overflow), plain.train(overflow=overflow))
    assert graphed.optimizer.t == N and capsys.readouterr().out == ''
    counts = {parameter.update_rule.t for parameter in graphed.chain.params()}
    assert counts == {N - bool(overflow)}
    if kernel_xp is np:
        assert recorders[0].done == ['run'] * WARM_UP + ['record'] + ['launch'] * (N - WARM_UP)


def test_a_graph_that_cannot_be_recorded_changes_nothing_but_one_line(
        kernel_xp, recorders, capsys, monkeypatch):
    graphed, plain = Run(kernel_xp, True), Run(kernel_xp, None)
    graphed.train(WARM_UP)
    record = recorders[0].record

    def fail_late(work):
        def work_and_fail():
            work()
            raise NotRepeatable('it draws random numbers')
        return record(work_and_fail)
    monkeypatch.setattr(recorders[0], 'record', fail_late)
    assert_equal(graphed.train(), plain.train())
    assert capsys.readouterr().out == (
        'training goes on without a CUDA graph, because the update cannot be recorded '
        '(it draws random numbers)\n')


def clip(run, monkeypatch):
    run.optimizer.add_hook(GradientClipping(1.))


def add_lasso(run, monkeypatch):
    run.chain.model[0].W.update_rule.add_hook(Lasso(.1))


def debug(run, monkeypatch):
    monkeypatch.setattr(chainer.config, 'debug', True)


def share(run, monkeypatch):
    run.chain.processes = types.SimpleNamespace(comm='a communicator', is_first=True,
                                                mean=lambda x: x)


@pytest.mark.parametrize('change, reason', [
    (clip, 'the optimizer has hooks'), (add_lasso, 'Chainer itself updates some'),
    (debug, "Chainer's debug mode"), (share, 'the update exchanges gradients')])
def test_updates_that_no_graph_can_hold_run_without_it(
        kernel_xp, recorders, capsys, monkeypatch, change, reason):
    graphed, plain = Run(kernel_xp, True), Run(kernel_xp, None)
    for run in graphed, plain:
        change(run, monkeypatch)
    assert_equal(graphed.train(3), plain.train(3))
    assert recorders == []
    out = capsys.readouterr().out
    assert out.count('\n') == 1 and reason in out


def test_a_batch_of_another_shape_is_updated_without_the_graph(kernel_xp, recorders):
    runs = [Run(kernel_xp, recorder) for recorder in (True, None)]
    for run in runs:
        run.train(WARM_UP + 2)
        run.update(*(kernel_xp.asarray(array[:2]) for array in (*batches(1, None)[0], LABELS)))
        run.train()
    assert_equal(*(run.state() for run in runs))
    if kernel_xp is np:
        assert recorders[0].done.count('launch') == N - WARM_UP


def test_a_layer_that_is_frozen_later_no_longer_learns(kernel_xp, recorders):
    runs = [Run(kernel_xp, recorder) for recorder in (True, None)]
    for run in runs:
        run.train(WARM_UP + 2)
        run.chain.model[0].disable_update()
        run.train()
    assert_equal(*(run.state() for run in runs))


@pytest.mark.parametrize('dtype', ['f', 'e'])
@pytest.mark.parametrize('before, after', [(True, True), (True, None), (None, True)])
def test_training_resumes_with_and_without_graphs(kernel_xp, recorders, dtype, before, after):
    first, second, whole = (Run(kernel_xp, each, dtype) for each in (before, after, None))
    saved = first.train(N - 1)
    second.optimizer.serialize(NpzDeserializer(
        {name.removeprefix('optimizer/'): value for name, value in saved.items()}))
    second.chain.serialize(NpzDeserializer(
        {name.removeprefix('chain/'): value for name, value in saved.items()}))
    second.n = N - 1
    resumed, expected = second.train(N + 3), whole.train(N + 3)
    for name, value in expected.items():
        if name.startswith(('optimizer/', 'chain/')):
            np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_the_scale_of_the_loss_may_be_set_between_launches(kernel_xp, recorders):
    runs = [Run(kernel_xp, recorder, 'e') for recorder in (True, None)]
    for run in runs:
        run.train(WARM_UP + 2)
        run.optimizer._loss_scale = 32.
        run.train()
        assert run.optimizer._loss_scale == 32 * 2 ** (N - WARM_UP - 2)
    assert_equal(*(run.state() for run in runs))


@pytest.mark.parametrize('recorder', [True, None])
def test_the_host_reads_nothing_while_it_trains_in_float16(
        kernel_xp, recorders, monkeypatch, recorder):
    monkeypatch.setattr(Scale, 'read', lambda self: pytest.fail('the host waits for the GPU'))
    run = Run(kernel_xp, recorder, 'e')
    with pytest.raises(pytest.fail.Exception):
        run.train()
    assert run.n == N


class Loader(chainer.dataset.Iterator):
    """Two batches per epoch."""
    is_new_epoch, n = False, 0
    arrays = staticmethod(chainer.dataset.concat_examples)

    def __next__(self):
        self.n += 1
        self.is_new_epoch = self.n % 2 == 0
        return [(np.full(2, self.n), 3)]

    next = __next__


@pytest.mark.parametrize('graph', [True, False])
def test_the_updater_of_a_cpu_is_chainers(graph):
    taken, chain = [], chainer.Chain()
    optimizer = make_optimizer('adam', chain, .1, 0)
    optimizer.update = lambda *args: taken.append(args)
    update = Updater(Loader(), optimizer, chainer.get_device('@numpy'), graph)
    for _ in range(3):
        update.update()
    assert [(target, x.tolist(), y.tolist()) for target, x, y in taken] == [
        (chain, [[n, n]], [3]) for n in (1, 2, 3)]
    assert (update.iteration, optimizer.epoch) == (3, 1)
