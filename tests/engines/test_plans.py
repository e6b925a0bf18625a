"""The choice among cuDNN's plans: measured or by a table, and the same numbers in every form."""
from multibox.engines import convolution_2d
from multibox.engines.convolution import graphs, plans, timing
from multibox.engines.convolution.forms import FIRST, TURNED, Problem
from multibox.engines.convolution.plans import Table
from tests.support import fake_cudnn
from tests.support.convolutions import CONVOLUTIONS, GROUPED, draw, outputs
from tests.support.fake_cudnn import Offer

import chainer
import chainer.functions as F
import numpy as np
import pytest
from chainer.backends import cuda

X, W, B = draw((2, 3, 9, 7), (4, 3, 3, 3), 4)


@pytest.fixture
def cudnn(monkeypatch):
    fake_cudnn.pretend(monkeypatch)
    monkeypatch.setattr(fake_cudnn, 'graphs', [])
    return fake_cudnn


def compute(table, arrays=(X, W), **options):
    with plans.using(table):
        return outputs(F.convolution_2d, arrays, **options)


def names(table):
    return {plan.partition(': ')[2] for plan in table.plans.values()}


def test_the_fastest_plan_is_chosen(use, cudnn):
    cudnn.offers[:] = Offer('slow', 3), Offer('fast', 1), Offer('middle', 2)
    use('cudnn', 'tf32')
    table = Table(measures=True)
    compute(table)
    assert names(table) == {'fast'} and len(table.plans) == 3
    for times in table.times.values():
        assert times == pytest.approx({': slow': .003, ': fast': .001, ': middle': .002})


def test_plans_that_fail_or_are_large_or_unwanted_are_never_chosen(use, cudnn):
    cudnn.offers[:] = (Offer('allowed', 9), Offer('fails', 1, fails=True), Offer(
        'large', 1, workspace=graphs.LARGEST_WORKSPACE + 1), *(
            Offer(note, 1, notes=(note,)) for note in (*graphs.UNWANTED, 'TENSOR_CORE')))
    use('cudnn')
    table = Table(measures=True)
    compute(table)
    assert names(table) == {'allowed'}


def test_a_stored_plan_that_is_unwanted_is_not_taken(use, cudnn):
    cudnn.offers[:] = Offer('allowed'), Offer('rounds', notes=('TENSOR_CORE',))
    use('cudnn')
    table = Table(measures=True)
    compute(table)
    stored = Table(dict.fromkeys(table.plans, ': rounds'))
    compute(stored)
    assert stored.lost == {*table.plans}
    assert cudnn.graphs[-1].chosen.name == 'allowed'


def test_without_a_table_the_first_plan_computes_and_nothing_is_timed(use, cudnn, monkeypatch):
    monkeypatch.setattr(plans, 'measure', None)
    cudnn.offers[:] = Offer('slow', 3), Offer('fast', 1)
    use('cudnn')
    outputs(F.convolution_2d, (X, W))
    assert [graph.chosen.name for graph in cudnn.graphs] == ['slow'] * 3


def test_a_stored_table_is_used_without_timing(use, cudnn, monkeypatch):
    cudnn.offers[:] = Offer('slow', 3), Offer('fast', 1)
    use('cudnn')
    measured = Table(measures=True)
    compute(measured)
    del cudnn.graphs[:]
    monkeypatch.setattr(plans, 'measure', None)
    stored = Table(measured.plans, measures=True)
    compute(stored)
    assert stored.used == {*measured.plans} and not stored.times
    assert [(graph.chosen.name, graph.runs) for graph in cudnn.graphs] == [('fast', 1)] * 3


@pytest.mark.parametrize('stored', ['', 'fast', ': gone', 'another form: fast', f'{FIRST}: gone'])
def test_a_plan_that_is_not_offered_is_measured_anew(use, cudnn, stored):
    cudnn.offers[:] = Offer('slow', 3), Offer('fast', 1)
    use('cudnn', 'tf32')
    key = Problem('conv_fprop', (('x', X.shape), ('W', W.shape), ('y', (2, 4, 7, 5))),
                  ((1, 1), (0, 0), (1, 1)), 'float32', exact=False).key
    table = Table({key: stored}, measures=True)
    with plans.using(table):
        F.convolution_2d(X, W)
    assert table.plans == {key: ': fast'} and table.lost == {key}


def test_at_the_end_of_its_time_a_measurement_has_tried_some_plans(use, cudnn, monkeypatch):
    monkeypatch.setattr(timing, 'SECONDS', 0)
    cudnn.offers[:] = [Offer(str(i), 50 - i) for i in range(50)]
    use('cudnn', 'tf32')
    table = Table(measures=True)
    compute(table)
    assert names(table) == {str(timing.LEAST - 1)}


def test_a_quick_plan_ends_the_search(use, cudnn):
    cudnn.offers[:] = Offer('slow', 1), Offer('quick', .01), Offer('quicker', .005)
    use('cudnn', 'tf32')
    table = Table(measures=True)
    compute(table)
    assert names(table) == {'quick'}


def test_a_plan_that_is_much_slower_runs_twice(use, cudnn):
    cudnn.offers[:] = Offer('fast', 1), Offer('slow', 9)
    use('cudnn', 'tf32')
    before = cudnn.clock
    compute(Table(measures=True))
    runs_of_fast, computed = 1 + timing.REPEAT, 1
    assert cudnn.clock - before == pytest.approx(3 * (.001 * (runs_of_fast + computed) + .018))


@pytest.mark.parametrize('form', [FIRST, TURNED, f'{TURNED}, {FIRST}'])
@pytest.mark.parametrize('case', CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_form_computes_the_same(use, cudnn, case, form):
    x_shape, (o, kh, kw), stride, pad, dilate = case
    arrays = draw(x_shape, (o, x_shape[1], kh, kw), o)
    options = {'stride': stride, 'pad': pad, 'dilate': dilate}
    use('cudnn')
    expected = outputs(F.convolution_2d, arrays, **options)
    asked = Table()
    compute(asked, arrays, **options)
    table = Table({key: f'{form}: the only' for key in asked.used})
    for actual, array in zip(compute(table, arrays, **options), expected, strict=True):
        np.testing.assert_allclose(actual, array, rtol=1e-5, atol=1e-5)
        assert actual.strides == array.strides
    of_gradients = {key for key in table.used if key.startswith('conv_dgrad')}
    if form == FIRST:
        assert not table.lost
    elif stride == 1 and pad <= (kh - 1) * dilate:
        assert not table.lost & of_gradients


def test_the_fused_operations_belong_to_every_form(use, cudnn):
    use('cudnn')
    expected = convolution_2d(X, W, B, relu=True).array
    cudnn.offers[:] = Offer('for channels first', first=True), Offer('other', 2, first=False)
    table = Table(measures=True)
    with plans.using(table):
        y = convolution_2d(X, W, B, relu=True).array
    (key, plan), = table.plans.items()
    assert key.startswith('conv_fprop float32 exact bias relu x 2x3x9x7')
    assert plan == f'{FIRST}: for channels first'
    np.testing.assert_array_equal(y, expected)


def test_an_exact_input_gradient_may_be_a_convolution_of_turned_weights(use, cudnn):
    cudnn.offers[:] = (Offer('gradient', 141, only='conv_dgrad'),
                       Offer('implicit_gemm', 3, only='conv_fprop'), Offer('other', 200))
    x_shape, (o, kh, kw), _, pad, dilate = CONVOLUTIONS['dilation 6 beyond the map']
    use('cudnn')
    table = Table(measures=True)
    compute(table, draw(x_shape, (o, x_shape[1], kh, kw)), pad=pad, dilate=dilate)
    plan, = (plan for key, plan in table.plans.items() if key.startswith('conv_dgrad'))
    assert plan == f'{TURNED}: implicit_gemm'


@pytest.mark.parametrize('precision', ['tf32', 'bfloat16'])
def test_tensor_cores_take_their_own_order_only(use, cudnn, precision):
    use('cudnn', precision)
    table = Table(measures=True)
    compute(table)
    assert all(plan.startswith(': ') for plan in table.plans.values())


def test_groups_are_not_turned():
    x, W, _, stride, pad = GROUPED['two groups']
    y = x[0], W[0], x[2] - 2, x[3] - 2
    problem = Problem('conv_dgrad', (('x', x), ('W', W), ('y', y)),
                      ((stride,) * 2, (pad,) * 2, (1, 1)), 'float32', exact=True)
    assert problem.turned() is None


@pytest.mark.gpu
@pytest.mark.parametrize('precision', ['float32', 'tf32', 'float16', 'bfloat16'])
@pytest.mark.parametrize('case', ['3x3', 'stride 2', 'dilation 6 beyond the map', 'many images'])
def test_on_a_gpu_measured_plans_repeat_and_round_alike(gpu, use, case, precision):
    if graphs.missing():
        pytest.skip(graphs.missing())
    x_shape, (o, kh, kw), stride, pad, dilate = (
        ((32, 64, 38, 38), (96, 3, 3), 1, 6, 6) if case == 'many images' else CONVOLUTIONS[case])
    dtype = np.float16 if precision == 'float16' else np.float32
    arrays = [cuda.to_gpu(each.astype(dtype)) for each in draw(x_shape, (o, x_shape[1], kh, kw), o)]
    gy_of = {}

    def run(table):
        with plans.using(table):
            variables = [chainer.Variable(each) for each in arrays]
            y = F.convolution_2d(*variables, stride=stride, pad=pad, dilate=dilate)
            gy = gy_of.setdefault(y.shape, cuda.to_gpu(draw(y.shape, dtype=dtype)[0]))
            grads = chainer.grad([y], variables, [chainer.Variable(gy)])
        return [cuda.to_cpu(each.array) for each in (y, *grads)]

    use('cudnn', precision)
    first, table = run(Table()), Table(measures=True)
    measured = run(table)
    assert len(table.times) == 3
    stored = Table(table.plans)
    for one, again in zip(measured, run(stored), strict=True):
        np.testing.assert_array_equal(one, again)
    assert not stored.lost
    # Winograd's and Fourier's transforms round more than sums, but far less than TF32 does.
    tolerance = {'float32': 2e-5, 'tf32': 2 ** -9, 'float16': 2 ** -8, 'bfloat16': 2 ** -6}
    for one, other in zip(measured, first, strict=True):
        assert abs(one - other).max() <= tolerance[precision] * abs(other).max()
