"""A settings.json whose values no flag could have given."""
import json
import os

import train
from multibox.errors import UserError
from multibox.training import settings
from multibox.training.origin import find_origin

import pytest

NUMBERS = 'must be a number', 'must be a whole number'
WRONG = [
    *[(name, value) for name in ('iteration', 'batchsize', 'seed', 'frozen', 'patience')
      for value in ('x', 1.5, [], {}, True, -1, 10 ** 400, float('nan'))],
    *[(name, value) for name in ('lr', 'k', 'momentum')
      for value in ('x', [1], None, -1, 10 ** 400, float('nan'), float('inf'))],
    *[(name, value) for name in ('loss', 'model', 'optimizer', 'split', 'precision', 'conv')
      for value in ('unknown', 3, [], {'a': 1})],
    *[('cuts', value) for value in (3, 'x', {'a': 1}, [1, 'x'], [[1]], [None], None)],
    *[(name, value) for name in ('data', 'reuse', 'device', 'pretrained', 'out')
      for value in (3, [], {'a': 1}, 'a\0b')],
    *[(name, value) for name in ('difficult', 'cuts_given', 'eval_interval_given')
      for value in (1, 'true', None)],
    *[('classes', value) for value in ('ab', [], [1], ['a', None], ['a', 'a'], {'a': 1}, None)],
    *[(name, value) for name in ('images', 'processes', 'annotations') for value in ('x', 1.5)]]


def resume(out, text):
    (out / 'settings.json').write_text(text)
    return settings.parse_args(['--out', str(out), '--resume'], None, train.PAPER, train.SLIM,
                               train.LITE)


@pytest.mark.parametrize('name, value', WRONG, ids=lambda each: ascii(each)[:20])
def test_a_value_that_no_flag_can_have_is_named(tmp_path, name, value):
    with pytest.raises(UserError) as refused:
        resume(tmp_path, json.dumps({'model': 'slim300', 'iteration': 5, name: value}))
    message = str(refused.value)
    assert message.startswith(f'{tmp_path}/settings.json: ') and '\n' not in message
    assert name.replace('_', '-') in message or name in message or 'class' in message
    assert len(message) < 1000 and message.endswith('start anew without --resume')


@pytest.mark.parametrize('text', ['', '{', '[]', '[' * 100_000, '{"lr": ' + '9' * 5000 + '}'],
                         ids=['empty', 'cut off', 'list', 'deep', 'digits'])
def test_damaged_settings_are_no_defaults(tmp_path, text):
    with pytest.raises(UserError, match=r'settings\.json: (is damaged|holds no JSON object)'):
        resume(tmp_path, text)


def test_the_settings_of_a_run_are_good(tmp_path):
    args = resume(tmp_path, json.dumps({'model': 'slim300', 'iteration': 5, 'lr': 1, 'cuts': [3],
                                        'data': None, 'match': None, 'classes': ['a'],
                                        'of a later version': [{}]}))
    assert (args.model, args.iteration, args.lr, args.cuts) == ('slim300', 5, 1, [3])


@pytest.mark.parametrize('name', ['settings.json', 'metrics.json'])
@pytest.mark.parametrize('make, reason', [
    (os.mkfifo, 'is not a regular file'), (os.mkdir, 'is a folder'),
    (lambda path: path.write_text('{'), 'is damaged'),
    (lambda path: path.write_text('[' * 100_000), 'is damaged')],
    ids=['pipe', 'folder', 'cut off', 'deep'])
def test_a_file_beside_the_network_that_cannot_be_read_is_named(tmp_path, name, make, reason):
    make(tmp_path / name)
    with pytest.raises(UserError, match=rf'{name}: {reason}.*, or give --data'):
        find_origin(tmp_path / 'model.npz')


@pytest.mark.parametrize('entry, reason', [
    ({'data': 3}, 'data must be the path of a folder, got 3'),
    ({'data': ['a']}, 'data must be the path'), ({'data': 'a\0b'}, 'data must be the path'),
    ({'data': 'a', 'split': 7}, 'split must be one of 07, .*, got 7'),
    ({'data': 'a', 'split': ['07']}, 'split must be one of')], ids=str)
@pytest.mark.parametrize('name', ['settings.json', 'metrics.json'])
def test_a_wrong_origin_is_named(tmp_path, name, entry, reason):
    content = entry if name == 'settings.json' else {'settings': entry}
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf'{name}: {reason}'):
        find_origin(tmp_path / 'model.npz')
