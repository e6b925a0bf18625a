"""The engines for other networks: a context in which Chainer's functions use the engines.

The networks of this package call the engines without this context. Of the other modules, bfloat16
alone replaces methods of Chainer's classes.
"""
import contextlib
import threading
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

# Each function class of Chainer, and the class from which it borrows its forward methods.
LENDERS = {
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
_BORROWED = {(function, method): vars(lender)[method] for function, lender in LENDERS.items()
             for method in ('forward', 'forward_cpu', 'forward_gpu') if method in vars(lender)}
_originals: dict = {}  # Chainer's methods, as long as a context lasts
_lock = threading.Lock()


@contextlib.contextmanager
def using(name: str | None = None, precision: str = 'float32') -> Iterator[None]:
    """Compute with an engine, in this process and as long as the context lasts.

    Of several contexts, in one thread or in many, the one that was entered last decides.

    The engine computes ``F.convolution_2d`` and ``F.deconvolution_2d`` in every Chain, forward and
    backward, with any stride, padding and dilation. ``cudnn`` computes float32, float16 and
    bfloat16 CuPy arrays, and the other engines float32 and float64 NumPy arrays. 2-D max pooling
    uses the code of :func:`multibox.engines.max_pooling_2d`. ReLU, addition and the gradient of a
    bias keep CuPy arrays in the memory order of a convolution's result. Chainer computes mixed
    types on a CPU, and everything under the engine ``chainer``.

    Args:
        name: a key of :data:`multibox.engines.ENGINES`. None means the fastest engine that this
            machine has, for arrays on the CPU and on the GPU.
        precision: one of :data:`multibox.engines.PRECISIONS`, in which ``cudnn`` multiplies
            float32 arrays.

    Raises:
        UserError: there is no such engine or precision, or this machine cannot use the engine.
    """
    chosen = choice.choose(name, precision, words=('engine', 'precision'))
    context = object()
    with _lock:
        if not choice.contexts:
            _originals.update({key: vars(key[0])[key[1]] for key in _BORROWED})
        choice.contexts[context] = chosen
        _replace_methods()
    try:
        yield
    finally:
        with _lock:
            del choice.contexts[context]
            _replace_methods()


def _replace_methods():
    engines = choice.contexts and choice.current().engines
    for (function, method), code in (_BORROWED if engines else _originals).items():
        setattr(function, method, code)
