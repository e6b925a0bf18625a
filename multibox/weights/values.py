"""Checks of the content of weights: values that would give a wrong result without an error."""
import collections
import pathlib
from collections.abc import Mapping
from typing import Any

from multibox.errors import UserError

import numpy as np

# The largest absolute value of a weight. Those of trained networks stay below 100; with some layers
# of weights above the limit, float32 overflows.
LIMIT = 1e6
VARIANCE = 'avg_var'  # the leaf of the name of running variances, which are squares
MAX_NAME = 200  # letters of a class name
MAX_CLASSES = 20_000
# The least bytes of weights, in float16, that a class adds to the heads of any network.
BYTES_PER_CLASS = 60_000
FREE_BYTES = 2 ** 24  # of so few classes a network is built, to list the layers that do not fit
NEXT = 'the file is damaged, or its training diverged; give other weights'


def fault(name: str, array: np.ndarray) -> str | None:
    """Describe why an array cannot be a parameter or a statistic of a network.

    Args:
        name: the name of the parameter; one that ends in ``avg_var`` is a variance.
        array: of any shape and dtype.

    Returns:
        A predicate, such as ``'holds nan or infinity'``; None for a good array.
    """
    if array.dtype.kind != 'f':
        return f'is of the type {array.dtype}, and weights are floats'
    lowest, highest = float(array.min(initial=0)), float(array.max(initial=0))  # nan stays nan
    is_variance = name.endswith(VARIANCE)
    limit = LIMIT ** (1 + is_variance)
    if not np.isfinite(lowest) or not np.isfinite(highest):
        return 'holds nan or infinity'
    if is_variance and lowest < 0:
        return f'holds {lowest:.3g}, and a variance is not negative'
    if max(-lowest, highest) > limit:
        return f'holds {max(-lowest, highest):.3g}, and no weight is above {limit:g}'
    return None


def check_values(path: str | pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse parameters and statistics that are not finite, too large, or no floats.

    Args:
        path: the file or the source, for messages.
        arrays: {name: array} of those that a network takes.

    Raises:
        UserError: the message names the parameter, its fault and the next step.
    """
    for name, array in arrays.items():
        if reason := fault(name, array):
            raise UserError(f'{path}: {name} {reason}; {NEXT}')


def check_boxes(path: str | pathlib.Path, boxes: np.ndarray, insize: int) -> None:
    """Refuse default boxes that cannot be matched.

    Args:
        path: the file, for messages.
        boxes: (K, 4) array (center_y, center_x, height, width) in pixels.
        insize: side of the input of the network in pixels.

    Raises:
        UserError: the boxes are no floats, not finite, have a side of zero or below, or reach
            beyond ten times the input.
    """
    reason = None
    if boxes.dtype.kind != 'f':
        reason = f'are of the type {boxes.dtype}, not floats'
    elif not np.isfinite(boxes).all():
        reason = 'hold nan or infinity'
    elif (boxes[:, 2:] <= 0).any():
        reason = 'have a height or width of zero or below'
    elif (abs(boxes) > 10 * insize).any():
        reason = f'reach beyond ten times the input of {insize} pixels'
    if reason:
        raise UserError(f'{path}: its default boxes {reason}; {NEXT}')


def check_label_names(path: str | pathlib.Path, names: Any, remedy: str = NEXT) -> tuple[str, ...]:
    """Refuse class names that cannot be shown or told apart.

    Args:
        path: the file, for messages.
        names: a list of distinct strings of 1 to :data:`MAX_NAME` letters.
        remedy: the end of the message.

    Returns:
        The names.

    Raises:
        UserError: it is no such list.
    """
    if not isinstance(names, list | tuple) or not 0 < len(names) <= MAX_CLASSES:
        raise UserError(f'{path}: its class names are no list of 1 to {MAX_CLASSES:,} names; '
                        f'{remedy}')
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not _is_unicode(name):
            raise UserError(f'{path}: the class name {_short(name)} is no text of 1 to {MAX_NAME} '
                            f'letters; {remedy}')
    if len(set(names)) < len(names):
        (twice, _), = collections.Counter(names).most_common(1)
        raise UserError(f'{path}: two of its classes have the name {_short(twice)}; {remedy}')
    return tuple(names)


def check_class_count(path: str | pathlib.Path, arrays: Mapping[str, np.ndarray], n: int) -> None:
    """Refuse more classes than the arrays of a file can have heads for.

    It is called before a network is built: that of a million classes would take 70 GiB.

    Raises:
        UserError: the arrays are too small, or there is no class.
    """
    n_byte = sum(array.nbytes for array in arrays.values())
    if n < 1 or n * BYTES_PER_CLASS > n_byte + FREE_BYTES:
        raise UserError(f'{path}: is of {n:,} classes, and its arrays do not fit so many; {NEXT}')


def _is_unicode(name):
    return not any('\ud800' <= letter <= '\udfff' for letter in name)


def _short(value):
    text = ascii(value)
    return text if len(text) <= 60 else f'{text[:60]}...'
