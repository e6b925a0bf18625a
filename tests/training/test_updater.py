"""Updates that are launched as a CUDA graph are those without it, to the bit."""
import functools
import types

from multibox.engines.graphs import NotRepeatable
from multibox.training import TrainChain, make_optimizer, updater
from multibox.training.updater import WARM_UP, GraphedUpdate, Updater
from tests.support.fake_recorder import Recorder

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.optimizer_hooks import GradientClipping, Lasso
from chainer.serializers import DictionarySerializer, NpzDeserializer

N = WARM_UP + 5  # updates: some before the recording, the recording, and launches
SIZE, LABELS = 6, np.zeros(4, 'i')


class Chain(TrainChain):
    """A chain of two layers under the loss of least squares, optionally in float16."""

    def __init__(self, dtype='f'):
        rng = np.random.default_rng(0)
        model = chainer.Sequential(L.Linear(SIZE, 5), L.Linear(5, 2))
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
            self.optimizer.lr = .02 / self.n
            self.chain.model[0].W.update_rule.hyperparam.lr = .01 / self.n
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
@pytest.mark.parametrize('dtype, overflow', [
    ('f', None), ('e', None), ('e', 2), ('e', WARM_UP + 1), ('e', N - 1)])
def test_updates_by_a_graph_are_the_same_to_the_bit(kernel_xp, recorders, capsys, dtype, overflow):
    graphed, plain = (Run(kernel_xp, recorder, dtype) for recorder in (True, None))
    assert_equal(graphed.train(overflow=overflow), plain.train(overflow=overflow))
    assert graphed.optimizer.t == N and capsys.readouterr().out == ''
    counts = {parameter.update_rule.t for parameter in graphed.chain.params()}
    assert counts == {N - bool(overflow)}
    if kernel_xp is np:
        assert recorders[0].done == ['run'] * WARM_UP + ['record'] + ['launch'] * (N - WARM_UP)
