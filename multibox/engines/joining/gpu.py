"""The results of the heads on a GPU, joined in one launch, and their gradients in another."""
import itertools
from collections.abc import Sequence
from pathlib import Path

from multibox.engines import kernels, layout
from multibox.typing import Array

import numpy as np
from chainer.backends import cuda

SOURCE = Path(__file__).with_name('joining.cu')
_BLOCK, _MAPS = 256, 16
_TABLE = np.dtype([('address', np.uint64, _MAPS), ('first', np.int32, _MAPS + 1),
                   ('count', np.int32)], align=True)


def takes(maps: Sequence[Array]) -> bool:
    """Whether the kernels join these maps: of one dtype, on a GPU, the channels innermost."""
    return (len(maps) <= _MAPS and kernels.takes(*maps) and all(map(layout.is_channels_last, maps))
            and all(x.size and x.dtype == maps[0].dtype for x in maps))


def join(maps: Sequence[Array], n: int) -> Array:
    """Maps (B, A n, H, W), which :func:`takes` allows, to (B, K, n) float32."""
    sizes = [x.size // len(x) for x in maps]
    joined = cuda.get_array_module(*maps).empty((len(maps[0]), sum(sizes) // n, n), np.float32)
    _launch('join', maps, joined)
    return joined


def split(joined: Array, shapes: Sequence[tuple], dtype: np.dtype) -> tuple[Array, ...]:
    """(B, K, n) float32 to maps (B, A n, H, W) of ``shapes``, with the channels innermost."""
    xp = cuda.get_array_module(joined)
    maps = tuple(layout.empty_channels_last(shape, dtype, xp) for shape in shapes)
    _launch('split', maps, xp.ascontiguousarray(joined))
    return maps


def _launch(kernel, maps, joined):
    table = np.zeros((), _TABLE)
    table['count'] = len(maps)
    table['address'][:len(maps)] = [kernels.address(x) for x in maps]
    table['first'][:len(maps) + 1] = [0, *itertools.accumulate(x.size // len(x) for x in maps)]
    kernels.launch(SOURCE, f'{kernel}<{kernels.TYPES[maps[0].dtype.name]}>',
                   -(-joined.size // _BLOCK), _BLOCK, table, joined, np.int32(joined.size))
