"""The kernels behind the functions of Chainer and ChainerCV that SSD's training step calls.

ReLU has no kernel: it is part of the convolution before it, or follows a pooling.
"""
import math

from multibox import gpu
from multibox.convolution.relu import convolution_relu
from multibox.gpu import momentum_sgd, pooling
from multibox.gpu.arrays import TYPES
from multibox.gpu.normalize import L2Normalize

import chainer
import chainer.functions as F
import numpy as np
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad
from chainer.optimizers import MomentumSGD
from chainer.utils import conv
from chainercv.links.model.ssd import Normalize
from chainercv.links.model.ssd.ssd_vgg16 import VGG16, VGG16Extractor300, VGG16Extractor512


def install():
    """Put the kernels behind Chainer's functions on a GPU, in this process.

    They are 2-D max pooling, ChainerCV's ``Normalize``, the update of ``MomentumSGD`` and every
    optimizer's search for gradients that overflowed, in float32 and float16; see the modules. NumPy
    arrays stay Chainer's. ChainerCV's VGG16 and its extractors compute the same with fewer passes
    over their maps.
    """
    for (owner, name), function in _OURS.items():
        setattr(owner, name, function)


def uninstall():
    """Put Chainer's own functions back."""
    for (owner, name), function in _CHAINERS.items():
        setattr(owner, name, function)


def _covers(array):
    """Whether an array is on a GPU, in a type the kernels take."""
    return gpu.holds(array) and array.dtype in TYPES


def _max_pooling(node, inputs):
    x, = inputs
    out_size = [conv.get_conv_outsize(size, k, s, p, node.cover_all) for size, k, s, p in zip(
        x.shape[2:], node.ksize, node.stride, node.pad)]
    if (node.ndim != 2 or node.return_indices or min(out_size) <= 0 or not _covers(x)
            or math.prod(node.ksize) > pooling.MAX_TAPS):
        return _CHAINERS[MaxPoolingND, 'forward_gpu'](node, inputs)
    node._in_shape, node._in_dtype = x.shape, x.dtype  # what Chainer's gradients read
    y, node.indexes = pooling.max_pool(x, (node.ksize, node.stride, node.pad), out_size)
    return y,


def _max_pooling_gradient(node, inputs):
    pool = node.func
    indexes = getattr(pool, 'indexes', None)  # cuDNN has none
    if indexes is None or indexes.dtype != np.uint8:
        return _CHAINERS[MaxPoolingNDGrad, 'forward_gpu'](node, inputs)
    return pooling.max_pool_gradient(*inputs, indexes, (pool.ksize, pool.stride, pool.pad),
                                     pool._in_shape[2:]),


def _normalize(link, x):
    if not _covers(chainer.as_variable(x).array) or x.dtype != link.scale.dtype:
        return _CHAINERS[Normalize, 'forward'](link, x)
    return L2Normalize(link.eps)(x, link.scale)


def _convolve(extractor, h, *names):
    for name in names:
        link = extractor[name]
        # On the host ONNX's export knows Chainer's functions only; hooks may change the weights.
        fuses = gpu.holds(chainer.as_variable(h).array) and not link.local_link_hooks
        h = convolution_relu(link, h) if fuses else F.relu(link(h))
    return h


def _vgg16(extractor, x):
    """Three of its ReLUs after max pooling: the same numbers, from a quarter of the pixels, and
    the gradient needs no map of full size. The others are fused into convolutions."""
    h = _convolve(extractor, x, 'conv1_1')
    h = F.relu(F.max_pooling_2d(extractor.conv1_2(h), 2))
    h = _convolve(extractor, h, 'conv2_1')
    h = F.relu(F.max_pooling_2d(extractor.conv2_2(h), 2))
    h = _convolve(extractor, h, 'conv3_1', 'conv3_2')
    h = F.relu(F.max_pooling_2d(extractor.conv3_3(h), 2))
    h = _convolve(extractor, h, 'conv4_1', 'conv4_2', 'conv4_3')
    normalized = extractor.norm4(h)
    h = _convolve(extractor, F.max_pooling_2d(h, 2), 'conv5_1', 'conv5_2', 'conv5_3')
    h = F.max_pooling_2d(h, 3, stride=1, pad=1)
    return [normalized, _convolve(extractor, h, 'conv6', 'conv7')]


def _extractor(extractor, x):
    maps = VGG16.forward(extractor, x)
    for i in range(8, 6 + len(extractor.grids)):
        maps.append(_convolve(extractor, maps[-1], f'conv{i}_1', f'conv{i}_2'))
    return maps


def _update(optimizer, lossfun=None, *args, **kwds):
    if not all(gpu.holds(parameter.array) for parameter in optimizer.target.params()):
        return _CHAINERS[MomentumSGD, 'update'](optimizer, lossfun, *args, **kwds)
    if lossfun is not None:
        loss = lossfun(*args, **kwds)
        optimizer.target.cleargrads()
        loss.backward(loss_scale=optimizer._loss_scale)
        del loss  # and the graph, before memory is taken for the update
    momentum_sgd.update(optimizer)


def _check_nan_in_grads(optimizer):
    gradients = [parameter.grad for parameter in optimizer.target.params()]
    if not (optimizer._loss_scaling_is_dynamic and all(map(_covers, gradients))):
        return _CHAINERS[chainer.Optimizer, 'check_nan_in_grads'](optimizer)
    optimizer._loss_scaling_isnan = not momentum_sgd.all_finite(gradients)
    optimizer._loss_scaling_isnan_ever |= optimizer._loss_scaling_isnan


_OURS = {
    (MaxPoolingND, 'forward_gpu'): _max_pooling,
    (MaxPoolingNDGrad, 'forward_gpu'): _max_pooling_gradient,
    (Normalize, 'forward'): _normalize,
    (VGG16, 'forward'): _vgg16,
    (VGG16Extractor300, 'forward'): _extractor,
    (VGG16Extractor512, 'forward'): _extractor,
    (MomentumSGD, 'update'): _update,
    (chainer.Optimizer, 'check_nan_in_grads'): _check_nan_in_grads,
}
_CHAINERS = {(owner, name): getattr(owner, name) for owner, name in _OURS}
