"""Convolutions as graphs of cuDNN 9, through NVIDIA's package nvidia-cudnn-frontend.

See "Convolutions" and "Core Concepts" in the documentation of cuDNN's frontend.
"""
import functools
import threading

from multibox.engines import kernels, layout

import numpy as np
from chainer.backends import cuda

PACKAGE = 'nvidia-cudnn-frontend'
OPERATIONS = {  # name in pygraph: its factors by argument, and its result
    'conv_fprop': ({'image': 'x', 'weight': 'W'}, 'y'),
    'conv_dgrad': ({'loss': 'y', 'filter': 'W'}, 'x'),
    'conv_wgrad': ({'image': 'x', 'loss': 'y'}, 'W')}
DATA_TYPES = {'float32': 'FLOAT', 'float16': 'HALF', 'bfloat16': 'BFLOAT16'}
# Notes of kernels to leave out: they round float32 to float16, sum in less than float32, or do not
# repeat.
UNWANTED = 'DOWN_CONVERT_INPUTS', 'REDUCED_PRECISION_REDUCTION', 'NONDETERMINISTIC'
LARGEST_WORKSPACE = 2 ** 30  # bytes, of the plans among which :mod:`plans` chooses
_lock = threading.Lock()  # a handle has one stream


def missing():
    """The reason why this machine cannot use cuDNN, in words; None if it can."""
    if not cuda.available:
        return 'CuPy finds no GPU here'
    try:
        import cudnn
        version = cudnn.backend_version()
    except (ImportError, OSError, RuntimeError) as error:  # no package, or no cuDNN to load
        return (f'the package {PACKAGE} is missing or finds no cuDNN ({error}); install '
                'requirements-cuda13.txt (without a checkout: pip install "multibox[cuda13]"), or '
                'for CUDA 12 the same with cuda12')
    return None if version >= 90000 else f'cuDNN is {version} and must be 90000 or newer'


@functools.cache
def _handle(device):
    import cudnn
    return cudnn.create_handle()  # for the current device


class Graph:
    """A convolution or one of its gradients as a graph of cuDNN on the current device.

    Args:
        operation: a key of :data:`OPERATIONS`.
        shapes: {'x': (B, C, H, W), 'W': (O, C / G, kh, kw), 'y': (B, O, out_h, out_w)}; cuDNN takes
            the number of groups G from them.
        geometry: (stride, pad, dilate), pairs (y, x).
        dtype: type of all arrays, a key of :data:`DATA_TYPES`; products are summed in float32.
        exact: whether float32 factors stay off the tensor cores, which would round them to TF32.
        bias: whether a bias (O,) is added.
        relu: whether negative results become 0, after the bias.
        channels_last: the order in memory of all arrays: (B, H, W, C), or else (B, C, H, W).

    Attributes:
        shape: shape of the result, in the order of ``shapes``.

    Raises:
        cudnn.cudnnGraphNotSupportedError: cuDNN cannot compute this on this GPU.
    """

    def __init__(self, operation, shapes, geometry, dtype, exact, bias, relu, channels_last=True):
        import cudnn
        factors, result = OPERATIONS[operation]
        self.shape = shapes[result]
        self._exact, self._handle = exact, _handle(cuda.cupy.cuda.Device().id)
        dtype, real = getattr(cudnn.data_type, DATA_TYPES[dtype]), cudnn.data_type.FLOAT
        graph = cudnn.pygraph(handle=self._handle, io_data_type=dtype, intermediate_data_type=real,
                              compute_data_type=real)

        def operand(name, shape):
            return graph.tensor(name=name, dim=list(shape), data_type=dtype,
                                stride=layout.strides(shape, channels_last))

        stride, pad, dilate = map(list, geometry)
        self._tensors = [operand(name, shapes[name]) for name in factors.values()]
        y = getattr(graph, operation)(
            **dict(zip(factors, self._tensors)), pre_padding=pad,
            post_padding=padding_after(shapes, geometry), stride=stride, dilation=dilate)
        # With a stride, several shapes of x give one shape of y, so a gradient needs its shape set.
        y.set_dim(list(self.shape)).set_stride(layout.strides(self.shape, channels_last))
        if bias:
            self._tensors.append(operand('b', (1, self.shape[1], 1, 1)))
            y = graph.bias(name='bias', input=y, bias=self._tensors[-1])
        if relu:
            y = graph.relu(name='relu', input=y)
        self._tensors.append(y.set_output(True).set_data_type(dtype))
        graph.validate()
        graph.build_operation_graph()
        self._graph = graph

    def build_first(self):
        """Build the first plan of cuDNN's heuristic, and return this object."""
        self._ask('A', 'FALLBACK')
        self._graph.check_support()
        self._graph.build_plans()
        self._index, self._workspace_size = None, self._graph.get_workspace_size()
        return self

    def offers(self):
        """List the names of all plans, the most promising first; cuDNN may refuse to build some."""
        self._ask('A', 'B', 'FALLBACK')
        self._graph.deselect_workspace_greater_than(LARGEST_WORKSPACE)
        return [self._graph.get_plan_name_at_index(index)
                for index in range(self._graph.get_execution_plan_count())]

    def build(self, index):
        """Build a plan of :meth:`offers` by its index, and compute by it from now on.

        Raises:
            cudnn.cudnnGraphNotSupportedError, RuntimeError: cuDNN refuses, because the plan does
                not fit this GPU, needs a larger workspace, or has an unwanted note.
        """
        self._graph.build_plan_at_index(index)
        self._index = index
        self._workspace_size = self._graph.get_workspace_size_plan_at_index(index)

    def _ask(self, *modes):
        import cudnn
        self._graph.create_execution_plans([getattr(cudnn.heur_mode, mode) for mode in modes])
        self._graph.deselect_numeric_notes([getattr(cudnn.numerical_note, note) for note in (
            (*UNWANTED, 'TENSOR_CORE') if self._exact else UNWANTED)])

    def __call__(self, *arrays):
        """Compute on the current stream, without waiting for it.

        Args:
            arrays: contiguous CuPy arrays in the order of the graph: the factors in the order of
                :data:`OPERATIONS`, the bias if there is one, and the result, which is written.
        """
        import cudnn
        cupy = cuda.cupy
        # CuPy's pool may reuse the workspace at once, but only for later work on the same stream.
        workspace = cupy.empty(self._workspace_size, np.uint8)
        arguments = [dict(zip(self._tensors, map(kernels.address, arrays))),
                     kernels.address(workspace)]
        with _lock:
            cudnn.set_stream(handle=self._handle, stream=cupy.cuda.get_current_stream().ptr)
            if self._index is None:
                self._graph.execute(*arguments, handle=self._handle)
            else:
                self._graph.execute_plan_at_index(*arguments, self._index, handle=self._handle)


def padding_after(shapes, geometry):
    """Padding below and to the right: that above and to the left, or more if outputs need more."""
    return [max(p, (out - 1) * s + (k - 1) * d + 1 - p - size)
            for size, k, out, s, p, d in zip(shapes['x'][2:], shapes['W'][2:], shapes['y'][2:],
                                             *geometry)]
