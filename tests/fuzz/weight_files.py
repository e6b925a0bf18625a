"""Structured files of weights of Hypothesis: the formats are right, and their contents are not."""
import json
import struct

from tests.fuzz.strategies import TEXT, any_value
from tests.support import caffe_files, torch_files
from tests.support.malice import Malice

import numpy as np
from hypothesis import strategies as st

MARKER = 'executed'  # a pickle of an attacker makes this file
EDGES = st.sampled_from([0, 1, 2, 6, -1, 2 ** 31, 2 ** 32, 2 ** 62, 2 ** 63 - 1])
SIZES = st.lists(st.integers(0, 4) | EDGES, max_size=4).map(tuple)
NUMBERS = st.floats(width=32) | st.sampled_from([0., -1., 30., 1e-30, 1e30])


def _view(kind, offset, shape, strides, function):
    return torch_files.View(np.ones(6, kind), offset, shape, strides, function)


def checkpoint(zipped):
    """Files of torch.save with tensors that need not fit their storages, and other objects."""
    view = st.builds(_view, st.sampled_from(sorted(torch_files.KINDS)), st.integers(0, 3) | EDGES,
                     SIZES, SIZES, st.sampled_from(['_rebuild_tensor', '_rebuild_tensor_v2']))
    array = st.builds(np.ones, st.lists(st.integers(0, 4), max_size=3), st.sampled_from('fdil'))
    tensor = view | array | array.map(torch_files.Parameter)
    names = TEXT | st.sampled_from(['vgg.0.weight', 'loc.0.bias', 'state_dict', 'model', 'ema'])
    other = any_value() | st.just(Malice(MARKER))
    content = st.recursive(tensor | other, lambda inner: st.dictionaries(names, inner, max_size=4),
                           max_leaves=8)
    weights = st.dictionaries(names, tensor, max_size=4)
    return (content | weights).map(lambda value: torch_files.dump(value, zipped))


def safetensors():
    """Files .safetensors whose header lies about types, shapes or places."""
    entry = st.fixed_dictionaries({}, optional={
        'dtype': st.sampled_from(['F32', 'F16', 'BF16', 'I64', 'U8', 'BOOL', 'F8_E4M3', 'X', None]),
        'shape': SIZES.map(list) | any_value(),
        'data_offsets': st.lists(st.integers(0, 48) | EDGES, max_size=3) | any_value()})
    good = st.just({'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 24]})
    return st.dictionaries(TEXT, good | entry | any_value(), max_size=3).map(_with_header)


def _with_header(header):
    text = json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + bytes(24)


def caffemodel(layers):
    """Files .caffemodel whose layers have any sizes, and default boxes of any numbers."""
    prior = st.fixed_dictionaries({}, optional={
        **dict.fromkeys(('min_size', 'max_size', 'aspect_ratio'),
                        st.lists(NUMBERS, max_size=3).map(tuple)),
        'flip': st.booleans(), 'clip': st.booleans(), 'step': NUMBERS, 'offset': NUMBERS,
        'variance': st.just(caffe_files.VARIANCE) | st.lists(NUMBERS, max_size=4).map(tuple)})
    boxes = st.builds(lambda name, prior: caffe_files.layer(
        f'{name}_mbox_priorbox', 'PriorBox', prior_box=prior), st.sampled_from(layers), prior)
    array = st.builds(np.ones, st.lists(st.integers(0, 3), max_size=4))
    names = st.sampled_from(['conv1_1', 'fc6', 'conv4_3_norm', *(
        f'{name}_mbox_{head}' for name in layers for head in ('loc', 'conf'))])
    weights = st.builds(lambda name, arrays: caffe_files.layer(name, 'Convolution', *arrays), names,
                        st.lists(array, max_size=3))
    old = st.builds(lambda name, arrays: caffe_files.old_layer(name, *arrays), names,
                    st.lists(array, max_size=2))
    return st.lists(boxes | weights | old, max_size=7).map(b''.join)
