"""The rules of the update against numbers worked by hand."""
from multibox.engines.updates import gpu as updates
from multibox.training.learning_rate import learning_rate, scaled_cuts
from multibox.training.optimizers import OPTIMIZERS, make_optimizer

import chainer
import chainer.functions as F
import numpy as np
import pytest


@pytest.mark.parametrize('iteration, expected', [
    (0, 1e-3), (79999, 1e-3), (80000, 1e-4), (99999, 1e-4), (100000, 1e-5), (119999, 1e-5)])
def test_the_papers_schedule(iteration, expected):
    assert learning_rate(iteration, 1e-3, scaled_cuts(120000)) == pytest.approx(expected)


def test_a_shorter_run_cuts_at_the_same_fractions():
    assert scaled_cuts(300) == [200, 250]


def test_warm_up_grows_linearly_to_the_base():
    rates = [learning_rate(iteration, .4, [8], warmup=4) for iteration in range(9)]
    np.testing.assert_allclose(rates, [.1, .2, .3, .4, .4, .4, .4, .4, .04])


def test_biases_learn_twice_as_fast_and_do_not_decay():
    chain = chainer.links.Linear(1, 1, initialW=2., initial_bias=3.)
    optimizer = make_optimizer('momentum_sgd', chain, lr=.1, weight_decay=.5)
    for parameter in chain.params():
        parameter.grad = np.ones_like(parameter.array)
    optimizer.update()
    np.testing.assert_allclose(chain.W.array, 2 - .1 * (1 + .5 * 2))
    np.testing.assert_allclose(chain.b.array, 3 - .1 * 2 * 1)


def test_biases_of_normalisations_are_biases():
    chain = chainer.links.BatchNormalization(1)
    optimizer = make_optimizer('momentum_sgd', chain, lr=.1, weight_decay=.5)
    chain.beta.array[...], chain.gamma.array[...] = 3, 2
    for parameter in chain.params():
        parameter.grad = np.ones_like(parameter.array)
    optimizer.update()
    np.testing.assert_allclose(chain.beta.array, 3 - .1 * 2 * 1)
    np.testing.assert_allclose(chain.gamma.array, 2 - .1 * (1 + .5 * 2))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_the_rate_of_every_optimizer_decides_its_step(name):
    chains = [chainer.links.Linear(1, 1, nobias=True, initialW=0.) for _ in range(2)]
    for chain, rate in zip(chains, (.1, .01)):
        optimizer = make_optimizer(name, chain, lr=1, weight_decay=0)
        assert hasattr(optimizer.hyperparam, OPTIMIZERS[name].step_size)
        setattr(optimizer, OPTIMIZERS[name].step_size, rate)
        chain.W.grad = np.ones_like(chain.W.array)
        optimizer.update()
    np.testing.assert_allclose(chains[0].W.array, 10 * chains[1].W.array, rtol=1e-4)


def test_momentum_and_bias_scale_are_settings():
    chain = chainer.links.Linear(1, 1, initialW=0., initial_bias=0.)
    optimizer = make_optimizer('momentum_sgd', chain, .1, 0, momentum=.5, bias_scale=1)
    for _ in range(2):
        chain.W.grad, chain.b.grad = np.ones((1, 1), 'f'), np.ones(1, 'f')
        optimizer.update()
    np.testing.assert_allclose([chain.W.array.item(), chain.b.array.item()], -.1 - (.1 + .5 * .1),
                               rtol=1e-6)


def test_momentum_is_the_papers():
    chain = chainer.links.Linear(1, 1, nobias=True, initialW=0.)
    optimizer = make_optimizer('momentum_sgd', chain, lr=.1, weight_decay=0)
    for _ in range(2):
        chain.W.grad = np.ones_like(chain.W.array)
        optimizer.update()
    np.testing.assert_allclose(chain.W.array, -.1 - (.1 + .9 * .1))


def test_an_optimizer_launches_one_kernel_per_kind_of_parameter(kernel_xp, monkeypatch):
    updated = []
    monkeypatch.setattr(updates, '_launch', lambda *args: updated.append(len(args[2])))
    net = chainer.links.Linear(2, 3)
    net.to_device('@numpy' if kernel_xp is np else '@cupy:0')
    optimizer = make_optimizer('momentum_sgd', net, .1, .05)
    optimizer.loss_scaling(scale=8)
    net.b.grad = kernel_xp.ones_like(net.b.array)  # from an earlier iteration
    optimizer.update(lambda x: F.sum(net(x)), kernel_xp.asarray(random_array(4, 2)))
    assert updated == [1, 1]
    assert (net.b.grad == 8 * 4).all()


def random_array(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype('f')


@pytest.mark.parametrize('name', OPTIMIZERS)
@pytest.mark.parametrize('gradient', [1., np.inf])
def test_nonfinite_gradients_halve_the_scale_and_update_nothing(kernel_xp, gradient, name):
    net = chainer.links.Linear(2, 3)
    net.to_device('@numpy' if kernel_xp is np else '@cupy:0')
    optimizer = make_optimizer(name, net, .1, .05)
    optimizer.loss_scaling()
    optimizer._loss_scale = 4.
    before = net.W.array.copy()
    for parameter in net.params():
        parameter.grad = kernel_xp.full_like(parameter.array, gradient)
    optimizer.update()
    assert optimizer._loss_scale == (8 if gradient == 1 else 2)
    assert (net.W.array == before).all() == (gradient != 1)
