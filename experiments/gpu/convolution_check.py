"""How exact is the engine cudnn? Small convolutions beside NumPy in double precision."""
import functools
from collections.abc import Callable, Sequence

from experiments.timing.arrays import random_array
from experiments.timing.steps import forward_and_backward, with_engine
from experiments.timing.turns import describe_error
from multibox import engines
from multibox.engines.bfloat16 import array_dtype
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda
from chainer.utils.conv import get_conv_outsize

SMALL = {  # (B, C, H, W), (O, kh, kw), stride, pad, dilate
    '3 channels': ((2, 3, 30, 31), (64, 3, 3), 1, 1, 1),
    '3x3': ((2, 64, 19, 18), (64, 3, 3), 1, 1, 1),
    'head of 126': ((2, 64, 10, 10), (126, 3, 3), 1, 1, 1),
    'stride 2': ((2, 64, 19, 19), (48, 3, 3), 2, 1, 1),
    'stride 2, even': ((2, 64, 10, 10), (48, 3, 3), 2, 1, 1),
    'dilation 6': ((2, 64, 19, 19), (48, 3, 3), 1, 6, 6),
    '1x1': ((2, 64, 19, 19), (48, 1, 1), 1, 0, 1),
    'to one pixel': ((2, 64, 2, 2), (48, 4, 4), 1, 1, 1),
}
# Largest error that rounded factors explain; see _relative_errors.
LIMIT = {'float32': 1e-5, 'tf32': 2e-3, 'float16': 2e-3, 'bfloat16': 1e-2}


def out_size(shape: tuple, w_shape: tuple, stride: int, pad: int, dilate: int) -> list[int]:
    """Height and width of the output for (..., H, W) inputs and (..., kh, kw) weights."""
    return [get_conv_outsize(n, k, stride, pad, d=dilate)
            for n, k in zip(shape[-2:], w_shape[-2:])]


def convolve(engine: str, precision: str, arrays: Sequence[Array], geometry: dict[str, int],
             relu: bool = False) -> Callable[[], list[Array]]:
    """A step of a layer by an engine of multibox, forward and backward.

    Args:
        engine, precision: as for :func:`multibox.engines.using`.
        arrays: x (B, C, H, W), W (O, C, kh, kw), b (O,) and the gradient of the result.
        geometry: ``stride``, ``pad`` and ``dilate``.
        relu: whether a ReLU follows.
    """
    *inputs, gy = arrays
    function = functools.partial(engines.convolution_2d, **geometry, relu=relu)
    return with_engine(forward_and_backward(function, inputs, gy), engine, precision)


def _relative_errors(shape, w_shape, stride, pad, dilate):
    """Errors by precision and result: the norm of the difference over that of the exact result."""
    geometry = {'stride': stride, 'pad': pad, 'dilate': dilate}
    rng = cuda.cupy.random.default_rng(0)
    gy_shape = shape[0], w_shape[0], *out_size(shape, w_shape, stride, pad, dilate)
    arrays = (random_array(rng, shape, channels_last=True),
              random_array(rng, (w_shape[0], shape[1], *w_shape[1:]), channels_last=True),
              random_array(rng, w_shape[:1]), random_array(rng, gy_shape, channels_last=True))
    exact = convolve('blas', 'float32', [cuda.to_cpu(a).astype(float) for a in arrays], geometry)()
    errors = {}
    for precision in engines.PRECISIONS:
        dtype = array_dtype(precision)
        cuda.cupy.full(1 << 24, np.nan, np.float32)  # freed memory shows results never written
        results = convolve('cudnn', precision, [a.astype(dtype) for a in arrays], geometry)()
        errors[precision] = {
            name: float(np.linalg.norm(cuda.to_cpu(y).astype(float) - of) / np.linalg.norm(of))
            for name, y, of in zip(('y', 'gx', 'gW', 'gb'), results, exact)}
    return errors


def check() -> dict[str, dict | str]:
    """Compare the engine with NumPy in double precision, and print the errors.

    Returns:
        {shape: {precision: {result: error}}}, for the output and the gradients of images, weights
        and bias; or {shape: error message}.
    """
    found: dict[str, dict | str] = {}
    for name, case in SMALL.items():
        try:
            found[name] = _relative_errors(*case)
        except Exception as error:  # CUDA and cuDNN have no common class
            found[name] = describe_error(error, 500)
            print(f'{name}: FAILED, {found[name]}')
            continue
        for precision, errors in found[name].items():
            wrong = not all(error <= LIMIT[precision] for error in errors.values())  # nan is wrong
            print(f'{name:16}{precision:10}' + '   '.join(
                f'{result} {error:.1e}' for result, error in errors.items()),
                'WRONG' if wrong else '', flush=True)
    return found
