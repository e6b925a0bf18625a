import io
import sys
import types

from multibox.training import progress, snapshots

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer.training import extensions

ENTRY = {'iteration': 500, 'main/loss': 5.1234, 'main/loss/loc': 2.01, 'main/loss/conf': 3.1134,
         'lr': 1e-3}


def format_entry(**changed):
    return progress.format_entry({**ENTRY, **changed}, epoch=0.967, n_iteration=120000,
                                 images_per_second=31.24, seconds_left=11565)


def test_line_reads_at_a_glance():
    assert format_entry() == (
        'iter    500/120000  epoch  0.97  loss 5.123 (loc 2.010, conf 3.113)  lr 1.0e-03  '
        '31.2 img/s  left 3:12:45')


def test_line_tells_the_mean_ap_of_an_evaluation():
    assert format_entry(**{'validation/main/map': 0.77123}).endswith('left 3:12:45  mAP 0.7712')


def test_line_tells_the_validation_loss():
    assert format_entry(**{'validation/main/map': .5, 'validation/main/loss': 4.3214}).endswith(
        'left 3:12:45  validation loss 4.321  mAP 0.5000')


def test_mean_ap_that_is_nan_is_left_out():
    assert 'mAP' not in format_entry(**{'validation/main/map': float('nan')})


def test_line_tells_how_long_the_loader_was_waited_for():
    def line(share):
        return progress.format_entry(ENTRY, epoch=0.967, n_iteration=120000, seconds_left=11565,
                                     images_per_second=31.24, waiting=share)
    assert line(.351).endswith('left 3:12:45  waits 35 % for the loader')
    assert 'waits' not in line(.05) and 'waits 5 %' in line(.051)


class ToyChain(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.linear = L.Linear(3, 1, initialW=1)

    def forward(self, x):
        loc_loss, conf_loss = F.sum(self.linear(x) ** 2), F.sum(x)
        loss = loc_loss + conf_loss
        chainer.report({'loss': loss, 'loss/loc': loc_loss, 'loss/conf': conf_loss}, self)
        return loss


def make_trainer(out, n_iteration=4):
    optimizer = chainer.optimizers.SGD(lr=1e-3).setup(ToyChain())
    iterator = chainer.iterators.SerialIterator(list(np.ones((10, 3), np.float32)), batch_size=5)
    updater = chainer.training.StandardUpdater(iterator, optimizer)
    trainer = chainer.training.Trainer(updater, (n_iteration, 'iteration'), out=str(out))
    trainer.extend(extensions.observe_lr(), trigger=(1, 'iteration'))
    trainer.extend(progress.Progress(n_iteration, batchsize=5))  # the order does not matter
    trainer.extend(extensions.LogReport(trigger=(2, 'iteration')))
    return trainer


def let_an_iteration_take(seconds, trainer, monkeypatch):
    start = trainer.updater.iteration
    monkeypatch.setattr(
        progress, 'perf_counter', lambda: seconds * (trainer.updater.iteration - start))


def test_one_line_per_log_entry(tmp_path, capsys):
    make_trainer(tmp_path, n_iteration=5).run()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:20] for line in lines] == ['iter 2/5  epoch  1.0', 'iter 4/5  epoch  2.0']


def test_speed_and_time_left(tmp_path, capsys, monkeypatch):
    trainer = make_trainer(tmp_path, n_iteration=4)
    let_an_iteration_take(100, trainer, monkeypatch)
    trainer.run()
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith('0.1 img/s  left 03:20') and last.endswith('0.1 img/s  left 00:00')


def test_the_share_of_waiting_is_that_since_the_line_before(tmp_path, capsys, monkeypatch):
    trainer = make_trainer(tmp_path, n_iteration=8)
    let_an_iteration_take(100, trainer, monkeypatch)
    waited = [0, 500, 530, 540, 545, 545, 600, 745, 745]  # seconds, after each iteration
    loader = trainer.updater.get_iterator('main')
    monkeypatch.setattr(type(loader), 'waited', property(
        lambda loader: waited[trainer.updater.iteration]), raising=False)
    trainer.run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition('waits ')[2] for line in lines] == [
        '30 % for the loader', '8 % for the loader', '28 % for the loader', '72 % for the loader']


def test_resumed_run_measures_its_own_speed(tmp_path, capsys, monkeypatch):
    first = make_trainer(tmp_path, n_iteration=4)
    first.extend(snapshots.snapshot(chainer.Chain()), trigger=(4, 'iteration'))
    first.run()
    capsys.readouterr()
    resumed = make_trainer(tmp_path, n_iteration=8)
    resumed.extend(snapshots.snapshot(chainer.Chain()), trigger=(4, 'iteration'))
    snapshots.resume(resumed, tmp_path)
    let_an_iteration_take(100, resumed, monkeypatch)
    resumed.run()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2  # the first run printed its own lines
    assert lines[0].startswith('iter 6/8 ') and lines[0].endswith('0.1 img/s  left 03:20')


def test_line_reaches_a_pipe_at_once(tmp_path, monkeypatch):
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(pipe, write_through=False))
    make_trainer(tmp_path).run()
    assert pipe.getvalue().count(b'\n') == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_is_drawn_on_a_terminal(tmp_path, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    make_trainer(tmp_path).run()
    assert '4/4' in terminal.getvalue()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Function that trains with a bar redrawn at every iteration.

    It returns the losses of the log and the losses that the bar showed.
    """
    class Eager(progress.tqdm):
        def __init__(self, **options):
            super().__init__(**{**options, 'mininterval': 0})

    def run():
        terminal = Terminal()
        monkeypatch.setattr(sys, 'stderr', terminal)
        monkeypatch.setattr(progress, 'tqdm', Eager)
        trainer = make_trainer(tmp_path)
        trainer.run()
        log = [entry['main/loss'] for entry in trainer.get_extension('LogReport').log]
        return log, [float(text.split(']')[0]) for text in terminal.getvalue().split('loss ')[1:]]
    return run


def test_bar_tells_the_latest_loss(told):
    _, losses = told()
    assert len(set(losses)) == 4  # one per iteration
    assert losses == sorted(losses, reverse=True)


def test_on_a_gpu_bar_tells_the_latest_loss_of_the_log(told, monkeypatch):
    monkeypatch.setattr(progress, 'cuda', types.SimpleNamespace(ndarray=np.ndarray))
    log, losses = told()
    assert [*dict.fromkeys(losses)] == [round(loss, 3) for loss in log]


def test_nothing_but_lines_where_there_is_no_terminal(tmp_path, capsys):
    make_trainer(tmp_path).run()
    assert capsys.readouterr().err == ''


def test_time_left_is_told_before_a_late_first_line(tmp_path, capsys, monkeypatch):
    trainer = make_trainer(tmp_path, n_iteration=10)
    trainer.get_extension('LogReport')._trigger.period = 9
    let_an_iteration_take(100, trainer, monkeypatch)
    trainer.run()
    first, second = capsys.readouterr().out.splitlines()
    assert first == 'about 7 minutes left' and second.startswith('iter  9/10')


def test_a_bar_tells_the_time_left_itself(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    trainer = make_trainer(tmp_path, n_iteration=10)
    trainer.get_extension('LogReport')._trigger.period = 9
    trainer.run()
    line, = capsys.readouterr().out.splitlines()
    assert 'iter  9/10' in line
