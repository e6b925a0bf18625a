"""Snapshots whose content is that of no run, or of another one."""
import train
from multibox.errors import UserError
from multibox.training import saved_state

import numpy as np
import pytest

W = 'multibox/conf/0/W'
MODEL, OPTIMIZER = f'updater/model:main/model/{W}', f'updater/optimizer:main/model/{W}/'
LOG = 'extensions/LogReport/_log'


@pytest.fixture(scope='module')
def began(data, tmp_path_factory):
    """The flags and the snapshot of a run of two iterations."""
    out = tmp_path_factory.mktemp('run') / 'out'
    flags = ['--model', 'slim300', '--data', str(data), '--out', str(out), '--iteration', '2',
             '--batchsize', '2', '--loader-processes', '0', '--log-interval', '1',
             '--snapshot-interval', '2', '--eval-interval', '2']
    train.main(flags)
    with np.load(out / 'snapshot_iter_2') as archive:
        return flags, out, dict(archive)


@pytest.fixture
def refusal(began):
    """Function that changes an array of the snapshot and returns the message of --resume."""
    flags, out, arrays = began

    def resume(name, array):
        changed = {**arrays, name: array}
        with open(out / 'snapshot_iter_2', 'wb') as file:
            np.savez(file, **{key: value for key, value in changed.items() if value is not None})
        with pytest.raises(UserError) as refused:
            train.main([*flags, '--resume'])
        message = str(refused.value)
        assert 'snapshot_iter_2' in message and '\n' not in message
        return message
    return resume


@pytest.fixture
def fault(began, tmp_path):
    """Function that changes an array of the snapshot and returns the message of its reader."""
    def read(name, array):
        path = tmp_path / 'snapshot_iter_2'
        with open(path, 'wb') as file:
            np.savez(file, **{**began[2], name: array})
        with pytest.raises(UserError) as refused:
            saved_state.read_state(path)
        return str(refused.value).removeprefix(f'{path}: ')
    return read


def test_weights_that_are_not_finite_are_named(began, refusal):
    assert f'{MODEL} holds nan or infinity' in refusal(MODEL, began[2][MODEL] * np.nan)


@pytest.mark.parametrize('leaf, change', [
    ('m', lambda a: a * np.nan), ('v', lambda a: a + np.inf), ('v', lambda a: a - 1),
    ('m', lambda a: a + np.float32(1e30))])
def test_a_state_of_the_optimizer_that_no_training_gives_is_named(began, fault, leaf, change):
    assert fault(OPTIMIZER + leaf, change(began[2][OPTIMIZER + leaf])).startswith(OPTIMIZER + leaf)


@pytest.mark.parametrize('change', [
    lambda a: a[:1], lambda a: a[None], lambda a: a.astype(int), lambda a: a.sum()])
def test_a_state_of_the_optimizer_that_fits_no_weight_is_named(began, refusal, change):
    assert f'{OPTIMIZER}m is ' in refusal(f'{OPTIMIZER}m', change(began[2][f'{OPTIMIZER}m']))


COUNTERS = ['updater/iteration', 'updater/optimizer:main/t', 'updater/optimizer:main/epoch',
            'updater/iterator:main/position', f'{OPTIMIZER}t', 'extensions/Best/iteration',
            'extensions/Best/n_since', 'extension_triggers/LogReport/previous_iteration',
            'updater/model:main/model/extractor/to5/bn/N']


@pytest.mark.parametrize('name', COUNTERS)
@pytest.mark.parametrize('value', [-1, 10 ** 18])
def test_a_counter_out_of_range_is_named(fault, name, value):
    assert fault(name, np.array(value)).startswith(f'{name} is {value}')


@pytest.mark.parametrize('name, value', zip(COUNTERS, [2.5, np.nan, [1, 2], 'x', 2.5, np.nan,
                                                       'x', [1, 2], 2.5]))
def test_a_counter_of_another_type_is_refused(refusal, name, value):
    refusal(name, np.array(value))


def test_a_position_of_other_iterations_is_named(refusal):
    assert 'after 2 iterations of 2 images its position is 6; give the --batchsize' in refusal(
        'updater/iterator:main/position', np.array(6))


@pytest.mark.parametrize('text', ['', 'x', '{}', '[3]', '[{}]', '[{"iteration": "1"}]',
                                  '[{"iteration": 1, "lr": [1]}]', '[' * 100_000],
                         ids=lambda text: text[:30])
def test_a_log_that_is_none_is_named(fault, text):
    assert f'{LOG} is no log of a run' in fault(LOG, np.array(text))


@pytest.mark.parametrize('name, value', [
    ('map', np.nan), ('map', 2.), ('map', 'x'), ('file', 3), ('file', [1., 2.]), ('file', 'x')])
def test_best_weights_that_are_none_are_refused(fault, name, value):
    assert f'extensions/Best/{name} is ' in fault(f'extensions/Best/{name}', np.array(value))


def test_a_perfect_score_may_be_rounded_up(began, tmp_path):
    np.savez(tmp_path / 'x.npz', **{**began[2], 'extensions/Best/map': np.array(1 + 2 ** -52)})
    assert saved_state.read_state(tmp_path / 'x.npz').keys() == began[2].keys()


def test_a_state_that_is_absent_is_named(refusal):
    assert f"holds no '{OPTIMIZER}v'" in refusal(f'{OPTIMIZER}v', None)


def test_the_snapshot_before_a_bad_one_is_taken(began, capsys, monkeypatch):
    flags, out, arrays = began
    for n, weights in ((2, arrays[MODEL]), (3, arrays[MODEL] * np.inf)):
        with open(out / f'snapshot_iter_{n}', 'wb') as file:
            np.savez(file, **{**arrays, MODEL: weights})
    monkeypatch.setattr(train, 'save_inputs', None)  # called after the snapshot is loaded
    with pytest.raises(TypeError):
        train.main([*flags, '--resume'])
    said = capsys.readouterr().out
    assert f'snapshot_iter_3: damaged, trying the snapshot before it ({MODEL} holds nan' in said
    assert 'resuming after iteration 2' in said
