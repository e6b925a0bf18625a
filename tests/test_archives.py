"""Archives of arrays that claim more than they hold, and files that are no archives."""
import io
import os
import tracemalloc
import zipfile

from multibox import archives
from multibox.errors import UserError
from multibox.weights import load_model, read

import numpy as np
import pytest


def header(shape, dtype='<f4', version=(1, 0), fortran=False):
    """The beginning of an .npy file."""
    file = io.BytesIO()
    text = repr({'descr': dtype, 'fortran_order': fortran, 'shape': shape}).encode() + b'\n'
    file.write(b'\x93NUMPY' + bytes(version) + len(text).to_bytes(2 if version[0] == 1 else 4,
                                                                  'little') + text)
    return file.getvalue()


def archive(path, *members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def refusal(path):
    """The message about a file, which must be one line and take little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as refused:
            archives.read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 2 ** 24
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(f'{path}: ') and str(refused.value).isprintable()
    return str(refused.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'x.npz'


@pytest.mark.parametrize('array', [
    np.arange(6.).reshape(2, 3), np.asfortranarray(np.arange(6.).reshape(2, 3)),
    np.arange(4, dtype='>f4'), np.array(3), np.array('word'), np.zeros((0, 5), 'f'),
    np.array([True, False]), np.ones(3, np.float16)], ids=lambda array: f'{array.dtype}')
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_arrays_of_numbers_are_those_of_numpy(path, array, save):
    save(path, a=array, b=np.zeros(300_000, 'f'))
    found = archives.read_arrays(path)
    assert list(found) == ['a', 'b'] and found['a'].dtype.isnative
    assert found['a'].shape == array.shape and found['a'].flags.c_contiguous
    np.testing.assert_array_equal(found['a'], array)


def test_zeros_beyond_the_size_of_the_file_are_not_expanded(path):
    part = bytes(2 ** 20)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as file, file.open(
            'a.npy', 'w') as member:
        member.write(header((100 * 2 ** 18,)))
        for _ in range(100):
            member.write(part)
    assert 'would expand to 104,857,6' in refusal(path)


@pytest.mark.parametrize('shape', [(2 ** 40,), (2 ** 62, 2 ** 62), (-1, 4), (-4, -4), (5,), (),
                                   (1,) * 40 + (4,), (2 ** 70, 0)], ids=str)
def test_a_shape_that_the_member_does_not_hold_is_refused(path, shape):
    archive(path, ('a.npy', header(shape) + bytes(16)))
    assert 'a.npy has 16 bytes, and its shape is' in refusal(path)


@pytest.mark.parametrize('dtype', ['|O', 'S4', '<U4', [('a', '<f4')], ('<f4', (2,)), '<c8',
                                   '<M8[s]', '<f16', '|V4', 'nonsense', 7], ids=str)
def test_elements_that_are_no_numbers_are_refused(path, dtype):
    archive(path, ('a.npy', header((4,), dtype) + bytes(16)))
    assert 'not a readable .npz file (' in refusal(path)


@pytest.mark.parametrize('content', [
    header((4,), version=(3, 0)) + bytes(16), header((4,), version=(9, 9)) + bytes(16),
    b'\x93NUMPY\x01\x00\xff\xff' + b'(' * 65535, b'\x93NUMPY\x02\x00\xff\xff\xff\xff{', b'',
    b'\x93NUMPY\x01\x00\x10\x00{"descr": "<f4"}', header(('4',)) + bytes(16),
    header((), '<U2') + b'abcd', header((), '<U2') + b'\xff' * 8,
], ids=['version 3', 'version 9', 'brackets', 'header of 4 GB', 'empty', 'no shape', 'letters',
        'text cut off', 'no letters'])
def test_a_damaged_header_is_refused(path, content):
    archive(path, ('a.npy', content))
    assert 'not a readable .npz file (' in refusal(path)


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('names, reason', [
    (['a.npy', 'a.npy'], 'names a member twice'), (['../a.npy'], 'is no name of an array'),
    (['a' * 600 + '.npy'], 'is no name of an array'), (['\x1b[31m.npy'], 'is no name of an array'),
    (['a.txt'], 'a.txt is no array'),
    ([f'{i:0400}.npy' for i in range(2500)], 'directory is too large')],
    ids=['twice', 'outside', 'long', 'escape codes', 'other file', 'many'])
def test_names_of_no_arrays_are_refused(path, names, reason):
    archive(path, *[(name, header((1,)) + bytes(4)) for name in names])
    assert reason in refusal(path)


def test_members_that_overlap_are_refused(path):
    np.savez(path, a=np.zeros(1000), b=np.zeros(1000))
    content = bytearray(path.read_bytes())
    for name in b'a.npy', b'b.npy':  # both of them become as large as the file
        at = content.rfind(name) - 46
        content[at + 20:at + 28] = (2 * len(content) // 3).to_bytes(4, 'little') * 2
    path.write_bytes(content)
    assert 'overlap' in refusal(path).lower()


@pytest.mark.parametrize('compression', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_in_another_compression_are_refused(path, compression):
    archive(path, ('a.npy', header((4,)) + bytes(16)), compression=compression)
    assert 'is compressed in another way' in refusal(path)


def test_an_encrypted_member_is_refused(path):
    np.savez(path, a=np.zeros(3))
    content = bytearray(path.read_bytes())
    content[content.rfind(b'PK\x01\x02') + 8] |= 1
    path.write_bytes(content)
    assert 'a.npy is encrypted' in refusal(path)


def test_a_flipped_bit_of_a_number_is_found(path):
    np.savez(path, a=np.arange(1000.))
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    assert 'Bad CRC' in refusal(path)


OTHERS = {'web page': b'<!DOCTYPE html><html>', 'JSON': b'{"error": "not found"}',
          'Git LFS': b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'empty': b'',
          'tar archive': bytes(257) + b'ustar' + bytes(300), 'gzip': b'\x1f\x8b' + bytes(30)}


@pytest.mark.parametrize('kind', OTHERS)
@pytest.mark.parametrize('suffix', ['.npz', '.pth', '.safetensors', '.caffemodel'])
def test_the_kind_of_a_file_that_is_none_of_weights_is_told(tmp_path, kind, suffix):
    path = tmp_path / f'weights{suffix}'
    path.write_bytes(OTHERS[kind])
    with pytest.raises(UserError, match=f'it is .*{kind}'):
        read(str(path))


@pytest.mark.parametrize('name', ['x.npz', 'x.pth', 'x.safetensors', 'x.caffemodel',
                                  'snapshot_iter_1'])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=f'{name}: is not a regular file'):
        read(str(tmp_path / name))
    if name == 'x.npz':
        with pytest.raises(UserError, match='is not a regular file'):
            load_model(tmp_path / name)
