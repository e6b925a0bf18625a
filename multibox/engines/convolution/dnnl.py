"""The part of oneDNN's C API that convolutions need, through ctypes (oneDNN 3 developer guide).

The library comes from the package onednn-cpu-gomp. It has a plain C interface and needs libgomp.
"""
import ctypes
import functools
import importlib.metadata
import os
import threading

from multibox.engines import layout

import numpy as np

PACKAGE, LIBRARY = 'onednn-cpu-gomp', 'libdnnl.so.3'
BFLOAT16, FLOAT32 = 2, 3  # dnnl_data_type_t
FORWARD, DIRECT = 64, 1  # dnnl_forward_training, dnnl_convolution_direct
CLIP = 0x2e  # dnnl_eltwise_clip
ANY = 1  # dnnl_format_tag_any: the primitive chooses the memory order
# Operands: (number in an execution, number in a query). RESULTS are the operands that are written.
SRC, WEIGHTS, BIAS, DST = (1, 129), (33, 131), (41, None), (17, 133)
DIFF_SRC, DIFF_WEIGHTS, DIFF_DST = (129, 130), (161, 132), (145, 134)
RESULTS = DST, DIFF_SRC, DIFF_WEIGHTS

_lock = threading.Lock()  # a primitive has one scratchpad, for one call at a time


class _Argument(ctypes.Structure):
    _fields_ = [('number', ctypes.c_int), ('memory', ctypes.c_void_p)]


@functools.cache
def library():
    """Load oneDNN.

    Returns:
        ``(library, engine, stream)``: its functions and the handles of the CPU.

    Raises:
        OSError: the package, or a library that it needs, is missing; the message names it.
        RuntimeError: oneDNN refuses to start.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        raise OSError(f'the package {PACKAGE} is not installed') from None
    paths = [file.locate() for file in files if file.name == LIBRARY]
    if not paths:
        raise OSError(f'the package {PACKAGE} holds no {LIBRARY}')
    # Waiting threads sleep; spinning threads would take the core from a loader process.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    lib = ctypes.CDLL(str(paths[0]))
    lib.dnnl_memory_desc_get_size.restype = ctypes.c_size_t
    lib.dnnl_primitive_desc_query_md.restype = ctypes.c_void_p
    cpu = _new(lib.dnnl_engine_create, 1, ctypes.c_size_t(0))
    return lib, cpu, _new(lib.dnnl_stream_create, cpu, 1)


def _new(create, *args):
    """Call a creating function of the API and return the handle of its object."""
    handle = ctypes.c_void_p()
    _check(create(ctypes.byref(handle), *args), create)
    return handle


def _check(status, function):
    if status:
        raise RuntimeError(f'oneDNN: {function.__name__} ended with status {status}')


def dims(numbers):
    """Sizes, strides or paddings as the API takes them: an array of int64."""
    return (ctypes.c_int64 * len(numbers))(*numbers)


def memory_desc(shape, dtype=FLOAT32, channels_last=False):
    """Memory descriptor of a contiguous array, or of (B, C, H, W) with the channels innermost."""
    return _new(library()[0].dnnl_memory_desc_create_with_strides, len(shape), dims(shape), dtype,
                dims(layout.strides(shape, channels_last)))


def any_order(shape, dtype):
    """Memory descriptor of an array whose memory order is the choice of the primitive."""
    return _new(library()[0].dnnl_memory_desc_create_with_tag, len(shape), dims(shape), dtype, ANY)


def primitive_desc(create, *args):
    """Call one of the functions ``dnnl_*_primitive_desc_create``, named by ``create``."""
    lib, cpu, _ = library()
    return _new(getattr(lib, create), cpu, *args)


def clipped(ceiling):
    """Attributes of a primitive that clips its results to [0, ceiling] before it stores them."""
    lib, _, _ = library()
    operations, attributes = _new(lib.dnnl_post_ops_create), _new(lib.dnnl_primitive_attr_create)
    _check(lib.dnnl_post_ops_append_eltwise(
        operations, CLIP, ctypes.c_float(0), ctypes.c_float(ceiling)),
        lib.dnnl_post_ops_append_eltwise)
    _check(lib.dnnl_primitive_attr_set_post_ops(attributes, operations),
           lib.dnnl_primitive_attr_set_post_ops)
    return attributes


class Primitive:
    """A prepared computation, which converts arrays to the memory orders and types that it needs.

    Args:
        descriptor: from :func:`primitive_desc`.
        operands: {operand such as SRC: memory descriptor of the array that a call passes for it}.
    """

    def __init__(self, descriptor, operands):
        lib, cpu, _ = library()
        self._primitive = _new(lib.dnnl_primitive_create, descriptor)
        self._operands = {}
        for operand, given in operands.items():
            wanted, reorder = given, None
            if operand[1] is not None:
                wanted = ctypes.c_void_p(lib.dnnl_primitive_desc_query_md(
                    descriptor, operand[1], 0))
            if not lib.dnnl_memory_desc_equal(given, wanted):
                pair = (wanted, given) if operand in RESULTS else (given, wanted)
                reorder = _new(lib.dnnl_primitive_create, _new(
                    lib.dnnl_reorder_primitive_desc_create, pair[0], cpu, pair[1], cpu, None))
            self._operands[operand] = given, wanted, reorder

    def __call__(self, arrays):
        """Compute.

        Args:
            arrays: {operand: float32 array in the order of its descriptor}; those of RESULTS are
                written.
        """
        own, after = {}, []
        with _lock:
            for operand, array in arrays.items():
                given, wanted, reorder = self._operands[operand]
                memory = _Memory(given, array.ctypes.data)
                if reorder is not None:
                    buffer = np.empty(library()[0].dnnl_memory_desc_get_size(wanted), np.uint8)
                    inner = _Memory(wanted, buffer.ctypes.data, buffer)
                    if operand in RESULTS:
                        after.append((reorder, inner, memory))
                    else:
                        _execute(reorder, {SRC: memory, DST: inner})
                    memory = inner
                own[operand] = memory
            _execute(self._primitive, own)
            for reorder, inner, memory in after:
                _execute(reorder, {SRC: inner, DST: memory})


class _Memory:
    """The handle of an array in oneDNN, which keeps ``owner`` alive."""

    def __init__(self, descriptor, address, owner=None):
        lib, cpu, _ = library()
        self.handle = _new(lib.dnnl_memory_create, descriptor, cpu, ctypes.c_void_p(address))
        self._owner, self._destroy = owner, lib.dnnl_memory_destroy

    def __del__(self):
        self._destroy(self.handle)


def _execute(primitive, memories):
    lib, _, stream = library()
    arguments = (_Argument * len(memories))(*(
        _Argument(operand[0], memory.handle) for operand, memory in memories.items()))
    _check(lib.dnnl_primitive_execute(primitive, stream, len(memories), arguments),
           lib.dnnl_primitive_execute)
    _check(lib.dnnl_stream_wait(stream), lib.dnnl_stream_wait)
