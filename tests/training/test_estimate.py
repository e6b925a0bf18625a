"""The estimate of the duration of a run."""
import types

import train
from multibox.networks import make_detector
from multibox.training import Stop, estimate

import numpy as np
import pytest


@pytest.mark.parametrize('seconds, text', [
    (0.2, '1 second'), (89, '89 seconds'), (90, '2 minutes'), (300, '5 minutes'),
    (5399, '90 minutes'), (5400, '2 hours'), (47 * 3600, '47 hours'), (1e6, '12 days')])
def test_a_duration_is_round(seconds, text):
    assert estimate.duration(seconds) == text


@pytest.fixture
def trainer():
    """The parts of a trainer that an estimate reads: 200 of 540 iterations are done."""
    np.random.seed(0)
    loader = types.SimpleNamespace(n_own=2, n_processes=1, sequence=[])
    optimizer = types.SimpleNamespace(target=types.SimpleNamespace(
        model=make_detector('slim300', 3)))
    return types.SimpleNamespace(
        stop_trigger=Stop(540),
        updater=types.SimpleNamespace(iteration=200, get_iterator=lambda _: loader,
                                      get_optimizer=lambda _: optimizer))


def test_a_step_takes_three_forward_passes(trainer, monkeypatch):
    times = iter([0, 5])  # seconds; so slow a pass is not repeated
    monkeypatch.setattr(estimate, 'perf_counter', lambda: next(times))
    assert estimate.expected_time(trainer) == '340 iterations: about 85 minutes on this machine'


def test_a_run_at_its_end_has_nothing_to_estimate(trainer):
    trainer.updater.iteration = 540
    assert estimate.expected_time(trainer) == (
        'the run is at its end; its results are written again')


def test_only_the_second_pass_counts(trainer, monkeypatch):
    times = iter([0, .9, 2, 2.1])
    monkeypatch.setattr(estimate, 'perf_counter', lambda: next(times))
    assert estimate.expected_time(trainer) == '340 iterations: about 2 minutes on this machine'


@pytest.mark.parametrize('n_processes, text', [(0, '34 minutes'), (1, '17 minutes'),
                                               (4, '17 minutes')])
def test_the_loading_of_large_images_counts(trainer, monkeypatch, n_processes, text):
    loader = trainer.updater.get_iterator('main')
    loader.n_processes, loader.sequence = n_processes, [None] * 9
    times = iter([0, .9, 2, 3, 4, 5, 6, 7.5])
    monkeypatch.setattr(estimate, 'perf_counter', lambda: next(times))
    assert text in estimate.expected_time(trainer)


def test_an_estimate_changes_neither_the_network_nor_the_random_numbers(trainer):
    class Sequence:
        def __len__(self):
            return 3

        def __getitem__(self, t):
            return np.random.rand()

    model = trainer.updater.get_optimizer('main').target.model
    trainer.updater.get_iterator('main').sequence = Sequence()

    def state():
        return {**{name: p.array.copy() for name, p in model.namedparams()},
                **{f'{name}/{key}': np.array(getattr(link, key))
                   for name, link in model.namedlinks() for key in link._persistent},
                'random': np.random.get_state()[1].copy(), 'position': np.random.get_state()[2]}
    before = state()
    estimate.expected_time(trainer)
    after = state()
    assert before.keys() == after.keys() and len(before) > 60
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_a_run_is_the_same_with_and_without_an_estimate(data, tmp_path, monkeypatch):
    weights = []
    for name in 'with', 'without':
        if name == 'without':
            monkeypatch.setattr(train, 'expected_time', lambda trainer: '')
        train.main(['--model', 'slim300', '--data', str(data), '--out', str(tmp_path / name),
                    '--iteration', '2', '--batchsize', '2', '--eval-interval', '2',
                    '--loader-processes', '0'])
        with np.load(tmp_path / name / 'model.npz') as arrays:
            weights.append({key: arrays[key] for key in arrays})
    for key, value in weights[0].items():
        np.testing.assert_array_equal(weights[1][key], value, err_msg=key)
