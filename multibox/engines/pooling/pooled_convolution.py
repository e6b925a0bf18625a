"""A convolution, max pooling and ReLU as one function, whose gradient reads less memory.

The pooling passes the gradient of each window to one input. The gradient of the bias is therefore
a sum over the pooled maps, which have a quarter of the pixels.
"""
from multibox.engines import choice, order
from multibox.engines.convolution.function import Convolution, convolution_2d
from multibox.engines.pooling.function import MaxPooling, fuses_relu, max_pooling_2d
from multibox.typing import ArrayOrVariable, IntOrPair

import chainer


def pooled_convolution_2d(x: ArrayOrVariable, W: ArrayOrVariable, b: ArrayOrVariable, ksize: int,
                          stride: IntOrPair = 1, pad: IntOrPair = 0) -> chainer.Variable:
    """2-D convolution, max pooling of windows side by side, and ReLU.

    Args:
        x, W, b, stride, pad: as for :func:`multibox.engines.convolution_2d`.
        ksize: side of the windows of the pooling.

    Returns:
        (B, O, out_h, out_w) Variable.
    """
    x, W, b = map(chainer.as_variable, (x, W, b))
    pool = MaxPooling(2, ksize)
    if choice.current().engines and fuses_relu(pool, x.array):
        return PooledConvolution(pool, stride, pad).apply((x, W, b))[0]
    return max_pooling_2d(convolution_2d(x, W, b, stride, pad), ksize, relu=True)


class PooledConvolution(Convolution):
    """:class:`Convolution`, then max pooling with ReLU; the map between them is not kept.

    Args:
        pool: the pooling, whose ReLU is switched on.
        stride, pad: of the convolution.
    """

    def __init__(self, pool: MaxPooling, stride: IntOrPair, pad: IntOrPair):
        super().__init__(stride, pad)
        self.pool, pool.relu = pool, True

    def forward(self, inputs):
        self.retain_outputs((0,))
        return self.pool.forward(super().forward(inputs))

    def backward(self, indexes, grad_outputs):
        y, = self.get_retained_outputs()
        gb = None
        if 2 in indexes:
            gb = order.bias_gradient_behind_relu(y.array, *grad_outputs, self.inputs[2].dtype)
        return self._gradients(indexes, *self.pool.backward((0,), grad_outputs), gb)
