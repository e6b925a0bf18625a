"""Faster engines behind Chainer's 2-D convolution, and behind max pooling on a CPU.

Chainer's functions stay and only their ``forward_cpu`` and ``forward_gpu`` are replaced, so every
link and every derivative gains. On a CPU ``onednn`` is Intel's library in float32; ``onednn-bf16``
rounds what it multiplies to bfloat16; ``blas`` needs NumPy alone. On a GPU ``cudnn`` is NVIDIA's
library. ``chainer`` is Chainer's own code.
"""
import warnings

from multibox.convolution import dnnl, innermost, pooling
from multibox.convolution.blas import BLAS
from multibox.convolution.cudnn import PRECISIONS, CuDNN
from multibox.convolution.memory import keep_freed_memory
from multibox.convolution.onednn import OneDNN
from multibox.convolution.relu import ConvolutionReLU
from multibox.errors import UserError

import numpy as np
from chainer.backends import cuda
from chainer.functions.activation.relu import ReLU, ReLUGrad2
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.math.basic_math import Add, MultiAdd
from chainer.functions.math.sum import Sum
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainer.utils import conv

__all__ = ['ENGINES', 'PRECISIONS', 'fastest', 'install', 'keep_freed_memory', 'uninstall']

_BLAS, _CUDNN = BLAS(), CuDNN()
# By name: who computes, in this order, what the ones before do not cover. The rest is Chainer's.
ENGINES = {'onednn': (OneDNN(), _BLAS), 'onednn-bf16': (OneDNN(dnnl.BFLOAT16), _BLAS),
           'blas': (_BLAS,), 'cudnn': (_CUDNN, _BLAS), 'chainer': ()}


def fastest(gpu=False):
    """Name the fastest engine that this machine has and that can compute in float32.

    Args:
        gpu: whether for CuPy arrays. A warning then says if cuDNN is missing, and what brings it.
    """
    engine, slower = ('cudnn', 'chainer') if gpu else ('onednn', 'blas')
    missing = ENGINES[engine][0].missing()
    if missing and gpu and cuda.available:  # without a GPU, choosing the device says so
        warnings.warn(f"convolutions are Chainer's own, which are slower: {missing}", stacklevel=2)
    return slower if missing else engine


def install(name=None, precision='float32'):
    """Put an engine behind Chainer's 2-D convolution, in this process.

    It computes the output and both gradients, of ``F.deconvolution_2d`` and of
    :class:`multibox.convolution.relu.ConvolutionReLU` too, with any stride, padding and dilation:
    ``cudnn`` of float16 and float32 CuPy arrays, the others of float32 and float64 NumPy arrays.
    Groups and what mixes types on a CPU stay Chainer's. Max pooling of NumPy arrays, whatever the
    engine, is computed without lowering. ReLU, addition and the sum that is a bias' gradient keep
    CuPy arrays in the order of a convolution's result.

    Args:
        name: a key of :data:`ENGINES`, or None for the :func:`fastest` on a CPU.
        precision: one of :data:`PRECISIONS`, what ``cudnn`` multiplies float32 arrays in: see
            :class:`multibox.convolution.cudnn.CuDNN`. Chainer and the other engines know no 'tf32'
            and 'bfloat16'.

    Raises:
        UserError: no such engine or precision, or this machine lacks what it needs.
    """
    global _engines
    name = name or fastest()
    for option, value, known in (('conv', name, ENGINES), ('precision', precision, PRECISIONS)):
        if value not in known:
            raise UserError(f'--{option} {value}: there is none; give one of {", ".join(known)}')
    engines = ENGINES[name]
    for engine in engines:
        if engine.missing():
            raise UserError(f'--conv {name}: {engine.missing()}; use --conv '
                            f'{"chainer" if engine is _CUDNN else "blas"}')
    if precision in ('tf32', 'bfloat16') and _CUDNN not in engines:
        raise UserError(f'--precision {precision}: --conv {name} does not compute in it; use '
                        '--conv cudnn')
    uninstall()
    _engines, _CUDNN.precision = engines, precision
    if engines:
        for (node, method), forward in _OURS.items():
            setattr(node, method, forward)


def uninstall():
    """Put Chainer's own convolution and pooling back."""
    for (node, method), forward in _CHAINERS.items():
        setattr(node, method, forward)


def _geometry(node):
    return (node.sy, node.sx), (node.ph, node.pw), (node.dy, node.dx)


def _convolution(engine, node, inputs, **relu):
    x, W, b = *inputs, *[None] * (3 - len(inputs))
    return engine.convolve(x, W, b, _geometry(node), node._get_out_size(x.shape, W.shape), **relu)


def _convolution_relu(engine, node, inputs):
    if engine is _CUDNN:
        return _convolution(engine, node, inputs, relu=True)
    y = _convolution(engine, node, inputs)
    return np.maximum(y, 0, out=y)


def _weight_gradient(engine, node, inputs):
    gW = engine.weight_gradient(*inputs, _geometry(node), node.W_shape[2:])
    return gW.astype(node.W_dtype, copy=False)


def _deconvolution(engine, node, inputs):
    gy, W, *b = inputs
    node._calc_out_size(gy.shape, W.shape)
    gx = engine.input_gradient(gy, W, _geometry(node), (node.outh, node.outw))
    if b:
        gx += b[0][:, None, None]
    return gx


def _forward(node_class, method, compute):
    """Make the method of a node class that computes by an engine, or else as Chainer does."""
    chainers = getattr(node_class, method)

    def forward(node, inputs):
        engine = None
        if (node.groups == 1 and not getattr(node, 'cudnn_fast', False)
                and all(layout is None for layout in node.input_layouts)):
            engine = next((engine for engine in _engines if engine.covers(inputs)), None)
        if engine is None:
            return chainers(node, inputs)
        node.retain_inputs((0, 1))
        return compute(engine, node, inputs),
    return forward


def _keeping_order(node_class, method):
    """Make the method of an element-wise node class that keeps channels innermost on a GPU."""
    chainers = getattr(node_class, method)

    def forward(node, inputs):
        if not all(map(innermost.holds, inputs)):
            return chainers(node, inputs)
        return tuple(map(innermost.maps, chainers(node, tuple(map(innermost.pixels, inputs)))))
    return forward


def _relu_gradient(node, inputs):
    if not innermost.holds(node.b):
        return _CHAINERS[ReLUGrad2, 'forward_gpu'](node, inputs)
    return innermost.relu_gradient(node.b, *inputs),


def _sum(node, inputs):
    x, = inputs
    if node.axis != (0, 2, 3) or node.keepdims or not innermost.holds(x):
        return _CHAINERS[Sum, 'forward'](node, inputs)
    return innermost.sum_of_maps(x),


def _max_pooling(node, inputs):
    x, = inputs
    if node.ndim != 2 or node.return_indices or np.prod(node.ksize) > pooling.MAX_TAPS:
        return _CHAINERS[MaxPoolingND, 'forward_cpu'](node, inputs)
    out_size = [conv.get_conv_outsize(size, k, s, p, node.cover_all) for size, k, s, p in zip(
        x.shape[2:], node.ksize, node.stride, node.pad)]
    if min(out_size) <= 0:
        return _CHAINERS[MaxPoolingND, 'forward_cpu'](node, inputs)  # which says so
    node._in_shape, node._in_dtype = x.shape, x.dtype  # what Chainer's gradients read
    y, node.indexes = pooling.max_pool(x, (node.ksize, node.stride, node.pad), out_size)
    return y,


def _max_pooling_gradient(node, inputs):
    pool = node.func
    if pool.indexes.dtype != np.uint8:
        return _CHAINERS[MaxPoolingNDGrad, 'forward_cpu'](node, inputs)
    return pooling.max_pool_gradient(*inputs, pool.indexes, (pool.ksize, pool.stride, pool.pad),
                                     pool._in_shape[2:]),


_engines = ()
_OURS = {(node, method): _forward(node, method, compute) for node, compute in (
    (Convolution2DFunction, _convolution), (ConvolutionReLU, _convolution_relu),
    (Convolution2DGradW, _weight_gradient), (Deconvolution2DFunction, _deconvolution))
    for method in ('forward_cpu', 'forward_gpu')}
_OURS |= {(node, method): _keeping_order(node, method) for node, method in (
    (ReLU, 'forward_gpu'), (Add, 'forward'), (MultiAdd, 'forward'))}
_OURS |= {(ReLUGrad2, 'forward_gpu'): _relu_gradient, (Sum, 'forward'): _sum,
          (MaxPoolingND, 'forward_cpu'): _max_pooling,
          (MaxPoolingNDGrad, 'forward_cpu'): _max_pooling_gradient}
_CHAINERS = {(node, method): getattr(node, method) for node, method in _OURS}
