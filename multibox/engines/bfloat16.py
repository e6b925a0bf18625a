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
    FunctionNode._check_data_type_forward = _without_bfloat16(FunctionNode._check_data_type_forward)
    Cast.backward = _with_gradient(Cast.backward)
    DictionarySerializer.__call__ = _as_float32(DictionarySerializer.__call__)
    return np.dtype(ml_dtypes.bfloat16)


def is_bfloat16(array: object) -> bool:
    """Whether an object is an array of this type."""
    return str(getattr(array, 'dtype', '')) == 'bfloat16'


def _without_bfloat16(check):
    def check_types(node, arrays):
        if not any(map(is_bfloat16, arrays)):
            check(node, arrays)
    return check_types


def _with_gradient(backward):
    def cast_back(node, indexes, gradients):
        if np.dtype(node._in_type) != dtype():
            return backward(node, indexes, gradients)
        return Cast(dtype()).apply(gradients)
    return cast_back


def _as_float32(save):
    def save_as_float32(serializer, key, value):
        save(serializer, key, value.astype(np.float32) if is_bfloat16(value) else value)
        return value
    return save_as_float32
