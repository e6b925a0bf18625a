import errno
import json
import os
import pathlib
import pickle
import shutil

from multibox.errors import UserError
from multibox.training import Log, Stop, snapshots

import chainer
import chainer.links as L
import numpy as np
import pytest
from chainer.training import extensions


def make_trainer(out, iteration=6, n_out=4, n_example=20, shuffle=False):
    """Make a trainer of a classifier whose input size is that of the first batch, as in SSD."""
    rng = np.random.RandomState(0)
    np.random.seed(0)  # for the initial weights
    model = L.Classifier(chainer.Sequential(L.Linear(None, n_out), L.BatchNormalization(n_out)))
    optimizer = chainer.optimizers.MomentumSGD(lr=0.1).setup(model)
    examples = chainer.datasets.TupleDataset(
        rng.rand(n_example, 3).astype(np.float32), rng.randint(n_out, size=n_example))
    iterator = chainer.iterators.SerialIterator(examples, 8, shuffle=shuffle)
    updater = chainer.training.StandardUpdater(iterator, optimizer)
    trainer = chainer.training.Trainer(updater, (iteration, 'iteration'), out=str(out))
    trainer.extend(extensions.observe_lr(), trigger=(1, 'iteration'))
    trainer.extend(Log((2, 'iteration')))
    trainer.extend(snapshots.snapshot(model), trigger=(3, 'iteration'))
    return trainer


@pytest.fixture
def out(tmp_path):
    """The folder of a finished run with snapshots at iterations 3 and 6."""
    make_trainer(tmp_path).run()
    return tmp_path


def weights(trainer):
    return [param.array for param in trainer.updater.get_optimizer('main').target.params()]


def log(trainer):
    return [{key: value for key, value in entry.items() if key != 'elapsed_time'}
            for entry in trainer.get_extension('LogReport').log]


def test_resumed_run_ends_like_an_uninterrupted_one(out, tmp_path):
    whole = make_trainer(tmp_path / 'whole', iteration=9)
    whole.run()
    resumed = make_trainer(out, iteration=9)
    assert snapshots.resume(resumed, out) == 6
    resumed.run()
    np.testing.assert_array_equal(weights(resumed)[0], weights(whole)[0])
    assert log(resumed) == log(whole)
    assert [entry['iteration'] for entry in log(resumed)] == [2, 4, 6, 8]


@pytest.mark.parametrize('n_entry', [0, 1, 3000])
def test_log_of_any_length_is_resumed(tmp_path, n_entry):
    trainer = make_trainer(tmp_path)
    entries = [{'iteration': i, 'validation/main/ap/Füße "x"\n': 0.1} for i in range(n_entry)]
    trainer.get_extension('LogReport')._log = list(entries)
    trainer.run()
    resumed = make_trainer(tmp_path)
    snapshots.resume(resumed, tmp_path)
    assert resumed.get_extension('LogReport').log[:n_entry] == entries


def test_last_two_snapshots_are_kept(tmp_path):
    make_trainer(tmp_path, iteration=12).run()
    assert {path.name for path in tmp_path.iterdir()} == {
        'log', 'snapshot_iter_9', 'snapshot_iter_12'}


def test_times_that_run_backwards_cost_no_snapshot(out):
    for iteration in 3, 6:
        os.utime(out / f'snapshot_iter_{iteration}', ns=(2 ** 61, 2 ** 61))
    resumed = make_trainer(out, iteration=12)
    snapshots.resume(resumed, out)
    resumed.run()
    assert {path.name for path in out.iterdir()} == {'log', 'snapshot_iter_9', 'snapshot_iter_12'}


def test_only_files_of_the_exact_names_are_removed(tmp_path):
    foreign = ('snapshot_iter_2.backup', 'snapshot_iter_notes.txt', 'snapshot_iter_007',
               'snapshot_iter_2\n', 'snapshot_iter_\u0662')
    for name in foreign:
        (tmp_path / name).write_text('precious')
    folders = 'snapshot_iter_old', 'snapshot_iter_1'
    for name in folders:
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / 'snapshot_iter_4')
    (tmp_path / 'snapshot_iter_5').symlink_to('snapshot_iter_2.backup')
    (tmp_path / 'snapshot_iter_2').write_text('of an earlier part of the run')
    (tmp_path / 'snapshot_iter_40').write_text('of another run')
    make_trainer(tmp_path, iteration=12).run()
    assert {path.name for path in tmp_path.iterdir()} == {
        *foreign, *folders, 'snapshot_iter_4', 'snapshot_iter_5', 'snapshot_iter_40', 'log',
        'snapshot_iter_9', 'snapshot_iter_12'}


def test_a_damaged_snapshot_does_not_count_as_the_one_before(out):
    (out / 'snapshot_iter_8').write_text('damaged')
    resumed = make_trainer(out, iteration=9)
    snapshots.resume(resumed, out)
    resumed.run()
    assert [path.name for path in snapshots.find_snapshots(out)] == [
        'snapshot_iter_9', 'snapshot_iter_6']


def test_a_snapshot_that_cannot_be_removed_does_not_end_the_run(tmp_path, monkeypatch):
    unlink = pathlib.Path.unlink

    def fail(path, missing_ok=False):
        if path.name == 'snapshot_iter_3':
            raise PermissionError
        unlink(path, missing_ok)
    monkeypatch.setattr(pathlib.Path, 'unlink', fail)
    make_trainer(tmp_path, iteration=12).run()
    assert [path.name for path in snapshots.find_snapshots(tmp_path)] == [
        'snapshot_iter_12', 'snapshot_iter_9', 'snapshot_iter_3']


@pytest.mark.parametrize('make', [pathlib.Path.mkdir, os.mkfifo], ids=['folder', 'pipe'])
def test_what_is_no_file_is_neither_resumed_nor_overwritten(out, make):
    make(out / 'snapshot_iter_9')
    resumed = make_trainer(out, iteration=9)
    assert snapshots.resume(resumed, out) == 6
    with pytest.raises(UserError, match='snapshot_iter_9: is no regular file'):
        resumed.run(show_loop_exception_msg=False)
    assert not (out / 'snapshot_iter_9').is_file() and (out / 'snapshot_iter_6').exists()


@pytest.mark.parametrize('damage', [shutil.rmtree, lambda out: (out / 'log').mkdir()],
                         ids=['folder deleted', 'log is a folder'])
def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path, capsys, damage):
    trainer = make_trainer(tmp_path / 'out', iteration=2)
    trainer.extend(lambda trainer: damage(tmp_path / 'out'), name='damage', priority=999,
                   trigger=(2, 'iteration'))
    trainer.run(show_loop_exception_msg=False)
    said = capsys.readouterr().out
    assert f'{tmp_path / "out" / "log"}: cannot be written (' in said and said.count('\n') == 1
    assert len(log(trainer)) == 1


def test_the_file_of_the_log_is_chainers(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.extend(extensions.LogReport(trigger=(2, 'iteration'), filename='expected'),
                   name='expected')
    trainer.run()
    ours, expected = (json.loads((tmp_path / name).read_text()) for name in ('log', 'expected'))
    for entries in ours, expected:
        for entry in entries:
            del entry['elapsed_time']
    assert ours == expected


def test_a_snapshot_in_a_folder_that_was_deleted_ends_in_one_line(tmp_path):
    trainer = make_trainer(tmp_path / 'out')
    trainer.extend(lambda trainer: shutil.rmtree(tmp_path / 'out'), name='damage', priority=999,
                   trigger=(3, 'iteration'))
    with pytest.raises(UserError, match='snapshot_iter_3: cannot be written \\(No such file'):
        trainer.run(show_loop_exception_msg=False)


def truncate(data):
    return data[:len(data) // 2]


def flip_a_bit_of_the_weights(data):
    at = data.index(b'model:main/predictor/0/W.npy') + 200
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize('damage', [
    truncate, flip_a_bit_of_the_weights, lambda data: b'', lambda data: bytes(len(data)),
], ids=['truncated', 'flipped', 'empty', 'zeros'])
def test_damaged_snapshot_is_named_and_the_one_before_is_taken(out, capsys, damage):
    path = out / 'snapshot_iter_6'
    path.write_bytes(damage(path.read_bytes()))
    os.utime(path)  # still the newest
    assert snapshots.resume(make_trainer(out), out) == 3
    assert f'{path}: damaged' in capsys.readouterr().out


def test_newest_is_by_iteration_not_by_time(out):
    os.utime(out / 'snapshot_iter_3', ns=(2 ** 61, 2 ** 61))  # as in a copied folder
    assert snapshots.resume(make_trainer(out), out) == 6


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = make_trainer(tmp_path)

    def spoil(trainer):
        if trainer.updater.iteration == 4:
            weights(trainer)[0][...] = np.nan
    trainer.extend(spoil, trigger=(1, 'iteration'))
    trainer.run()
    assert [path.name for path in snapshots.find_snapshots(tmp_path)] == ['snapshot_iter_3']


def test_other_files_are_no_snapshots(out):
    shutil.copyfile(out / 'snapshot_iter_3', out / 'snapshot_iter_9.bak')  # the newest file
    assert snapshots.resume(make_trainer(out), out) == 6


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_snapshot_is_never_unpickled(out, capsys):
    marker, path = out / 'executed', out / 'snapshot_iter_9'
    payload = np.array(Payload(marker), dtype=object)
    with open(path, 'wb') as file:
        np.savez(file, payload=payload)
    assert snapshots.resume(make_trainer(out), out) == 6
    assert f'{path}: damaged' in capsys.readouterr().out and not marker.exists()
    pickle.loads(pickle.dumps(payload))
    assert marker.exists()  # unpickling does execute the payload


@pytest.mark.parametrize('folder', ['.', 'nowhere'], ids=['empty', 'missing'])
def test_folder_without_snapshot_is_named(tmp_path, folder):
    out = tmp_path / folder
    with pytest.raises(UserError, match=f'{out}: no good snapshot_iter_'):
        snapshots.resume(make_trainer(tmp_path), out)


@pytest.mark.parametrize('changed, named', [
    ({'n_out': 5}, r'predictor/0/b is \(4,\) there and \(5,\) here'),
    ({'n_example': 30}, r'iterator:main/order is \(20,\) there and \(30,\) here'),
], ids=['network', 'dataset'])
def test_snapshot_of_another_run_names_what_differs(tmp_path, changed, named):
    make_trainer(tmp_path, shuffle=True).run()
    other = make_trainer(tmp_path, shuffle=True, **changed)
    with pytest.raises(UserError, match=named):
        snapshots.resume(other, tmp_path)
    assert other.updater.iteration == 0


def test_network_with_fewer_links_is_refused(out):
    trainer = make_trainer(out)
    trainer.updater.get_optimizer('main').target.predictor.pop()
    with pytest.raises(UserError, match=r'predictor/1/\w+ is \(4,\) there and absent here'):
        snapshots.resume(trainer, out)


@pytest.mark.filterwarnings('ignore:The')  # Chainer warns about other missing entries
def test_snapshot_without_an_extension_of_this_run_is_refused(out):
    trainer = make_trainer(out)
    trainer.extend(extensions.LogReport(filename='log2'), name='second')
    with pytest.raises(UserError, match="holds no 'extensions/second/"):
        snapshots.resume(trainer, out)


def test_full_disk_keeps_the_snapshot_before(out, monkeypatch):
    def fail(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    resumed = make_trainer(out, iteration=9)
    snapshots.resume(resumed, out)
    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(UserError, match=r'snapshot_iter_9: cannot be written \(No space left'):
        resumed.run(show_loop_exception_msg=False)
    assert {path.name for path in out.iterdir()} == {'log', 'snapshot_iter_3', 'snapshot_iter_6'}
    assert snapshots.resume(make_trainer(out), out) == 6


def test_a_failed_last_snapshot_does_not_keep_the_last_weights_from_the_disk(out, monkeypatch):
    resumed = make_trainer(out, iteration=9)
    snapshots.resume(resumed, out)
    resumed.stop_trigger = Stop(9)
    monkeypatch.setattr(snapshots, 'save_npz', raise_full)
    resumed.run(show_loop_exception_msg=False)
    assert resumed.get_extension('write').failed == 'snapshot_iter_9: no room'


def raise_full(path, _):
    raise UserError(f'{path.name}: no room')
