"""Cases of 2-D convolution, and a function that computes one with its gradients."""
import chainer
import numpy as np

CONVOLUTIONS = {  # (B, C, H, W), (O, kh, kw), stride, pad, dilate
    '3x3': ((2, 3, 9, 7), (4, 3, 3), 1, 1, 1),
    'one pixel': ((3, 3, 1, 1), (4, 3, 3), 1, 1, 1),
    'to one pixel': ((3, 5, 3, 3), (4, 3, 3), 1, 0, 1),
    '1x1': ((2, 6, 8, 5), (4, 1, 1), 1, 0, 1),
    '1x1 one image': ((1, 6, 8, 5), (4, 1, 1), 1, 0, 1),
    '1x1 stride 2': ((1, 3, 8, 7), (4, 1, 1), 2, 0, 1),
    '1x1 padded': ((1, 3, 4, 5), (4, 1, 1), 1, 2, 1),
    'stride 2': ((2, 3, 9, 11), (4, 3, 3), 2, 1, 1),
    'stride 2 last row unread': ((2, 3, 10, 8), (4, 3, 3), 2, 0, 1),
    'stride 3 kernel 2': ((2, 3, 11, 10), (4, 2, 2), 3, 0, 1),
    'dilation 2': ((2, 3, 10, 9), (4, 3, 3), 1, 2, 2),
    'dilation 6 beyond the map': ((2, 3, 5, 5), (4, 3, 3), 1, 6, 6),
    'each axis its own': ((2, 3, 9, 12), (4, 3, 2), (2, 1), (1, 2), (1, 3)),
    'many images a block': ((70, 2, 4, 4), (3, 3, 3), 1, 1, 1),
    'many blocks a map': ((2, 3, 41, 23), (4, 3, 3), 1, 1, 1),
    'many blocks a map stride 2': ((2, 3, 83, 43), (4, 3, 3), 2, 1, 1),
    'row beyond a block': ((1, 2, 3, 300), (3, 3, 3), 1, 1, 1),
}
GROUPED = {  # (B, C, H, W), (O, C / groups, kh, kw), groups, stride, pad
    'depthwise': ((2, 16, 9, 7), (16, 1, 3, 3), 16, 1, 1),
    'depthwise stride 2': ((2, 16, 10, 8), (16, 1, 5, 5), 16, 2, 2),
    'two outputs a channel': ((2, 4, 6, 6), (8, 1, 3, 3), 4, 1, 1),
    'two groups': ((2, 6, 6, 5), (4, 3, 3, 3), 2, 1, 0),
}
# Relative to the largest result, per precision of cuDNN. The factors' bits set the tolerance.
CUDNN_TOLERANCE = {'float32': 5e-6, 'tf32': 2 ** -9, 'float16': 2 ** -8, 'bfloat16': 2 ** -6}


def draw(*shapes, dtype='float32'):
    """Random normal arrays, one per shape."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def outputs(function, arrays, **options):
    """Return y and the gradients of sum(y * gy) with respect to the arrays, for a random gy."""
    variables = [chainer.Variable(array) for array in arrays]
    y = function(*variables, **options)
    gy, = draw(y.shape, dtype=y.dtype)
    return [y.array, *(g.array for g in chainer.grad([y], variables, [chainer.Variable(gy)]))]
