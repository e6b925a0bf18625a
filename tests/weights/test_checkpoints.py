"""The choice of the state_dict among all that a checkpoint holds."""
import collections
import copyreg
import sys
import types

from multibox.errors import UserError
from multibox.weights import read
from tests.support.malice import Malice
from tests.support.torch_files import write

import numpy as np
import pytest

ROW = np.arange(4, dtype='f')
OTHER = {'a': np.zeros(2, 'f')}


def load(tmp_path, content):
    write(tmp_path / 'x.pth', content)
    return read(str(tmp_path / 'x.pth'))


def refusal(tmp_path, content):
    with pytest.raises(UserError) as refused:
        load(tmp_path, content)
    assert str(refused.value).isprintable()
    return str(refused.value)


@pytest.mark.parametrize('key', ['state_dict', 'model', 'net', 'ema', 'detector'])
def test_the_one_dict_of_tensors_is_taken_and_named(tmp_path, capsys, key):
    found = load(tmp_path, {'epoch': 3, key: {'a': ROW}, 'optimizer': {}, 'mean': ROW})
    np.testing.assert_array_equal(found['a'], ROW)
    assert capsys.readouterr()[0] == f"{tmp_path / 'x.pth'}: takes the 1 tensors of '{key}'\n"


@pytest.mark.parametrize('keys', [('state_dict', 'ema'), ('model', 'ema'), ('net', 'averages'),
                                  ('model_state_dict', 'net')])
def test_of_several_dicts_the_first_well_known_one_is_taken(tmp_path, keys):
    for order in keys, keys[::-1]:
        found = load(tmp_path, {key: {'a': ROW} if key == keys[0] else OTHER for key in order})
        np.testing.assert_array_equal(found['a'], ROW)


def test_a_checkpoint_within_a_checkpoint_is_opened(tmp_path):
    found = load(tmp_path, {'epoch': 3, 'model': {'epoch': 3, 'state_dict': {'a': ROW}}})
    np.testing.assert_array_equal(found['a'], ROW)


def test_several_dicts_of_unknown_keys_are_refused(tmp_path):
    message = refusal(tmp_path, {'generator': OTHER, 'discriminator': OTHER})
    assert "holds several dicts of tensors, 'generator', 'discriminator'; save the one" in message


def test_tensors_at_the_top_are_taken_without_a_word(tmp_path, capsys):
    np.testing.assert_array_equal(load(tmp_path, {'a': ROW})['a'], ROW)
    assert capsys.readouterr()[0] == ''


@pytest.mark.parametrize('names, expected', [
    (['module.a', 'module.b'], ['a', 'b']), (['model.a', 'model.b'], ['a', 'b']),
    (['module.model.a'], ['a']), (['model.module.a'], ['a']),
    (['module.a', 'b'], ['module.a', 'b']),
])
def test_a_prefix_that_all_names_have_is_dropped(tmp_path, names, expected):
    assert list(load(tmp_path, dict.fromkeys(names, ROW))) == expected


@pytest.mark.parametrize('content', [[ROW], {0: ROW}, {}, None, 'words', {'epoch': 3}, ROW],
                         ids=['list', 'numbers', 'empty', 'none', 'words', 'no tensor', 'tensor'])
def test_tensors_without_names_are_refused(tmp_path, content):
    message = refusal(tmp_path, content)
    assert 'x.pth: not a state_dict, a dict of tensors by name' in message
    assert message.endswith('write it with torch.save(model.state_dict(), FILE)')


def test_an_entry_that_is_no_tensor_is_named(tmp_path):
    message = refusal(tmp_path, {'state_dict': {'a': ROW, 'b': Malice(tmp_path / 'ran')}})
    assert "('b' is of the type 'posix.system')" in message


@pytest.fixture
def module(monkeypatch):
    """An object that is pickled as an instance of torch.nn.Module."""
    package = types.ModuleType('someones_network')
    package.Network = type('Network', (), {'__module__': 'someones_network'})
    monkeypatch.setitem(sys.modules, 'someones_network', package)
    monkeypatch.setitem(copyreg.dispatch_table, package.Network, lambda network: (
        copyreg.__newobj__, (package.Network,), vars(network)))
    network = package.Network()
    network._modules, network._parameters = collections.OrderedDict(), {'a': ROW}
    return network


@pytest.mark.parametrize('key, name', [(None, 'model'), ('model', "checkpoint['model']")])
def test_a_whole_model_is_refused_with_the_way_on(tmp_path, module, key, name):
    message = refusal(tmp_path, module if key is None else {key: module, 'epoch': 3})
    assert 'holds a whole model' in message
    assert message.endswith(f'write torch.save({name}.state_dict(), FILE)')


def test_control_characters_of_a_key_are_not_printed(tmp_path, capsys):
    load(tmp_path, {'\x1b[31m\n': {'a': ROW}})
    assert "tensors of '?[31m?'\n" in capsys.readouterr()[0]


def test_control_characters_in_names_are_refused(tmp_path):
    assert 'hold control characters' in refusal(tmp_path, {'a\x1b[31m': ROW})
