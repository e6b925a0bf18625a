"""A loss that is not finite ends a run: at once on a CPU, on a GPU when losses are read."""
import re
import signal
import types

import train
from multibox.errors import UserError
from multibox.losses import chainercv
from multibox.training import LearningRate, check, loop

import chainer
import numpy as np
import pytest


@pytest.fixture
def third_is_nan(monkeypatch):
    """Make the third batch's confidence loss nan. Returns the list of the batch's indices."""
    loss, calls, batches = chainercv.multibox_loss, [], []
    source = train.TrainingSequence.source

    def loss_then_nan(*args):
        calls.append(args)
        loc_loss, conf_loss = loss(*args)
        return loc_loss, conf_loss * (float('nan') if len(calls) == 3 else 1)

    def note(sequence, t):
        batches.extend([source(sequence, t)[1]] if t in (4, 5) else [])
        return source(sequence, t)
    monkeypatch.setattr(chainercv, 'multibox_loss', loss_then_nan)
    monkeypatch.setattr(train.TrainingSequence, 'source', note)
    return batches


@pytest.fixture
def unread_losses(monkeypatch):
    """Leave losses unread, as on a GPU."""
    monkeypatch.setattr('multibox.training.chain.np', types.SimpleNamespace(isfinite=np.isfinite))


def error_of_training(data, out, *more):
    with pytest.raises(UserError) as error:
        train.main(['--model', 'slim300', '--batchsize', '2', '--loader-processes', '0', '--cuts',
                    '--data', str(data), '--out', str(out), '--iteration', '5',
                    '--eval-interval', '5', *more])
    return str(error.value)


def names_iteration_term_and_images(error, data, indices, snapshot=''):
    paths = train.load_data(data, False, False, '07+12').train.paths
    return re.search(rf'iteration 3: the conf loss is nan.*{snapshot}.*of this batch:\n'
                     rf'  {paths[indices[0]]}\n  {paths[indices[1]]}$', error, re.DOTALL)


def test_the_error_names_iteration_term_and_images(data, tmp_path, third_is_nan):
    error = error_of_training(data, tmp_path, '--log-interval', '1', '--snapshot-interval', '1')
    assert names_iteration_term_and_images(
        error, data, third_is_nan, 'snapshot_iter_2 is from before')
    assert (tmp_path / 'snapshot_iter_2').exists()
    assert not (tmp_path / 'snapshot_iter_3').exists()


@pytest.mark.parametrize('read_by', [('--log-interval', '4'), ('--snapshot-interval', '4'), ()],
                         ids=['log', 'snapshot', 'end'])
def test_the_error_of_a_loss_read_later_is_the_same(
        data, tmp_path, third_is_nan, unread_losses, read_by, monkeypatch):
    monkeypatch.setattr('multibox.training.snapshots.is_finite', lambda link: True)
    more = '--log-interval', '9', '--snapshot-interval', '9', *read_by
    error = error_of_training(data, tmp_path, *more)
    assert names_iteration_term_and_images(error, data, third_is_nan)
    assert not list(tmp_path.glob('snapshot*')) and not (tmp_path / 'log').exists()
    assert not (tmp_path / 'model.npz').exists()


def test_losses_are_read_before_a_signal_saves_the_run(
        data, tmp_path, third_is_nan, unread_losses, monkeypatch):
    class Stop(train.Stop):
        def __call__(self, trainer):
            self._noted = signal.SIGTERM if trainer.updater.iteration == 3 else 0
            return super().__call__(trainer)
    monkeypatch.setattr(train, 'Stop', Stop)
    monkeypatch.setattr('multibox.training.snapshots.is_finite', lambda link: True)
    error = error_of_training(data, tmp_path)
    assert names_iteration_term_and_images(error, data, third_is_nan)
    assert not list(tmp_path.glob('snapshot*'))


def hint(monkeypatch, first_loss, iteration, warmup, saved=()):
    monkeypatch.setattr(loop, 'find_snapshots', lambda out: list(saved))
    chain = types.SimpleNamespace(first_loss=first_loss)
    return loop.recovery_hint(types.SimpleNamespace(
        out='', updater=types.SimpleNamespace(
            get_optimizer=lambda name: types.SimpleNamespace(target=chain)),
        get_extension=lambda name: {'LearningRate': LearningRate('lr', 1, (), warmup)}[name],
    ), iteration)


@pytest.mark.parametrize('warmup, longer', [(0, 200), (12, 200), (200, 400)])
def test_an_early_divergence_names_a_longer_warm_up(monkeypatch, warmup, longer):
    assert hint(monkeypatch, 38.29, 100, warmup).endswith(
        f'The loss was 38.3 at first; if it grew from then on, start anew with --warmup {longer}.')


@pytest.mark.parametrize('first_loss, iteration', [(38.29, 101), (float('nan'), 1), (None, 3)])
def test_any_other_divergence_names_no_number(monkeypatch, first_loss, iteration):
    assert hint(monkeypatch, first_loss, iteration, 0) == (
        'There is no snapshot yet; try a lower --lr or a longer --warmup.')
    assert hint(monkeypatch, first_loss, iteration, 0, ['snapshot_iter_9']) == (
        'snapshot_iter_9 is from before; go on from it with --resume and a lower --lr.')


@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_a_run_that_diverges_early_is_told_its_first_loss_and_a_warm_up(data, tmp_path):
    error = error_of_training(data, tmp_path, '--optimizer', 'momentum_sgd', '--lr', '1e9',
                              '--warmup', '0', '--log-interval', '1')
    assert re.match(r'iteration [2-5]: .*There is no snapshot yet; .* The loss was [0-9.]+ at '
                    r'first; .*--warmup 200\.', error)


@pytest.mark.gpu
def test_the_error_on_a_gpu_is_the_same(data, tmp_path, third_is_nan, gpu):
    error = error_of_training(data, tmp_path, '--device', '0', '--log-interval', '4')
    assert names_iteration_term_and_images(error, data, third_is_nan)
    assert not list(tmp_path.glob('snapshot*')) and not (tmp_path / 'log').exists()


def test_weights_that_are_not_finite_end_a_run_whose_losses_are_finite(tmp_path):
    chain = chainer.Chain()
    with chain.init_scope():
        chain.w = chainer.Parameter(np.array([1, np.nan], 'f'))
    chain.check, chain.first_loss = lambda: None, None
    updater = types.SimpleNamespace(
        iteration=7, get_optimizer=lambda _: types.SimpleNamespace(target=chain))
    with pytest.raises(UserError, match='iteration 7: the last update made weights that are not'):
        check(types.SimpleNamespace(updater=updater, out=tmp_path))
