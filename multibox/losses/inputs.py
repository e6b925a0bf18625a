"""The arguments of the losses: types, shapes, labels, and the number of negatives per positive.

Values on a GPU are not read, because the host would have to wait for them.
"""
import numbers
from collections.abc import Sequence
from typing import Any

from multibox.typing import Array, ArrayOrVariable

import chainer
import numpy as np

MANY = 2 ** 31 - 1  # negatives per positive: a larger number means all negatives as well
FLOATS = 'float16, float32 or float64'
NEGATIVES = 'k, the number of negatives per positive,'


def as_array(name: str, value: Any) -> Array:
    """The array of an argument.

    Args:
        name: the argument, for the message.
        value: an array or a Variable.

    Returns:
        The array itself.

    Raises:
        TypeError: ``value`` is neither.
    """
    array = value.array if isinstance(value, chainer.Variable) else value
    if not isinstance(array, chainer.get_array_types()):
        kind = type(value if array is None else array).__name__
        raise TypeError(f'{name} must be an array or a Variable, got {kind}; of numbers, '
                        'numpy.asarray makes an array')
    return array


def as_prediction(name: str, value: Any) -> chainer.Variable:
    """The Variable of an argument that has a gradient.

    Args:
        name, value: as for :func:`as_array`.

    Returns:
        The Variable itself, or one of the array.

    Raises:
        TypeError: ``value`` is neither an array nor a Variable, or is not of one of the types
            float16, float32 and float64 in the byte order of this machine.
    """
    dtype = as_array(name, value).dtype
    if dtype.kind != 'f' and dtype.name != 'bfloat16':
        raise TypeError(f'{name} must be {FLOATS}, got {dtype}, which has no gradient; convert it '
                        'with .astype(numpy.float32)')
    if dtype.itemsize > 8 or not dtype.isnative:
        raise TypeError(f'{name} must be {FLOATS} of this machine, got {dtype}; convert it with '
                        '.astype(numpy.float32)')
    return chainer.as_variable(value)


def unpack(name: str, values: Any, parts: Sequence[str]) -> Sequence:
    """Check that an argument is a tuple of a known length.

    Args:
        name: the argument, for the message.
        values: the tuple, or a list.
        parts: the names of its elements.

    Returns:
        ``values`` itself.

    Raises:
        TypeError: ``values`` has another number of elements, or is no sequence.
    """
    length = len(values) if hasattr(values, '__len__') else None
    if length != len(parts):
        raise TypeError(f'{name} must be ({", ".join(parts)}), got {type(values).__name__}'
                        + (f' of length {length}' if length is not None else ''))
    return values


def on_one_device(**arrays: Any) -> None:
    """Check that arrays or Variables, given by the names of their arguments, lie together.

    Raises:
        TypeError: some lie on a CPU and others on a GPU.
    """
    places = {name: 'a CPU' if isinstance(as_array(name, value), np.ndarray) else 'a GPU'
              for name, value in arrays.items()}
    if len(set(places.values())) > 1:
        told = ', '.join(f'{name} on {place}' for name, place in places.items())
        raise TypeError(f'all arrays must lie on one device, got {told}; move them with '
                        'chainer.get_device(...).send')


def at_least_0(name: str, value: Any) -> float:
    """Check a number such as that of negatives per positive.

    Args:
        name: the argument, for the message.
        value: a number of Python or NumPy, infinity included, or an array with one.

    Returns:
        The number as Python's, at most :data:`MANY`.

    Raises:
        TypeError: ``value`` is no real number.
        ValueError: ``value`` is negative or nan.
    """
    number = value.item() if getattr(value, 'size', 0) == 1 else value
    if not isinstance(number, float | int | numbers.Real):
        raise TypeError(f'{name} must be a number >= 0, got {type(value).__name__}')
    if not number >= 0:  # type: ignore[operator]
        raise ValueError(f'{name} must be >= 0, got {max(number, -MANY - 1)}')
    number = min(number, MANY)
    return number if isinstance(number, int) else float(number)


def validate_inputs(mb_locs: ArrayOrVariable, mb_confs: ArrayOrVariable,
                    gt_mb_locs: ArrayOrVariable, gt_mb_labels: ArrayOrVariable, k: float
                    ) -> tuple[chainer.Variable, chainer.Variable, Array, Array, float]:
    """Check types, shapes and labels.

    Args:
        mb_locs: (B, K, 4) float, predicted offsets; array or Variable, like the rest.
        mb_confs: (B, K, C) float, logits or probabilities.
        gt_mb_locs: (B, K, 4) float, offsets of the matched objects.
        gt_mb_labels: (B, K) int, -1 to C - 1.
        k: hard negatives per positive.

    Returns:
        ``(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k)``: two Variables, two arrays, and the
        number as :func:`at_least_0` returns it.

    Raises:
        TypeError: an argument is no array, predictions or offsets are no floats, arrays lie on a
            CPU and on a GPU, or ``k`` is no number.
        ValueError: wrong rank or shape, labels that are not integers, below -1 or not below C, or
            a negative ``k``. Labels on a GPU are checked in Chainer's debug mode only, because
            the host would have to wait for them.
    """
    on_one_device(mb_locs=mb_locs, mb_confs=mb_confs, gt_mb_locs=gt_mb_locs,
                  gt_mb_labels=gt_mb_labels)
    mb_locs, mb_confs = as_prediction('mb_locs', mb_locs), as_prediction('mb_confs', mb_confs)
    gt_mb_locs = as_array('gt_mb_locs', gt_mb_locs)
    gt_mb_labels = as_array('gt_mb_labels', gt_mb_labels)
    if mb_confs.ndim != 3 or mb_confs.shape[2] < 2:
        raise ValueError(f'mb_confs must be (B, K, C) with C >= 2, got {mb_confs.shape}')
    B, K, C = mb_confs.shape
    for name, array, shape in (('mb_locs', mb_locs, (B, K, 4)),
                               ('gt_mb_locs', gt_mb_locs, (B, K, 4)),
                               ('gt_mb_labels', gt_mb_labels, (B, K))):
        if array.shape != shape:
            raise ValueError(f'{name} must be {shape} to go with mb_confs {mb_confs.shape}, '
                             f'got {array.shape}')
    if gt_mb_locs.dtype.kind not in 'fiu' and gt_mb_locs.dtype.name != 'bfloat16':
        raise TypeError(f'gt_mb_locs must be {FLOATS}, got {gt_mb_locs.dtype}; convert it with '
                        '.astype(numpy.float32)')
    if gt_mb_labels.dtype.kind not in 'iu':
        raise ValueError(f'gt_mb_labels must be integers, got {gt_mb_labels.dtype}')
    k = at_least_0(NEGATIVES, k)
    check_labels('gt_mb_labels', gt_mb_labels, C)
    return mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k


def check_labels(name: str, labels: Array, n_class: int) -> None:
    """Check that labels are -1, or classes. On a GPU this runs in Chainer's debug mode only.

    Args:
        name: the argument, for the message.
        labels: int array of any shape.
        n_class: the number of classes, the background among them.

    Raises:
        ValueError: a label is below -1 or not below ``n_class``.
    """
    if labels.size and (isinstance(labels, np.ndarray) or chainer.is_debug()):
        lowest, highest = int(labels.min()), int(labels.max())
        if highest >= n_class or lowest < -1:
            raise ValueError(f'{name} must lie in -1 to C - 1 = {n_class - 1}, '
                             f'got {lowest} to {highest}')
