"""A CUDA graph of the update under each published loss."""
from multibox.losses import LOSSES
from multibox.networks import make_detector
from multibox.training import TrainChain, make_optimizer
from multibox.training.updater import WARM_UP, GraphedUpdate

import chainer
import numpy as np
import pytest

HOST = 'tf_od'  # it mines on the host
SORTS = 'balancap'  # CuPy's sort may wait for the GPU, depending on its version of Thrust


class Outputs(chainer.Chain):
    """A network whose outputs for two images are parameters."""

    def __init__(self, coder):
        super().__init__()
        self.coder, rng = coder, np.random.default_rng(0)
        with self.init_scope():
            self.locs, self.confs = (
                chainer.Parameter(rng.standard_normal((2, len(coder.default_bbox), n)).astype('f'))
                for n in (4, 4))

    def forward(self, imgs):
        return self.locs * 1, self.confs * 1


@pytest.fixture(scope='module')
def coder():
    return make_detector('slim300', 3).coder


def trained(coder, device, loss, by_graph):
    """The outputs of the network after some updates by changing batches."""
    chain = TrainChain(Outputs(coder), formulation=LOSSES[loss])
    chain.to_device(device)
    optimizer = make_optimizer('momentum_sgd', chain, 1e-3, 5e-4)
    update = GraphedUpdate(optimizer) if by_graph else (
        lambda *batch: optimizer.update(chain, *batch))
    for n in range(WARM_UP + 3):
        targets = [coder.encode(np.array([[30, 40, 100 + 20 * n, 200]], 'f'), np.array([label]))
                   for label in (n % 3, 2)]
        update(*(device.send(array) for array in (
            np.zeros((2, 3, 4, 4), 'f'), *map(np.stack, zip(*targets)))))
    return [parameter.array.get() for parameter in chain.params()]


@pytest.mark.gpu
@pytest.mark.parametrize('loss', sorted(LOSSES))
def test_a_graph_updates_to_the_bit_or_says_that_it_cannot(gpu, coder, loss, capsys):
    expected = trained(coder, gpu, loss, by_graph=False)
    for one, other in zip(trained(coder, gpu, loss, by_graph=True), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    if loss != SORTS:
        printed = capsys.readouterr().out
        assert printed.startswith('training goes on without') == (loss == HOST)
