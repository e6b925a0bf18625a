"""Faster engines behind Chainer's 2-D convolution and max pooling on a CPU.

Chainer's functions stay and only their ``forward_cpu`` is replaced, so every link and every
derivative gains. ``onednn`` is Intel's library in float32; ``onednn-bf16`` rounds what it
multiplies to bfloat16; ``blas`` needs NumPy alone; ``chainer`` is Chainer's own code.
"""
from multibox.convolution import dnnl, pooling
from multibox.convolution.blas import BLAS
from multibox.convolution.memory import keep_freed_memory
from multibox.convolution.onednn import OneDNN
from multibox.errors import UserError

import numpy as np
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainer.utils import conv

__all__ = ['ENGINES', 'fastest', 'install', 'keep_freed_memory', 'uninstall']

_BLAS = BLAS()
# By name: who computes, in this order, what the ones before do not cover. The rest is Chainer's.
ENGINES = {'onednn': (OneDNN(), _BLAS), 'onednn-bf16': (OneDNN(dnnl.BFLOAT16), _BLAS),
           'blas': (_BLAS,), 'chainer': ()}


def fastest():
    """Name the fastest engine that this machine has and that computes in float32."""
    return 'blas' if ENGINES['onednn'][0].missing() else 'onednn'


def install(name=None, precision='float32'):
    """Put an engine behind Chainer's 2-D convolution on NumPy arrays, in this process.

    It computes the output and both gradients, of ``F.deconvolution_2d`` too, for float32 and
    float64 with any stride, padding and dilation. Groups, float16 and mixed types stay Chainer's.
    Max pooling, whatever the engine, is computed without lowering.

    Args:
        name: a key of :data:`ENGINES`, or None for the :func:`fastest`.
        precision: of the products on a GPU.

    Raises:
        UserError: no such engine, or this machine lacks what it needs.
    """
    global _engines
    if name is not None and name not in ENGINES:
        raise UserError(f'--conv {name}: not an engine; give one of {", ".join(ENGINES)}')
    engines = ENGINES[name or fastest()]
    for engine in engines:
        if engine.missing():
            raise UserError(f'--conv {name}: {engine.missing()}; use --conv blas')
    uninstall()
    _engines = engines
    if engines:
        for node, forward_cpu in _OURS.items():
            node.forward_cpu = forward_cpu


def uninstall():
    """Put Chainer's own convolution and pooling back."""
    for node, forward_cpu in _CHAINERS.items():
        node.forward_cpu = forward_cpu


def _engine(node, arrays):
    """The engine that computes this call, or None for Chainer."""
    if (node.groups > 1 or getattr(node, 'cudnn_fast', False)
            or not all(type(array) is np.ndarray for array in arrays)):
        return None
    return next((engine for engine in _engines if engine.covers(arrays)), None)


def _geometry(node):
    return (node.sy, node.sx), (node.ph, node.pw), (node.dy, node.dx)


def _convolution(node, inputs):
    engine = _engine(node, inputs)
    if engine is None:
        return _CHAINERS[Convolution2DFunction](node, inputs)
    node._check_input_layouts_all_standard()
    node.retain_inputs((0, 1))
    x, W, b = *inputs, *[None] * (3 - len(inputs))
    return engine.convolve(x, W, b, _geometry(node), node._get_out_size(x.shape, W.shape)),


def _weight_gradient(node, inputs):
    engine = _engine(node, inputs)
    if engine is None:
        return _CHAINERS[Convolution2DGradW](node, inputs)
    node.retain_inputs((0, 1))
    gW = engine.weight_gradient(*inputs, _geometry(node), node.W_shape[2:])
    return gW.astype(node.W_dtype, copy=False),


def _deconvolution(node, inputs):
    engine = _engine(node, inputs)
    if engine is None:
        return _CHAINERS[Deconvolution2DFunction](node, inputs)
    node.retain_inputs((0, 1))
    gy, W, *b = inputs
    node._calc_out_size(gy.shape, W.shape)
    gx = engine.input_gradient(gy, W, _geometry(node), (node.outh, node.outw))
    if b:
        gx += b[0][:, None, None]
    return gx,


def _max_pooling(node, inputs):
    x, = inputs
    if node.ndim != 2 or node.return_indices or np.prod(node.ksize) > pooling.MAX_TAPS:
        return _CHAINERS[MaxPoolingND](node, inputs)
    out_size = [conv.get_conv_outsize(size, k, s, p, node.cover_all) for size, k, s, p in zip(
        x.shape[2:], node.ksize, node.stride, node.pad)]
    if min(out_size) <= 0:
        return _CHAINERS[MaxPoolingND](node, inputs)  # which says so
    node._in_shape, node._in_dtype = x.shape, x.dtype  # what Chainer's gradients read
    y, node.indexes = pooling.max_pool(x, (node.ksize, node.stride, node.pad), out_size)
    return y,


def _max_pooling_gradient(node, inputs):
    pool = node.func
    if pool.indexes.dtype != np.uint8:
        return _CHAINERS[MaxPoolingNDGrad](node, inputs)
    return pooling.max_pool_gradient(*inputs, pool.indexes, (pool.ksize, pool.stride, pool.pad),
                                     pool._in_shape[2:]),


_engines = ()
_OURS = {Convolution2DFunction: _convolution, Convolution2DGradW: _weight_gradient,
         Deconvolution2DFunction: _deconvolution, MaxPoolingND: _max_pooling,
         MaxPoolingNDGrad: _max_pooling_gradient}
_CHAINERS = {node: node.forward_cpu for node in _OURS}
