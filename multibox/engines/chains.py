"""The engines for Chains of others: a context in which Chainer's functions use them.

The networks of this package call the engines by themselves. This file is the only one that
replaces methods of Chainer's classes.
"""
import contextlib
from collections.abc import Iterator

from multibox.engines import choice, order
from multibox.engines.convolution import function as convolution
from multibox.engines.pooling import function as pooling

from chainer.functions.activation.relu import ReLU, ReLUGrad2
from chainer.functions.connection.convolution_2d import Convolution2DFunction, Convolution2DGradW
from chainer.functions.connection.deconvolution_2d import Deconvolution2DFunction
from chainer.functions.math.basic_math import Add, MultiAdd
from chainer.functions.math.sum import Sum
from chainer.functions.pooling.max_pooling_nd import MaxPoolingND, MaxPoolingNDGrad

# Chainer's functions, and those whose forward methods they borrow.
BORROWED = {
    Convolution2DFunction: convolution.Convolution,
    Convolution2DGradW: convolution.WeightGradient,
    Deconvolution2DFunction: convolution.InputGradient,
    MaxPoolingND: pooling.MaxPooling,
    MaxPoolingNDGrad: pooling.MaxPoolingGradient,
    ReLU: order.OrderedReLU,
    ReLUGrad2: order.ReLUGradient,
    Add: order.OrderedAdd,
    MultiAdd: order.OrderedMultiAdd,
    Sum: order.OrderedSum,
}
_OURS = {(theirs, method): vars(ours)[method] for theirs, ours in BORROWED.items()
         for method in ('forward', 'forward_cpu', 'forward_gpu') if method in vars(ours)}
_CHAINERS = {(theirs, method): vars(theirs)[method] for theirs, method in _OURS}


@contextlib.contextmanager
def using(name: str | None = None, precision: str = 'float32') -> Iterator[None]:
    """Compute with an engine, in this process and as long as the context lasts.

    Every Chain and every function of Chainer's takes part: ``F.convolution_2d`` and
    ``F.deconvolution_2d``, forward and backward, with any stride, padding and dilation; and 2-D max
    pooling. ``cudnn`` computes float16 and float32 CuPy arrays, the other engines float32 and
    float64 NumPy arrays. ReLU, addition and the gradient of a bias keep CuPy arrays in the memory
    order of a convolution's result. Groups and mixed types on a CPU stay with Chainer, and so does
    everything under the engine ``chainer``.

    Args:
        name: a key of :data:`multibox.engines.ENGINES`. None means the fastest engine that this
            machine has, for arrays on the CPU and on the GPU.
        precision: one of :data:`multibox.engines.PRECISIONS`, in which ``cudnn`` multiplies
            float32 arrays.

    Raises:
        UserError: no such engine or precision, or this machine lacks what the engine needs.
    """
    chosen = choice.choose(name, precision)
    methods_before = {(theirs, method): vars(theirs)[method] for theirs, method in _OURS}
    choice_before = choice.make_current(chosen)
    _replace(_OURS if chosen.engines else _CHAINERS)
    try:
        yield
    finally:
        _replace(methods_before)
        choice.make_current(choice_before)


def _replace(methods):
    for (theirs, method), function in methods.items():
        setattr(theirs, method, function)
