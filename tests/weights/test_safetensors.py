"""Files .safetensors: the names are those of a .pth."""
import json
import struct

from multibox.errors import UserError
from multibox.weights import read

import numpy as np
import pytest
import safetensors.numpy


def raw(path, kind, content, n):
    """Write one tensor of a type that NumPy lacks."""
    header = json.dumps({'a': {'dtype': kind, 'shape': [n], 'data_offsets': [0, len(content)]}})
    path.write_bytes(struct.pack('<Q', len(header)) + header.encode() + content)
    return str(path)


@pytest.mark.parametrize('kind', ['f8', 'f4', 'f2', 'i8', 'i4', 'i2', 'i1', 'u1', 'bool'])
def test_names_and_numbers_are_those_of_a_pth(tmp_path, kind):
    array = (np.arange(12).reshape(4, 3) % 3).astype(kind)
    safetensors.numpy.save_file({'module.loc.2.bias': np.arange(8, dtype='f'),
                                 'module.vgg.0.weight': array}, tmp_path / 'x.safetensors')
    found = read(str(tmp_path / 'x.safetensors'))
    assert found['multibox/loc/2/b'].dtype == np.float32
    assert (found['extractor/conv1_1/W'].dtype == np.float32) == (array.dtype.kind == 'f')
    np.testing.assert_array_equal(found['extractor/conv1_1/W'], array.astype('f'))
    np.testing.assert_array_equal(found['multibox/loc/2/b'], [1, 0, 3, 2, 5, 4, 7, 6])


def test_bfloat16_is_widened(tmp_path):
    bits = (np.array([1, -2.5], 'f').view('u4') >> 16).astype('<u2')
    found = read(raw(tmp_path / 'x.safetensors', 'BF16', bits.tobytes(), 2))
    np.testing.assert_array_equal(found['a'], [1, -2.5])


@pytest.mark.parametrize('kind', ['F8_E4M3', 'F8_E5M2'])
def test_float8_is_refused_by_name(tmp_path, kind):
    with pytest.raises(UserError, match=f"'a' is of the type {kind}, which is not read"):
        read(raw(tmp_path / 'x.safetensors', kind, bytes(3), 3))


@pytest.mark.parametrize('content', [
    b'', b'<!DOCTYPE html>', struct.pack('<Q', 2 ** 62) + b'{}', struct.pack('<Q', 4) + b'\x1b[31',
], ids=['empty', 'page', 'huge header', 'escape codes'])
def test_damaged_files_are_refused_in_one_line(tmp_path, content):
    (tmp_path / 'x.safetensors').write_bytes(content)
    with pytest.raises(UserError, match=r'x\.safetensors: not a readable \.safetensors') as refused:
        read(str(tmp_path / 'x.safetensors'))
    assert str(refused.value).isprintable()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r'x\.safetensors: no such file'):
        read(str(tmp_path / 'x.safetensors'))


def test_a_tensor_of_very_many_dimensions_is_refused_by_name(tmp_path):
    path = tmp_path / 'x.safetensors'
    header = b'{"a":{"dtype":"F32","shape":[' + b','.join([b'1'] * 70) + b'],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(4))
    with pytest.raises(UserError, match="'a' has 70 dimensions"):
        read(str(path))
