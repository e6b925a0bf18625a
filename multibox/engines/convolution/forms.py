"""The forms of a convolution: orders in memory, and an input gradient as a forward convolution.

Outside of a form all arrays are channels last. On tensor cores that is the best order. Float32
kernels without tensor cores are mostly written for channels first, and cuDNN has none that is fast
for the input gradient of some dilated convolutions. A form therefore copies the arrays.
"""
from typing import NamedTuple

from multibox.engines.convolution import graphs
from multibox.typing import Array

from chainer.backends import cuda

FIRST, TURNED = 'channels first', 'turned weights'  # the parts of the name of a form


class Problem(NamedTuple):
    """A convolution or one of its gradients; the attributes are arguments of :class:`graphs.Graph`.

    Attributes:
        operation, geometry, dtype, exact, bias, relu: as for :class:`graphs.Graph`.
        shapes: pairs (name, shape) in a tuple, because a dict cannot be hashed.
    """
    operation: str
    shapes: tuple
    geometry: tuple
    dtype: str
    exact: bool
    bias: bool = False
    relu: bool = False

    @property
    def key(self) -> str:
        """The name of the problem in a table of plans."""
        parts = (*self.shapes, *zip(('stride', 'pad', 'dilate'), self.geometry))
        flags = (name for name in ('exact', 'bias', 'relu') if getattr(self, name))
        return ' '.join([self.operation, self.dtype, *flags] + [
            f'{name} {"x".join(map(str, numbers))}' for name, numbers in parts])

    def forms(self) -> list[str]:
        """Names of the forms that can compute this. The first is '', which copies nothing."""
        if not self.exact:
            return ['']
        return ['', FIRST] + [TURNED, f'{TURNED}, {FIRST}'] * (self.turned() is not None)

    def turned(self) -> 'Problem | None':
        """An input gradient as the convolution of gy with the turned weights, if it is one.

        The weights (O, C, kh, kw) become (C, O, kh, kw), and each kernel is rotated by 180 degrees.
        """
        shapes, (stride, pad, dilate) = dict(self.shapes), self.geometry
        x, W, y = (shapes[name] for name in 'xWy')
        reach = [(k - 1) * d for k, d in zip(W[2:], dilate)]
        before = tuple(r - p for r, p in zip(reach, pad))
        if (self.operation != 'conv_dgrad' or stride != (1, 1) or x[1] != W[1] or min(before) < 0
                or any(n != m + 2 * p - r for n, m, p, r in zip(x[2:], y[2:], before, reach))):
            return None
        return self._replace(
            operation='conv_fprop', geometry=(stride, before, dilate),
            shapes=(('x', y), ('W', (W[1], W[0], *W[2:])), ('y', x)))


class Form:
    """A problem in one of its forms.

    Args:
        problem: the problem.
        name: one of :meth:`Problem.forms`.

    Attributes:
        graph: the graph; one of its plans has to be built before the call.

    Raises:
        cudnn.cudnnGraphNotSupportedError: cuDNN cannot compute this form on this GPU.
    """

    def __init__(self, problem: Problem, name: str = ''):
        self._first = FIRST in name
        self._turned = problem.turned() if TURNED in name else None
        problem = self._turned or problem
        self.graph = graphs.Graph(**problem._asdict() | {'shapes': dict(problem.shapes)},
                                  channels_last=not self._first)

    def __call__(self, *arrays: Array) -> None:
        """Compute as :class:`graphs.Graph` on contiguous arrays (B, H, W, C)."""
        xp = cuda.cupy
        if self._turned:
            gy, W, gx = arrays
            arrays = gy, xp.ascontiguousarray(W[:, ::-1, ::-1].transpose(3, 1, 2, 0)), gx
        if not self._first:
            self.graph(*arrays)
            return
        *factors, result = arrays
        y = xp.empty(self.graph.shape, result.dtype)
        self.graph(*(xp.ascontiguousarray(each.transpose(0, 3, 1, 2)) for each in factors), y)
        result[...] = y.transpose(0, 2, 3, 1)
