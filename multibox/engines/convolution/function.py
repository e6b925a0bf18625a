"""2-D convolution with bias and ReLU, by the first current engine that covers the arrays.

The functions derive from Chainer's, whose type checks and second derivatives they keep. Their
forward methods also serve :func:`multibox.engines.using`, which lends them to Chainer's functions.
"""
import math

from multibox.engines import choice, kernels, layout
from multibox.engines.order import bias_gradient, relu_gradient
from multibox.typing import ArrayOrVariable, IntOrPair

import chainer
import chainer.functions as F
from chainer.functions.activation.relu import ReLU
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction


def convolution_2d(x: ArrayOrVariable, W: ArrayOrVariable, b: ArrayOrVariable | None = None,
                   stride: IntOrPair = 1, pad: IntOrPair = 0, dilate: IntOrPair = 1,
                   relu: bool = False, groups: int = 1, cover_all: bool = False,
                   ceiling: float = math.inf) -> chainer.Variable:
    """2-D convolution by the first current engine that covers the arrays, or else by Chainer.

    Args:
        x: (B, C, H, W) float array or Variable.
        W: (O, C / groups, kh, kw) float array or Variable.
        b: (O,) float array or Variable, or None.
        stride, pad, dilate: int, or a pair (y, x).
        relu: whether negative results become 0.
        groups: number of groups of channels that are convolved apart. With as many groups as
            channels the convolution is depthwise (Howard et al., MobileNets, 2017).
        cover_all: whether windows that reach beyond the padding below and to the right count.
        ceiling: with ``relu``, larger results become this number; 6 makes the ReLU6 of MobileNets.

    Returns:
        (B, O, out_h, out_w) Variable.
    """
    inputs = (x, W) if b is None else (x, W, b)
    options = {'dilate': dilate, 'groups': groups}
    if not choice.current().engines:
        y = F.convolution_2d(*inputs, stride=stride, pad=pad, cover_all=cover_all, **options)
        return y if not relu else F.relu(y) if ceiling == math.inf else F.clipped_relu(y, ceiling)
    function = Convolution(stride, pad, cover_all, **options)
    if relu:
        function = ConvolutionReLU(stride, pad, cover_all, **options)
        function.ceiling = ceiling
    return function.apply(inputs)[0]


def _by_engine(chainer_forward, compute):
    """A forward method that computes by an engine, or else as ``chainer_forward`` does."""
    def forward(node, inputs):
        engine = None
        if (not getattr(node, 'cudnn_fast', False)
                and all(layout is None for layout in node.input_layouts)):
            engine = choice.current().engine_for(inputs)
        if engine is None:
            return chainer_forward(node, inputs)
        node.retain_inputs((0, 1))
        return compute(engine, node, inputs),
    return forward


def _then_relu(chainer_forward, relu):
    """A forward method of Chainer's convolution, followed by the method ``relu`` of its ReLU."""
    def forward(node, inputs):
        y, = getattr(ReLU(), relu)(chainer_forward(node, inputs))
        return y if node.ceiling == math.inf else y.clip(None, node.ceiling),
    return forward


def _geometry(node):
    return (node.sy, node.sx), (node.ph, node.pw), (node.dy, node.dx)


def _convolve(engine, node, inputs, **relu):
    x, W, b = inputs if len(inputs) == 3 else (*inputs, None)
    if isinstance(node, Convolution) and kernels.is_on_gpu(x):
        node.ordered = x, W = layout.to_channels_last(x), layout.to_channels_last(W)
    out_size = node._get_out_size(x.shape, W.shape)
    return engine.convolve(x, W, b, _geometry(node), out_size, **relu)


def _convolve_relu(engine, node, inputs):
    return _convolve(engine, node, inputs, relu=True, ceiling=node.ceiling)


def _weight_gradient(engine, node, inputs):
    x, gy = inputs
    gW = engine.weight_gradient(
        _ordered(node, x), gy, _geometry(node), node.W_shape[2:], node.groups)
    return gW.astype(node.W_dtype, copy=False)


def _input_gradient(engine, node, inputs):
    gy, W, *b = inputs
    node._calc_out_size(gy.shape, W.shape)
    gx = engine.input_gradient(
        gy, _ordered(node, W), _geometry(node), (node.outh, node.outw), node.groups)
    if b:
        gx += b[0][:, None, None]
    return gx


def _ordered(node, array):
    """``array``, or the copy of it with the channels innermost that the convolution read."""
    ordered = getattr(node, 'ordered', None)
    return array if ordered is None else ordered


class InputGradient(Deconvolution2DFunction):
    """The gradient with respect to the input, which is a transposed convolution."""

    forward_cpu = _by_engine(Deconvolution2DFunction.forward_cpu, _input_gradient)
    forward_gpu = _by_engine(Deconvolution2DFunction.forward_gpu, _input_gradient)


class WeightGradient(Convolution2DGradW):
    """The gradient with respect to the weights."""

    forward_cpu = _by_engine(Convolution2DGradW.forward_cpu, _weight_gradient)
    forward_gpu = _by_engine(Convolution2DGradW.forward_gpu, _weight_gradient)


class Convolution(Convolution2DFunction):
    """y (B, O, out_h, out_w) of x (B, C, H, W), W (O, C, kh, kw) and, if given, b (O,).

    Attributes:
        ordered: on a GPU, x and W with the channels innermost in memory, as cuDNN reads them. The
            gradients read them, too.
    """

    ordered: tuple = None, None
    forward_cpu = _by_engine(Convolution2DFunction.forward_cpu, _convolve)
    forward_gpu = _by_engine(Convolution2DFunction.forward_gpu, _convolve)

    def backward(self, indexes, grad_outputs):
        return self._gradients(indexes, *grad_outputs)

    def _gradients(self, indexes, gy, gb=None):
        """The gradients of the inputs ``indexes``, of which ``gb`` may be known."""
        x, W = self.get_retained_inputs()
        stride, pad, dilate = _geometry(self)
        gradients = []
        if 0 in indexes:
            node = InputGradient(stride, pad, x.shape[2:], dilate=dilate, groups=self.groups)
            node.ordered = self.ordered[1]
            gradients += node.apply((gy, W))
        if 1 in indexes:
            node = WeightGradient(self, W.shape, W.dtype, W.layout)
            node.ordered = self.ordered[0]
            gradients += node.apply((x, gy))
        if 2 in indexes:
            gradients.append(bias_gradient(gy) if gb is None else gb)
        self.ordered = None, None  # their memory is free for the gradients of earlier layers
        return gradients


class ConvolutionReLU(Convolution):
    """:class:`Convolution` clipped to [0, ceiling]; the map before is not kept."""

    ceiling = math.inf
    forward_cpu = _by_engine(
        _then_relu(Convolution2DFunction.forward_cpu, 'forward_cpu'), _convolve_relu)
    forward_gpu = _by_engine(
        _then_relu(Convolution2DFunction.forward_gpu, 'forward_gpu'), _convolve_relu)

    def forward(self, inputs):
        self.retain_outputs((0,))
        return super().forward(inputs)

    def backward(self, indexes, grad_outputs):
        y, = self.get_retained_outputs()
        bias_dtype = self.inputs[2].dtype if 2 in indexes else None
        return self._gradients(
            indexes, *relu_gradient(y.array, *grad_outputs, self.ceiling, bias_dtype))
