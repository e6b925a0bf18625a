"""A stand-in for the package cudnn and for CuPy, with NumPy arrays in place of device arrays.

A graph reads memory by the declared dimensions, strides, types and paddings alone. A wrong
declaration therefore gives a wrong result or an AssertionError. Graphs compute in float64.
"""
import ctypes
import enum
import sys
import types

import numpy as np

data_type = enum.Enum('data_type', 'FLOAT HALF BFLOAT16')
heur_mode = enum.Enum('heur_mode', 'A FALLBACK')
numerical_note = enum.Enum(
    'numerical_note', 'TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION '
    'NONDETERMINISTIC')
WIDTH = {data_type.FLOAT: np.float32, data_type.HALF: np.float16, data_type.BFLOAT16: np.uint16}
STREAM = 77
graphs = []  # all graphs since the import
stream_of = {}  # from handle to stream


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
        self.bias_tensor, self.fused = None, []
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
        return self._convolution(image, weight, Tensor(), **geometry)

    def conv_dgrad(self, loss, filter, **geometry):
        return self._convolution(Tensor(), filter, loss, **geometry)

    def conv_wgrad(self, image, loss, **geometry):
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
        assert modes == [heur_mode.A, heur_mode.FALLBACK]

    def deselect_numeric_notes(self, notes):
        self.deselected = {note.name for note in notes}

    def check_support(self):
        pass

    def build_plans(self):
        self.built = True

    def get_workspace_size(self):
        return 24

    def execute(self, pack, workspace, handle):
        assert self.built and workspace and handle == self.handle
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


def elementwise(inputs, outputs, body, name):
    return {'round_to_bfloat16': round_to_bfloat16, 'widen_bfloat16': widen_bfloat16}[name]


cuda = types.SimpleNamespace(  # replaces chainer.backends.cuda
    available=True, ndarray=np.ndarray, elementwise=elementwise,
    cupy=types.SimpleNamespace(
        empty=np.empty, minimum=np.minimum, ascontiguousarray=np.ascontiguousarray,
        cuda=types.SimpleNamespace(
            Device=lambda: types.SimpleNamespace(id=0),
            get_current_stream=lambda: types.SimpleNamespace(ptr=STREAM))))


def pretend(monkeypatch):
    """Let the engine ``cudnn`` use this module for the package, and NumPy for CuPy.

    Unless the test runs kernels by the fixture ``kernel_xp``, Chainer's functions take their place.
    """
    from multibox.engines import kernels
    from multibox.engines.convolution import cudnn, graphs
    monkeypatch.setitem(sys.modules, 'cudnn', sys.modules[__name__])
    for module in (cudnn, graphs):
        monkeypatch.setattr(module, 'cuda', cuda)
    if getattr(kernels.launch, '__module__', None) == kernels.__name__:
        monkeypatch.setattr(kernels, 'takes', lambda *arrays: False)
    monkeypatch.setattr(kernels, 'is_on_gpu', lambda array: isinstance(array, np.ndarray))
    monkeypatch.setattr(kernels, 'address', lambda array: array.ctypes.data)
    cudnn._plan.cache_clear()
    graphs._handle.cache_clear()
