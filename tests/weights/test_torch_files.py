"""Files of torch.save, read without torch: both formats, all types, and bytes of any kind."""
import argparse
import codecs
import collections
import io
import pickle
import sys
import zipfile

from multibox.errors import UserError
from multibox.weights import pickles, read
from tests.support.malice import Malice
from tests.support.torch_files import KINDS, Parameter, View, dump, write

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'row of pickles'])
ROW = np.arange(24, dtype='f')


def saved(tmp_path, content, zipped=True):
    path = tmp_path / 'x.pth'
    write(path, content, zipped)
    return str(path)


def refusal(path):
    with pytest.raises(UserError) as refused:
        read(str(path))
    message = str(refused.value)
    assert message.isprintable() and str(path) in message
    return message.replace(str(path), 'x.pth')


@FORMATS
@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind not in ('u2', 'c8')])
def test_floats_become_float32_and_integers_keep_their_type(tmp_path, zipped, kind):
    array = (np.arange(12).reshape(3, 2, 2) % 5).astype(kind)
    found = read(saved(tmp_path, {'a': array}, zipped))['a']
    assert found.dtype == (np.float32 if array.dtype.kind == 'f' else
                           'u1' if kind == 'b1' else kind)
    np.testing.assert_array_equal(found, array.astype('f'))


@FORMATS
def test_bfloat16_is_widened(tmp_path, zipped):
    numbers = np.array([1, -2.5, 3e38, 0, np.inf], 'f')
    bits = (numbers.view('u4') >> 16).astype('u2')
    found = read(saved(tmp_path, {'a': bits, 'b': View(bits, 1, (), ())}, zipped))
    np.testing.assert_allclose(found['a'], numbers, rtol=2 ** -7)
    assert found['b'] == -2.5


@FORMATS
@pytest.mark.parametrize('view, expected', [
    (View(ROW, 5, (2, 3), (3, 1)), ROW[5:11].reshape(2, 3)),
    (View(ROW, 0, (4, 6), (1, 4)), ROW.reshape(6, 4).T),
    (View(ROW, 1, (3, 2), (8, 2)), ROW.reshape(3, 8)[:, 1:5:2]),
    (View(ROW, 23, (), ()), ROW[23]),
    (View(ROW, 3, (2, 4), (0, 1)), np.stack([ROW[3:7]] * 2)),
    (View(ROW, 99, (2, 0), (1, 1)), np.zeros((2, 0))),
    (View(ROW, 2, (3,), (1,), '_rebuild_tensor'), ROW[2:5]),
], ids=['offset', 'transposed', 'steps', 'scalar', 'expanded', 'empty', 'first version'])
def test_a_view_has_its_elements(tmp_path, zipped, view, expected):
    found = read(saved(tmp_path, {'a': view, 'b': View(ROW, 0, (24,), (1,))}, zipped))
    np.testing.assert_array_equal(found['a'], expected)
    np.testing.assert_array_equal(found['b'], ROW)


def test_a_storage_may_view_another_one(tmp_path):
    view = View(ROW, 2, (3,), (1,), old_view=(4, 10))
    np.testing.assert_array_equal(read(saved(tmp_path, {'a': view}, False))['a'], ROW[6:9])


@FORMATS
def test_tensors_that_share_a_storage_are_arrays_of_their_own(tmp_path, zipped):
    found = read(saved(tmp_path, {'a': View(ROW, 0, (24,), (1,)), 'b': View(ROW, 0, (24,), (1,))},
                       zipped))
    found['a'][:] = 0
    np.testing.assert_array_equal(found['b'], ROW)


@FORMATS
def test_parameters_and_ordered_dicts_are_read(tmp_path, zipped):
    state = collections.OrderedDict(a=Parameter(ROW))
    state._metadata = {'': {'version': 1}}
    np.testing.assert_array_equal(read(saved(tmp_path, state, zipped))['a'], ROW)


def test_an_ordered_dict_of_python_2_is_read():
    entries = pickle.dumps(([['a', 1], ['b', 2]],), protocol=2)[2:-1]
    content = b'\x80\x02ccollections\nOrderedDict\n' + entries + b'R.'
    assert pickles.load(io.BytesIO(content)) == {'a': 1, 'b': 2}


@FORMATS
def test_objects_beside_the_weights_are_not_made(tmp_path, zipped, monkeypatch):
    content = {'state_dict': {'a': ROW}, 'args': argparse.Namespace(lr=.1), 'best': np.float64(.5),
               'evil': Malice(tmp_path / 'ran'), 'seen': {1, 2}, 'optimizer': {'state': {0: [ROW]}}}
    path = saved(tmp_path, content, zipped)
    monkeypatch.setitem(sys.modules, 'argparse', None)  # an import raises ImportError
    np.testing.assert_array_equal(read(path)['a'], ROW)
    assert not (tmp_path / 'ran').exists()


@FORMATS
def test_what_torch_saves_is_read(tmp_path, zipped):
    torch = pytest.importorskip('torch')
    base = torch.arange(24.).reshape(4, 6) / 7
    for dtype in torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64:
        tensor = base.to(dtype)
        state = {'whole': tensor, 'turned': tensor.T, 'part': tensor[1:, ::2], 'one': tensor[2, 3],
                 'none': tensor[:0]}
        torch.save({'model': state, 'optimizer': {'state': {0: tensor}}}, tmp_path / 'x.pth',
                   _use_new_zipfile_serialization=zipped)
        found = read(str(tmp_path / 'x.pth'))
        assert list(found) == list(state)
        for name, expected in state.items():
            np.testing.assert_array_equal(found[name], expected.float().numpy())


@FORMATS
@pytest.mark.parametrize('view', [
    View(ROW, 1, (24,), (1,)), View(ROW, 0, (2, 2), (23, 1)), View(ROW, 24, (), ()),
    View(ROW, 0, (2, 2), (1,)), View(ROW, -1, (2,), (1,)), View(ROW, 0, (2,), (-1,)),
    View(ROW, 0, (-1,), (1,)), View(ROW, 0, (2.,), (1,)), View(ROW, 0, (2 ** 40, 2 ** 40), (0, 0)),
    View(ROW, 0, (1,) * 40, (0,) * 40), View(ROW, 2 ** 70, (1,), (1,)), View(ROW, 'a', (1,), (1,)),
], ids=str)
def test_a_view_beyond_its_storage_is_refused(tmp_path, zipped, view):
    assert 'not a file of weights alone' in refusal(saved(tmp_path, {'a': view}, zipped))


@FORMATS
def test_complex_numbers_are_refused(tmp_path, zipped):
    message = refusal(saved(tmp_path, {'a': ROW.astype('c8')}, zipped))
    assert '(a tensor has elements other than real numbers)' in message


@pytest.mark.parametrize('content, reason', [
    (b'', 'it is empty'), (b'  <!DOCTYPE html><html>quota exceeded</html>', 'it is a web page'),
    (b'version https://git-lfs.github.com/spec/v1', 'it is a pointer of Git LFS'),
    (b'\x89HDF\r\n', 'it is an HDF5 file'), (b'PK nonsense', 'it is damaged'),
    (b'\x1b[31m\n', 'it is damaged'), (pickle.dumps([1]), 'a pickle that was not written by torch'),
], ids=['empty', 'page', 'Git LFS', 'HDF5', 'PK', 'escape codes', 'pickle'])
def test_content_of_another_kind_is_named(tmp_path, content, reason):
    (tmp_path / 'x.pth').write_bytes(content)
    assert reason in refusal(tmp_path / 'x.pth')


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)


@pytest.mark.parametrize('entries, compression, reason', [
    ({'a.txt': b''}, zipfile.ZIP_STORED, 'a zip archive of something else'),
    ({'a/data.pkl': b'N.', 'a/constants.pkl': b'N.'}, zipfile.ZIP_STORED, 'a TorchScript program'),
    ({'a/data.pkl': b'N.' * 99}, zipfile.ZIP_DEFLATED, 'its entries overlap or are compressed'),
    ({'a/data.pkl': b'N.', 'a/byteorder': b'big'}, zipfile.ZIP_STORED, 'a big-endian machine'),
], ids=['other', 'TorchScript', 'compressed', 'big-endian'])
def test_an_archive_of_another_kind_is_named(tmp_path, entries, compression, reason):
    archive(tmp_path / 'x.pth', entries, compression)
    assert reason in refusal(tmp_path / 'x.pth')


NESTED_TUPLES = b'\x80\x02}(' + b')' + b'\x85' * 10 ** 6 + b'K\x01u.'
DOUBLED_TUPLES = b'\x80\x02})' + b'q\x00h\x00\x86' * 100 + b'K\x01s.'


@pytest.mark.parametrize('content', [
    NESTED_TUPLES, DOUBLED_TUPLES, b'}r\xff\xff\xff\xff.', b'\x8e' + b'\xff' * 7 + b'\x7f.',
    b'\x96' + b'\xff' * 7 + b'\x7f.', b'(' * 10 ** 6 + b'.', b'\x82\x01.', b'0.', b'h\x05.',
    b'I' + b'9' * 10 ** 6 + b'\n.',
], ids=['nested', 'doubled', 'memo', 'bytes', 'bytearray', 'marks', 'extension', 'pop', 'get',
        'digits'])
def test_a_pickle_made_to_exhaust_the_machine_is_refused(tmp_path, content):
    archive(tmp_path / 'x.pth', {'a/data.pkl': content})
    assert 'x.pth: not a ' in refusal(tmp_path / 'x.pth')


@FORMATS
def test_a_file_that_is_cut_off_is_refused(tmp_path, zipped):
    content = dump({'a': ROW}, zipped)
    for n in range(1, len(content), 7):
        (tmp_path / 'x.pth').write_bytes(content[:n])
        assert 'not a file of weights alone' in refusal(tmp_path / 'x.pth')


@pytest.mark.parametrize('make, match', [(lambda path: path.mkdir(), 'is a folder'),
                                         (lambda path: None, 'no such file')])
def test_a_missing_file_is_named(tmp_path, make, match):
    make(tmp_path / 'x.pth')
    assert match in refusal(tmp_path / 'x.pth')


CONTENT = {'epoch': 3, 'args': argparse.Namespace(lr=.1), 'state_dict': collections.OrderedDict(
    a=View(ROW, 5, (2, 3), (3, 1)), b=Parameter(ROW.astype('f2')), c=np.arange(5))}
GOOD = [dump(CONTENT, True), dump(CONTENT, False)]
CHANGES = st.lists(st.tuples(st.integers(0), st.sampled_from(['set', 'delete', 'insert']),
                             st.binary(min_size=1, max_size=4)), min_size=1, max_size=6)


class Watch:
    """Notes what Python imports, compiles or runs while it is on."""

    def __init__(self):
        self.on, self.seen = False, []

    def __call__(self, event, arguments):
        if self.on and event in ('import', 'exec', 'compile', 'os.system', 'subprocess.Popen'):
            self.seen.append((event, arguments))


WATCH = Watch()
sys.addaudithook(WATCH)
for codec in 'cp437', 'raw-unicode-escape':  # zipfile and pickletools import these when needed
    codecs.lookup(codec)


def survives(path, content):
    path.write_bytes(content)
    WATCH.on = True
    try:
        arrays = read(str(path))
    except UserError as error:
        assert str(error).isprintable()
    else:
        assert all(type(array) is np.ndarray and (
                       array.dtype == np.float32 or array.dtype.kind in 'iu')
                   for array in arrays.values())
        assert sum(array.size for array in arrays.values()) <= len(content)
    finally:
        WATCH.on = False
    assert not WATCH.seen


@settings(max_examples=400, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from([0, 1]), changes=CHANGES)
def test_a_damaged_file_gives_arrays_or_one_message(tmp_path, which, changes):
    content = bytearray(GOOD[which])
    for position, kind, new in changes:
        position %= len(content) + 1
        end = position if kind == 'insert' else position + len(new)
        content[position:end] = b'' if kind == 'delete' else new
    survives(tmp_path / 'x.pth', bytes(content))


PIECES = st.sampled_from([bytes([code]) for code in b'(.012FINJKMRSTUVX\\]abcdeghijlopqrstu}'] + [
    b'\x80\x02', b'\x81', b'\x85', b'\x86', b'\x87', b'\x88', b'\x8a\x01\x05', b'\x8c\x01a',
    b'\x8f', b'\x90', b'\x91', b'\x92', b'\x93', b'\x94', b'\x97', b'\x98',
    b'\x95\x05' + bytes(7), b'ctorch._utils\n_rebuild_tensor_v2\n', b'ctorch\nFloatStorage\n',
    b'cos\nsystem\n', b'K\x02', b'ccollections\nOrderedDict\n', b'X\x07\0\0\0storage',
    b'X\x01\0\0\x000', b')', b'N', b'Q'])


@settings(max_examples=400, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES | st.binary(max_size=3), max_size=40), zipped=st.booleans())
def test_a_pickle_at_random_gives_arrays_or_one_message(tmp_path, pieces, zipped):
    content = b''.join(pieces) + b'.'
    if zipped:
        file = io.BytesIO()
        archive(file, {'a/data.pkl': content, 'a/data/0': ROW.tobytes()})
        content = file.getvalue()
    else:
        content = GOOD[1][:GOOD[1].index(b'epoch')]  # the row up to the object
        content = content[:content.rindex(b'\x80\x02')] + b''.join(pieces) + b'.'
    survives(tmp_path / 'x.pth', content)


@settings(max_examples=200, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_bytes_at_random_give_one_message(tmp_path, content):
    survives(tmp_path / 'x.pth', content)
