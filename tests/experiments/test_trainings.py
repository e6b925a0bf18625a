"""Many runs: which are trained and how, and what becomes of their scores."""
import json
import os

import train
from experiments import comparison, trainings
from experiments.ablations.train import AXES, COMMON
from experiments.bccd.train import AXES as BCCD
from experiments.formulations.causes import AXES as CAUSES
from experiments.formulations.train import AXES as FORMULATIONS
from multibox.boxes import RULES
from multibox.losses import LOSSES
from multibox.training import settings

import pytest
from PIL import Image

SOME = {'k': {'1': ['--k', '1'], '3': []},
        'match': {'bipartite': [], 'forced': ['--match', 'forced']}}


def train_settings(argv):
    """The settings of train.py for a command line."""
    return settings.parse_args(argv, None, train.PAPER, train.SLIM, train.LITE)


@pytest.fixture
def runs(monkeypatch):
    """The runs asked for, as namespaces of train.py's arguments with their environment."""
    done = []

    def call(command, env, **kwargs):
        args = train_settings([str(word) for word in command[2:]])
        args.env = env
        done.append(args)
        failed = done.fail and (args.k, args.seed) == (1, 4)
        if not failed:
            (args.out / 'metrics.json').write_text(json.dumps({'map': .1 * args.seed}))
        return int(failed)
    done = type('Runs', (list,), {'fail': False})()
    monkeypatch.setattr(trainings, 'call', call)
    return done


def test_every_variant_is_trained_with_every_seed_and_the_baseline_once(runs, tmp_path, capsys):
    trainings.main('', SOME, 'result', ['--out', str(tmp_path), '--seeds', '3', '4'])
    assert sorted((args.k, args.match or '', args.seed) for args in runs) == [
        (1, '', 3), (1, '', 4), (3, '', 3), (3, '', 4), (3, 'forced', 3), (3, 'forced', 4)]
    assert {args.loader_processes for args in runs} == {0}
    assert sorted(path.name for path in (tmp_path / 'runs').iterdir()) == [
        f'{name}-seed{seed}.json' for name in ('baseline', 'k-1', 'match-forced')
        for seed in (3, 4)]
    said = capsys.readouterr().out
    assert said.count('| 0.350 | 0.071 | 0.300 | 0.400 |') == 4
    assert '| `--k` |' in said and '| `--match` |' in said
    assert (tmp_path / 'scores.png').exists()
    assert (tmp_path / 'k-1-seed4/metrics.json').exists()  # with the other files of its run


def test_a_seed_given_twice_is_one_run_and_none_at_a_time_is_refused(runs, tmp_path, capsys):
    arguments = ['--out', str(tmp_path), '--only', 'k', '--seeds', '3', '3']
    trainings.main('', SOME, 'result', arguments)
    assert len(runs) == 2
    with pytest.raises(SystemExit):
        trainings.main('', SOME, 'result', [*arguments, '--parallel', '0'])
    assert capsys.readouterr().err == 'experiments: --parallel must be a number from 1, got 0\n'


def test_after_a_failure_the_others_go_on_and_the_next_call_repeats_only_it(runs, tmp_path):
    runs.fail = True
    arguments = ['--out', str(tmp_path), '--seeds', '3', '4']
    with pytest.raises(SystemExit, match='not all runs are there'):
        trainings.main('', SOME, 'result', arguments)
    assert len(runs) == 6
    runs.fail = False
    (tmp_path / 'k-1-seed4' / 'snapshot_iter_2').write_text('')
    trainings.main('', SOME, 'result', arguments)
    assert len(runs) == 7 and (runs[6].k, runs[6].seed, runs[6].resume) == (1, 4, True)


def test_some_axes_alone(runs, tmp_path, capsys):
    trainings.main('', SOME, 'result', ['--out', str(tmp_path), '--seeds', '1', '--only', 'match'])
    assert sorted(args.match or '' for args in runs) == ['', 'forced']
    assert '--k' not in capsys.readouterr().out


def test_flags_behind_two_dashes_go_to_every_run(runs, tmp_path):
    trainings.main('', SOME, 'result', ['--out', str(tmp_path), '--seeds', '1', '--',
                                        '--iteration', '7', '--data', 'bccd'])
    assert {(args.iteration, args.data.name) for args in runs} == {(7, 'bccd')}


def test_runs_at_the_same_time_share_the_cores(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, 'available_cores', lambda: 4)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    trainings.main('', SOME, 'result', ['--out', str(tmp_path), '--seeds', '1', '--parallel', '2'])
    assert {(args.env['OPENBLAS_NUM_THREADS'], args.env['OMP_NUM_THREADS'])
            for args in runs} == {('2', '2')}
    trainings.main('', SOME, 'result', ['--out', str(tmp_path), '--seeds', '2'])
    assert runs[-1].env == dict(os.environ)


@pytest.mark.parametrize('axis, expected', [
    ('k', [.5, 1, 3, 6, 8732]), ('alpha', [.25, .5, 1, 2, 4]),
    ('augmentation', ['full', 'no-expansion', 'flip']), ('match', [None, 'forced', 'forced_above']),
])
def test_an_axis_changes_one_setting_alone(axis, expected):
    changed = [vars(train_settings([*COMMON, *flags])) for flags in AXES[axis].values()]
    assert [settings.pop(axis) for settings in changed] == expected
    assert all(settings == changed[0] for settings in changed)


def test_without_a_flag_boxes_are_matched_one_to_one_first():
    assert LOSSES[train_settings([]).loss].match is RULES['bipartite']
    assert not AXES['match']['bipartite']


@pytest.mark.parametrize('axes, n_run', [(AXES, 13), (FORMULATIONS, len(LOSSES)), (CAUSES, 5),
                                         (BCCD, 1)],
                         ids=['ablations', 'formulations', 'causes', 'bccd'])
def test_the_baseline_is_shared_and_no_other_run_is(axes, n_run):
    names = [comparison.run_name(train_flags, 0) for variants in axes.values()
             for train_flags in variants.values()]
    assert len(set(names)) == n_run
    assert names.count('baseline-seed0') in (0, len(axes))


def test_bccd_is_trained_for_as_long_as_the_table_says():
    args = train_settings(BCCD['iteration']['4000'])
    assert (args.iteration, args.model) == (4000, 'slim300')


def write_runs(folder, scores):
    (folder / 'runs').mkdir()
    for name, value in scores.items():
        (folder / 'runs' / f'{name}.json').write_text(json.dumps({'map': value}))


def test_the_table_has_mean_and_sample_deviation(tmp_path):
    write_runs(tmp_path, {'baseline-seed0': .5, 'baseline-seed1': .6, 'baseline-seed2': .7,
                          'k-1-seed1': .4, 'k-10-seed0': .9, 'k-1-seed2': None})
    scores = comparison.read_scores(tmp_path, SOME)
    assert comparison.table('k', scores['k']).splitlines() == [
        '| `--k` | mAP, mean | std | seed 0 | seed 1 | seed 2 |',
        '| --- | --- | --- | --- | --- | --- |',
        '| `1` | 0.400 |  |  | 0.400 |  |', '| `3` | 0.600 | 0.100 | 0.500 | 0.600 | 0.700 |']
    assert list(scores['match']) == ['bipartite']


def test_the_figure_grows_with_the_axes(tmp_path, capsys):
    comparison.summarise(tmp_path, SOME)
    assert 'no run yet' in capsys.readouterr().out
    write_runs(tmp_path, {'baseline-seed0': .5, 'match-forced-seed0': .4, 'k-1-seed0': .6})
    widths = []
    for axes in ({'match': SOME['match']}, SOME):
        comparison.summarise(tmp_path, axes)
        with Image.open(tmp_path / 'scores.png') as picture:
            widths.append(picture.size[0])
            assert picture.size[1] > 200
    assert widths[0] < widths[1] <= 1000
