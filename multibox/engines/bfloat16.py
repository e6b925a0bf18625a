"""bfloat16 arrays in Chainer, which knows the floating-point types of NumPy alone.

The type comes from the package ml_dtypes. CuPy 14 computes with it, beside NumPy 2.1.2 or newer.
"""
import functools
from importlib.util import find_spec

import numpy as np
from chainer import FunctionNode
from chainer.functions.array.cast import Cast
from chainer.serializers import DictionarySerializer


def missing() -> str | None:
    """The reason why this machine has no bfloat16 arrays, in words; None if it has."""
    if find_spec('ml_dtypes') is None:
        return 'the package ml_dtypes is missing; run pip install ml_dtypes'
    return None


@functools.cache
def dtype() -> np.dtype:
    """The dtype bfloat16. The first call prepares Chainer for arrays of it.

    Chainer then computes with such arrays without checking their types. ``F.cast`` passes gradients
    back to them. Serializers write them as float32, because .npz files have no bfloat16.

    Raises:
        ModuleNotFoundError: the package ml_dtypes is missing.
    """
    import ml_dtypes
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    FunctionNode._check_data_type_forward = _check_all_but(
        bfloat16, FunctionNode._check_data_type_forward)
    Cast.backward = _cast_back_to(bfloat16, Cast.backward)
    DictionarySerializer.__call__ = _save_as_float32(DictionarySerializer.__call__)
    return bfloat16


def array_dtype(precision: str) -> np.dtype:
    """The dtype of the arrays in a precision, one of :data:`multibox.engines.PRECISIONS`.

    Raises:
        ModuleNotFoundError: as :func:`dtype`.
    """
    if precision == 'bfloat16':
        return dtype()
    return np.dtype(np.float16 if precision == 'float16' else np.float32)


def is_bfloat16(array: object) -> bool:
    """Whether an object is an array of this type."""
    return str(getattr(array, 'dtype', '')) == 'bfloat16'


def _check_all_but(bfloat16, chainers_check):
    def check(node, arrays):
        if all(array.dtype != bfloat16 for array in arrays):
            chainers_check(node, arrays)
    return check


def _cast_back_to(bfloat16, chainers_backward):
    def backward(node, indexes, gradients):
        if np.dtype(node._in_type) != bfloat16:
            return chainers_backward(node, indexes, gradients)
        return Cast(bfloat16).apply(gradients)
    return backward


def _save_as_float32(chainers_call):
    def call(serializer, key, value):
        chainers_call(serializer, key, value.astype(np.float32) if is_bfloat16(value) else value)
        return value
    return call
