"""A stand-in for the package cudnn and for CuPy, with NumPy arrays in place of device arrays.

A graph reads memory by the declared dimensions, strides, types and paddings alone. A wrong
declaration therefore gives a wrong result or an AssertionError. Graphs compute in float64. All
graphs offer the plans of :data:`offers`, whose seconds pass on the clock of the events.
"""
import contextlib
import ctypes
import enum
import sys
import types
import typing

import numpy as np

data_type = enum.Enum('data_type', 'FLOAT HALF BFLOAT16')
heur_mode = enum.Enum('heur_mode', 'A B FALLBACK')
numerical_note = enum.Enum(
    'numerical_note', 'TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION '
    'NONDETERMINISTIC')
WIDTH = {data_type.FLOAT: np.float32, data_type.HALF: np.float16, data_type.BFLOAT16: np.uint16}
STREAM = 77
graphs = []  # all graphs since the import
offers = []  # a test puts :class:`Offer` there
clock = 0.  # seconds of the GPU
stream_of = {}  # from handle to stream


class cudnnGraphNotSupportedError(Exception):
    pass


class Offer(typing.NamedTuple):
    """A plan: its name, milliseconds, numerical notes, and what it needs."""

    name: str
    ms: float = 1.
    notes: tuple = ()
    workspace: int = 24
    fails: bool = False  # when it runs
    only: str = ''  # an operation
    first: bool | None = None  # whether it takes arrays with their channels first; None: both


class Event:
    """An event of CUDA, on the clock of the stand-in."""

    def record(self, stream):
        assert stream.ptr == STREAM
        self.time = clock

    def synchronize(self):
        pass


def backend_version():
    return 92800


def create_handle():
    stream_of[len(stream_of)] = None
    return len(stream_of) - 1


def set_stream(handle, stream):
    stream_of[handle] = stream


def round_to_bfloat16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return (bits + 0x7fff + (bits >> 16 & 1) >> 16).astype(np.uint16)


def widen_bfloat16(x):
    return (np.ascontiguousarray(x).astype(np.uint32) << 16).view(np.float32)


class Tensor:
    def __init__(self, dim=None, stride=None, dtype=data_type.FLOAT):
        self.dim, self.stride, self.dtype, self.output = dim, stride, dtype, False

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self

    def set_data_type(self, dtype):
        self.dtype = dtype
        return self

    def set_output(self, output):
        self.output = output
        return self

    def at(self, pointer):
        """The array at an address, with the declared dimensions, strides and type."""
        assert pointer % 16 == 0, 'cuDNN takes aligned addresses for granted'
        width = np.dtype(WIDTH[self.dtype])
        extent = 1 + sum((d - 1) * s for d, s in zip(self.dim, self.stride))
        memory = (ctypes.c_byte * (extent * width.itemsize)).from_address(pointer)
        return np.lib.stride_tricks.as_strided(
            np.frombuffer(memory, width), self.dim, [s * width.itemsize for s in self.stride])

    def read(self, pointer):
        array = self.at(pointer)
        return (widen_bfloat16(array) if self.dtype == data_type.BFLOAT16 else array).astype(float)

    def write(self, pointer, values):
        rounded = values.astype(np.float32)
        self.at(pointer)[...] = (round_to_bfloat16(rounded) if self.dtype == data_type.BFLOAT16
                                 else rounded)


class pygraph:
    def __init__(self, handle, io_data_type, intermediate_data_type, compute_data_type):
        assert intermediate_data_type == compute_data_type == data_type.FLOAT
        self.handle, self.built, self.runs = handle, False, 0
        self.bias_tensor, self.fused, self.limit, self.chosen = None, [], np.inf, None
        graphs.append(self)

    def tensor(self, name, dim, stride, data_type):
        assert len(dim) == len(stride) == 4
        return Tensor(dim, stride, data_type)

    def _convolution(self, x, W, y, pre_padding, post_padding, stride, dilation):
        self.x, self.W, self.y, self.before = x, W, y, pre_padding
        self.after, self.stride, self.dilation = post_padding, stride, dilation
        self.result = next(tensor for tensor in (x, W, y) if tensor.dim is None)
        return self.result

    def conv_fprop(self, image, weight, **geometry):
        self.operation = 'conv_fprop'
        return self._convolution(image, weight, Tensor(), **geometry)

    def conv_dgrad(self, loss, filter, **geometry):
        self.operation = 'conv_dgrad'
        return self._convolution(Tensor(), filter, loss, **geometry)

    def conv_wgrad(self, image, loss, **geometry):
        self.operation = 'conv_wgrad'
        return self._convolution(image, Tensor(), loss, **geometry)

    def bias(self, name, input, bias):
        assert input is self.result and bias.dim == [1, input.dim[1], 1, 1]
        self.bias_tensor = bias
        return self._fuse('bias', input)

    def relu(self, name, input):
        assert input is self.result
        return self._fuse('relu', input)

    def _fuse(self, operation, input):
        self.fused.append(operation)
        self.result = Tensor(input.dim, input.stride)
        return self.result

    def validate(self):
        for size, k, out, before, after, s, d in zip(
                self.x.dim[2:], self.W.dim[2:], self.y.dim[2:], self.before, self.after,
                self.stride, self.dilation):
            assert out == (size + before + after - (k - 1) * d - 1) // s + 1
        self.groups = self.x.dim[1] // self.W.dim[1]
        assert self.x.dim[:2] + self.W.dim[:1] == [
            self.y.dim[0], self.groups * self.W.dim[1], self.y.dim[1]]
        assert self.result.output

    def build_operation_graph(self):
        pass

    def create_execution_plans(self, modes):
        assert modes in ([heur_mode.A, heur_mode.FALLBACK], list(heur_mode))
        first = self.x.stride[1] != 1
        self.offers = [offer for offer in offers if offer.only in ('', self.operation)
                       and offer.first in (None, first)] or [Offer('the only')]

    def deselect_numeric_notes(self, notes):
        self.deselected = {note.name for note in notes}

    def deselect_workspace_greater_than(self, limit):
        self.limit = limit

    def get_execution_plan_count(self):
        return len(self.offers)

    def get_plan_name_at_index(self, index):
        return self.offers[index].name

    def build_plan_at_index(self, index):
        offer = self.offers[index]
        if self.deselected & {*offer.notes} or offer.workspace > self.limit:
            raise cudnnGraphNotSupportedError('deselected')
        self.built, self.chosen = True, offer

    def get_workspace_size_plan_at_index(self, index):
        return self.offers[index].workspace

    def check_support(self):
        pass

    def build_plans(self):
        for index in range(len(self.offers)):
            with contextlib.suppress(cudnnGraphNotSupportedError):
                return self.build_plan_at_index(index)
        raise cudnnGraphNotSupportedError('no plan')

    def get_workspace_size(self):
        return self.chosen.workspace

    def execute_plan_at_index(self, pack, workspace, index, handle):
        assert self.chosen == self.offers[index]
        self.execute(pack, workspace, handle)

    def execute(self, pack, workspace, handle):
        global clock
        assert self.built and workspace and handle == self.handle
        if self.chosen.fails:
            raise RuntimeError('CUDNN_STATUS_EXECUTION_FAILED')
        clock += self.chosen.ms / 1e3
        assert stream_of[handle] == STREAM
        self.runs += 1
        result = self.result
        values = {t: t.read(pointer) for t, pointer in pack.items() if t is not result}
        x = values.get(self.x, np.zeros(self.x.dim))
        W, y = (values.get(t, np.zeros(t.dim)) for t in (self.W, self.y))
        out = {id(self.x): x, id(self.W): W}.get(id(result), y)
        (top, left), (bottom, right) = self.before, self.after
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        for i, j in np.ndindex(*self.W.dim[2:]):
            rows, columns = (slice(tap * d, tap * d + (n - 1) * s + 1, s) for tap, d, n, s in zip(
                (i, j), self.dilation, self.y.dim[2:], self.stride))
            taken = padded[:, :, rows, columns]  # a view
            of_group = taken.reshape(len(x), self.groups, -1, *self.y.dim[2:])
            grouped_y, tap = y.reshape(len(x), self.groups, -1, *self.y.dim[2:]), W[:, :, i, j]
            grouped_W = tap.reshape(self.groups, -1, W.shape[1])
            if out is x:
                taken += np.einsum('bgohw,goc->bgchw', grouped_y, grouped_W).reshape(taken.shape)
            elif out is W:
                tap += np.einsum('bgohw,bgchw->goc', grouped_y, of_group).reshape(tap.shape)
            else:
                y += np.einsum('bgchw,goc->bgohw', of_group, grouped_W).reshape(y.shape)
        if out is x:
            out = padded[:, :, top:padded.shape[2] - bottom, left:padded.shape[3] - right]
        if self.bias_tensor is not None:
            out = out + values[self.bias_tensor]
        if 'relu' in self.fused:
            out = np.maximum(out, 0)
        result.write(pack[result], out)


cuda = types.SimpleNamespace(  # replaces chainer.backends.cuda
    available=True, ndarray=np.ndarray,
    cupy=types.SimpleNamespace(
        empty=np.empty, minimum=np.minimum, ascontiguousarray=np.ascontiguousarray,
        cuda=types.SimpleNamespace(
            Event=Event, get_elapsed_time=lambda start, stop: 1e3 * (stop.time - start.time),
            Device=lambda: types.SimpleNamespace(id=0),
            get_current_stream=lambda: types.SimpleNamespace(ptr=STREAM))))


def pretend(monkeypatch):
    """Let the engine ``cudnn`` use this module for the package, and NumPy for CuPy.

    Unless the test runs kernels by the fixture ``kernel_xp``, Chainer's functions take their place.
    """
    from multibox.engines import kernels
    from multibox.engines.convolution import cudnn, forms, graphs, plans, timing
    monkeypatch.setitem(sys.modules, 'cudnn', sys.modules[__name__])
    for module in (cudnn, forms, graphs, timing):
        monkeypatch.setattr(module, 'cuda', cuda)
    monkeypatch.setattr(timing, 'BEFORE', 16)
    monkeypatch.setattr(plans, '_table', plans.Table())
    monkeypatch.setattr(sys.modules[__name__], 'offers', [])
    if getattr(kernels.launch, '__module__', None) == kernels.__name__:
        monkeypatch.setattr(kernels, 'takes', lambda *arrays: False)
    monkeypatch.setattr(kernels, 'is_on_gpu', lambda array: isinstance(array, np.ndarray))
    monkeypatch.setattr(kernels, 'address', lambda array: array.ctypes.data)
    cudnn._plan.cache_clear()
    graphs._handle.cache_clear()
