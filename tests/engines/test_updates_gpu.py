"""The update of many parameters by one kernel, against Chainer's update per parameter."""
from multibox.engines import bfloat16, kernels
from multibox.engines.updates import gpu as updates
from multibox.training import make_optimizer

import chainer
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.optimizer_hooks import Lasso, WeightDecay
from chainer.optimizers import Adam
from chainer.optimizers.momentum_sgd import MomentumSGDRule
from chainercv.links.model.ssd import GradientScaling

SIZES = 1, 5, 4095, 4096, 4097, 9000  # a block has 4096 elements


class Net(chainer.Chain):
    """One weight and one bias per size, in float32."""

    def __init__(self, sizes=SIZES):
        super().__init__()
        rng = np.random.default_rng(0)
        for i, size in enumerate(sizes):
            part = chainer.Link()
            with part.init_scope():
                part.W = chainer.Parameter(rng.standard_normal(size).astype('f'))
                part.b = chainer.Parameter(rng.standard_normal(size).astype('f'))
            with self.init_scope():
                setattr(self, f'part{i}', part)


def cast_and_send(xp, chain, dtype='f'):
    if dtype == 'bfloat16':
        pytest.importorskip('ml_dtypes')
        dtype = bfloat16.dtype()
    for parameter in chain.params():
        parameter.array = parameter.array.astype(dtype)
    chain.to_device('@numpy' if xp is np else '@cupy:0')
    return chain


def set_gradients(optimizer, seed, loss_scale=None):
    """Give parameters random gradients and, as ``backward`` does, the scale of the loss."""
    rng = np.random.default_rng(seed)
    for _, parameter in sorted(optimizer.target.namedparams()):
        gradient = rng.standard_normal(parameter.shape).astype(parameter.dtype)
        parameter.grad = parameter.device.send(gradient)
        parameter._loss_scale = loss_scale


def chainers_update(optimizer):
    """Chainer's own update, parameter by parameter."""
    chainer.GradientMethod.update(optimizer)


def make_pair(xp, dtype='f', name='momentum_sgd', **options):
    """Two equal optimizers: one for the kernels, and one for Chainer on the CPU."""
    both = [make_optimizer(name, cast_and_send(module, Net(**options), dtype), .1, .05)
            for module in (xp, np)]
    for optimizer in both:
        optimizer.use_fp32_update()
    return both


def assert_same(actual, expected, tolerance=1e-6):
    parameters = dict(expected.target.namedparams())
    for name, parameter in actual.target.namedparams():
        other = parameters[name]
        assert parameter.dtype == other.dtype
        for one, two in ((parameter.array, other.array), *(
                (parameter.update_rule.state[state], other.update_rule.state[state])
                for state in other.update_rule.state)):
            np.testing.assert_allclose(*(cuda.to_cpu(each).astype('f') for each in (one, two)),
                                       rtol=tolerance, atol=tolerance)
        assert parameter.update_rule.t == other.update_rule.t


def assert_updates_are_the_same(actual, expected, tolerance=1e-6):
    updates.update(actual)
    chainers_update(expected)
    assert_same(actual, expected, tolerance)


@pytest.mark.parametrize('dtype, scale, tolerance', [
    ('f', None, 1e-6), ('e', None, 1e-3), ('e', 1024., 1e-3), ('bfloat16', None, 8e-3)])
def test_updates_are_chainers(kernel_xp, dtype, scale, tolerance):
    actual, expected = make_pair(kernel_xp, dtype)
    for seed in range(3):
        for optimizer in actual, expected:
            set_gradients(optimizer, seed, scale)
        updates.update(actual)
        chainers_update(expected)
        for optimizer in actual, expected:
            optimizer.lr /= 2
            optimizer.momentum -= .1
    assert_same(actual, expected, tolerance)
    assert actual.t == expected.t == 3


@pytest.mark.parametrize('dtype, tolerance', [('f', 1e-6), ('e', 1e-3), ('bfloat16', 8e-3)])
def test_updates_of_adam_are_chainers(kernel_xp, dtype, tolerance):
    actual, expected = make_pair(kernel_xp, dtype, 'adam')
    for seed in range(3):
        for optimizer in actual, expected:
            optimizer.alpha, optimizer.eta, optimizer.weight_decay_rate = .1 / (seed + 1), .9, .01
            optimizer.beta1 -= .1
            set_gradients(optimizer, seed)
        updates.update(actual)
        chainers_update(expected)
    assert_same(actual, expected, tolerance)
    assert actual.t == expected.t == 3


@pytest.mark.parametrize('variant', ['amsgrad', 'adabound'])
def test_variants_of_adam_are_left_to_chainer(kernel_xp, variant):
    both = [chainer.optimizers.Adam(.1, **{variant: True}).setup(cast_and_send(module, Net([7])))
            for module in (kernel_xp, np)]
    for optimizer in both:
        set_gradients(optimizer, 0)
    assert_updates_are_the_same(*both)


@pytest.mark.parametrize('dtype', ['e', 'bfloat16'])
def test_masters_of_16_bits_keep_what_rounding_drops(kernel_xp, dtype):
    actual, expected = make_pair(kernel_xp, dtype)
    for seed in range(2):
        for optimizer in actual, expected:
            set_gradients(optimizer, seed)
        updates.update(actual)
        chainers_update(expected)
    masters = [{name: cuda.to_cpu(parameter.update_rule._fp32_param.array)
                for name, parameter in optimizer.target.namedparams()}
               for optimizer in (actual, expected)]
    for name, master in masters[0].items():
        np.testing.assert_allclose(master, masters[1][name], rtol=1e-6, atol=1e-6)


def test_decay_of_float32_does_not_grow_with_the_scale_of_the_loss(kernel_xp):
    scaled, plain = make_pair(kernel_xp)
    set_gradients(scaled, 0, 1024.)
    set_gradients(plain, 0)
    for parameter in scaled.target.params():
        parameter.grad *= 1024
    updates.update(scaled)
    chainers_update(plain)
    assert_same(scaled, plain)


@pytest.mark.parametrize('dtype', ['f', 'e', 'bfloat16'])
def test_one_launch_for_each_kind_of_parameter(kernel_xp, monkeypatch, dtype):
    launches, launch = [], kernels.launch
    optimizer, _ = make_pair(kernel_xp, dtype)
    set_gradients(optimizer, 0)
    optimizer._loss_scaling_is_dynamic = False  # the search for overflow would be another launch
    monkeypatch.setattr(kernels, 'launch', lambda *args: launches.append(launch(*args)))
    updates.update(optimizer)
    assert len(launches) == 2


def test_more_parameters_than_a_launch_takes(kernel_xp):
    actual, expected = make_pair(kernel_xp, sizes=[3] * 65)
    for optimizer in actual, expected:
        set_gradients(optimizer, 0)
    assert_updates_are_the_same(actual, expected)


def test_gradients_and_parameters_may_lie_in_any_order(kernel_xp):
    actual, expected = make_pair(kernel_xp, sizes=[12])
    for optimizer in actual, expected:
        for parameter in optimizer.target.params():
            parameter.array = parameter.array.reshape(3, 4, order='AF'[parameter.name == 'b'])
        set_gradients(optimizer, 0)
    for parameter in actual.target.params():
        parameter.grad = kernel_xp.asfortranarray(parameter.grad)
    assert_updates_are_the_same(actual, expected)


def test_several_hooks_act_in_their_order(kernel_xp):
    actual, expected = make_pair(kernel_xp, sizes=[7])
    for optimizer in actual, expected:
        for parameter in optimizer.target.params():
            parameter.update_rule.add_hook(GradientScaling(.5), 'halve')
            parameter.update_rule.add_hook(WeightDecay(.3), 'decay')
        set_gradients(optimizer, 0)
    assert_updates_are_the_same(actual, expected)


def double(rule, parameter):
    parameter.array *= 2


class Doubling(MomentumSGDRule):
    def update_core(self, parameter):
        super().update_core(parameter)
        double(self, parameter)


class KeepPositive(WeightDecay, GradientScaling):
    def __call__(self, rule, parameter):
        parameter.grad *= parameter.array > 0


def test_other_hooks_and_rules_are_left_to_chainer(kernel_xp):
    actual, expected = make_pair(kernel_xp, sizes=[7] * 5)
    for optimizer in actual, expected:
        net = optimizer.target
        net.part0.W.update_rule.add_hook(Lasso(.1))
        net.part1.W.update_rule.add_hook(double, timing='post')
        net.part2.W.update_rule.enabled = False
        net.part2.W.update_rule._state = {'v': 0}
        net.part3.W.update_rule = Adam().create_update_rule()
        net.part4.W.update_rule.add_hook(KeepPositive(1.), 'signs')
        net.part4.b.update_rule = Doubling(optimizer.hyperparam)
        set_gradients(optimizer, 0)
    assert_updates_are_the_same(actual, expected)


@pytest.mark.parametrize('dtype', ['e', 'd'])
def test_types_without_float32_masters_are_left_to_chainer(kernel_xp, dtype):
    actual, expected = make_pair(kernel_xp, dtype, sizes=[7])
    for optimizer in actual, expected:
        for parameter in optimizer.target.params():
            parameter.update_rule.use_fp32_update(False)
        set_gradients(optimizer, 0)
    assert_updates_are_the_same(actual, expected, 1e-3)
    assert actual.target.part0.W.update_rule.state['v'].dtype == dtype


def test_an_update_takes_chainers_steps(kernel_xp, monkeypatch):
    def steps(optimizer, update):
        taken = []

        def note(name, step):
            monkeypatch.setattr(
                optimizer, name, lambda *args: taken.append((name, *args)) or step(*args))
        for name in 'check_nan_in_grads', 'call_hooks', 'is_safe_to_update', 'update_loss_scale':
            note(name, getattr(optimizer, name))
        set_gradients(optimizer, 0)
        optimizer.target.part0.W.cleargrad()  # without a gradient, the weight only decays
        update()
        return taken
    actual, expected = make_pair(kernel_xp, sizes=[7])
    assert (steps(actual, lambda: updates.update(actual))
            == steps(expected, lambda: chainers_update(expected)))
    assert_same(actual, expected)


@pytest.mark.parametrize('chainer_first', [True, False])
def test_chainer_and_the_kernels_load_the_others_snapshots(kernel_xp, tmp_path, chainer_first):
    ours, chainers = make_pair(kernel_xp)
    _, expected = make_pair(kernel_xp)
    for seed in range(2):
        set_gradients(expected, seed)
        chainers_update(expected)
    for seed in range(2):
        optimizer = chainers if chainer_first == (seed == 0) else ours
        if seed:
            chainer.serializers.load_npz(tmp_path / 'net.npz', optimizer.target)
            chainer.serializers.load_npz(tmp_path / 'state.npz', optimizer)
        set_gradients(optimizer, seed)
        chainers_update(chainers) if optimizer is chainers else updates.update(ours)
        chainer.serializers.save_npz(tmp_path / 'net.npz', optimizer.target)
        chainer.serializers.save_npz(tmp_path / 'state.npz', optimizer)
    assert_same(optimizer, expected)


@pytest.mark.parametrize('dtype', ['f', 'e', 'bfloat16'])
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found(kernel_xp, dtype, bad):
    gradients = [kernel_xp.ones(size, dtype) for size in SIZES]
    assert updates.all_finite(gradients)
    gradients[3] = kernel_xp.ones(2 * SIZES[3], dtype)[::2]
    gradients[3][300] = bad  # not the first or last element of its thread
    assert not updates.all_finite(gradients)
    gradients[3][300], gradients[3][-1] = 1, bad
    assert not updates.all_finite(gradients)
