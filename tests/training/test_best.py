"""The best weights of a run, its patience, and the snapshots that hold both."""
import types

from multibox.processes import OneProcess
from multibox.training import Best, Every, Stop

import numpy as np
import pytest
from chainer.serializers import DictionarySerializer, NpzDeserializer


class Run:
    """A run of evaluations with given mAPs, in a folder."""

    def __init__(self, folder, patience=0, processes=None):
        folder.mkdir(exist_ok=True)
        self.best = Best(folder / 'best.npz', self.save, patience, processes or OneProcess())
        self.iteration = 0

    def save(self, path, threshold):
        path.write_text(f'{self.iteration} {threshold}')

    def evaluate(self, *scores):
        for score in scores:
            self.iteration += 1
            result = self.iteration, {'map': score, 'threshold': .25}, []
            self.best(types.SimpleNamespace(
                get_extension=lambda name, result=result: types.SimpleNamespace(result=result)))
        return self

    def snapshot(self):
        serializer = DictionarySerializer()
        self.best.serialize(serializer['best'])
        return serializer.target

    def resume(self, arrays, iteration=0):
        self.best.serialize(NpzDeserializer(arrays)['best'])
        self.best.initialize(None)
        self.iteration = iteration
        return self

    @property
    def file(self):
        return self.best.path.read_text()

    @property
    def state(self):
        return self.best.map, self.best.iteration, self.best.n_since


def test_the_file_holds_the_weights_of_the_best_map(tmp_path):
    run = Run(tmp_path).evaluate(.1, .3, .2)
    assert run.file == '2 0.25' and run.best.summary == {'iteration': 2, 'map': .3}


def test_a_first_map_of_zero_counts_and_an_equal_one_is_not_better(tmp_path):
    run = Run(tmp_path).evaluate(0., 0.)
    assert run.file == '1 0.25' and run.state == (0., 1, 1)


def test_an_evaluation_without_a_map_is_not_counted(tmp_path):
    run = Run(tmp_path, patience=1).evaluate(None, None)
    assert not run.best.is_over and run.best.summary is None and not run.best.path.exists()


@pytest.mark.parametrize('patience, over', [(1, True), (2, True), (3, False), (0, False)])
def test_the_patience_ends_after_evaluations_in_a_row(tmp_path, patience, over):
    assert Run(tmp_path, patience).evaluate(.2, .1, .3, .1, .3).best.is_over == over


def test_the_run_stops_when_the_patience_ends(tmp_path):
    run = Run(tmp_path, patience=1).evaluate(.2)
    stop = Stop(10, best=run.best)
    trainer = types.SimpleNamespace(updater=types.SimpleNamespace(iteration=3))
    assert not stop(trainer) and not Every(2, stop=stop)(trainer)
    run.evaluate(.1)
    assert stop(trainer) and stop.signal == 0 and Every(2, stop=stop)(trainer)


def test_only_the_first_process_writes_and_all_count(tmp_path):
    second = types.SimpleNamespace(is_first=False)
    run = Run(tmp_path, processes=second).evaluate(.1, .3, .2)
    assert run.state == (.3, 2, 1) and not run.best.path.exists()


def test_a_resumed_run_counts_on(tmp_path):
    snapshot = Run(tmp_path, patience=2).evaluate(.3, .2).snapshot()
    run = Run(tmp_path, patience=2).resume(snapshot, iteration=2)
    assert run.state == (.3, 1, 1) and not run.best.is_over
    assert run.evaluate(.3).best.is_over


def test_a_larger_patience_goes_on(tmp_path):
    snapshot = Run(tmp_path, patience=1).evaluate(.3, .2).snapshot()
    assert Run(tmp_path, patience=1).resume(snapshot).best.is_over
    assert not Run(tmp_path, patience=2).resume(snapshot).best.is_over
    assert not Run(tmp_path, patience=0).resume(snapshot).best.is_over


def test_a_missing_file_is_written_from_the_snapshot(tmp_path):
    snapshot = Run(tmp_path / 'a').evaluate(.3, .2).snapshot()
    assert Run(tmp_path / 'b').resume(snapshot).file == '1 0.25'


def test_an_evaluation_that_was_lost_in_a_kill_is_repeated_from_the_state_before(tmp_path):
    run = Run(tmp_path).evaluate(.1)
    snapshot = run.snapshot()
    run.evaluate(.3)
    assert run.file == '2 0.25'
    resumed = Run(tmp_path).resume(snapshot, iteration=1)
    assert resumed.file == '1 0.25'
    assert resumed.evaluate(.3).file == '2 0.25' and resumed.state == run.state


def test_a_snapshot_of_an_earlier_version_starts_the_count_anew(tmp_path, capsys):
    run = Run(tmp_path, patience=1).resume({}, iteration=5)
    assert capsys.readouterr().out == (
        f'the snapshot holds no best weights; {tmp_path}/best.npz will hold the best of the '
        'evaluations from now on\n')
    assert run.evaluate(.1).state == (.1, 6, 0)


def test_a_file_that_was_missing_at_a_snapshot_is_told_and_forgotten(tmp_path, capsys):
    run = Run(tmp_path).evaluate(.3)
    run.best.path.unlink()
    resumed = Run(tmp_path).resume(run.snapshot(), iteration=1)
    assert 'the snapshot holds no best weights' in capsys.readouterr().out
    assert resumed.evaluate(.1).file == '2 0.25'


def test_a_snapshot_before_the_first_evaluation_says_nothing(tmp_path, capsys):
    Run(tmp_path).resume(Run(tmp_path).snapshot())
    assert capsys.readouterr().out == '' and not (tmp_path / 'best.npz').exists()


def test_a_snapshot_can_be_read_without_unpickling(tmp_path):
    np.savez(tmp_path / 'snapshot.npz', **Run(tmp_path).evaluate(.1).snapshot())
    with np.load(tmp_path / 'snapshot.npz', allow_pickle=False) as arrays:
        assert Run(tmp_path / 'b').resume(dict(arrays)).state == (.1, 1, 0)
