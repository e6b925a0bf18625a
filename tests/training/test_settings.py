"""The settings of a run: its length, its network, its folder, and the cuts of a resumed run."""
import functools
import json
import os
import shutil

import train
from multibox.data.voc import VOCData, VOCDataset
from multibox.errors import UserError
from multibox.processes import ONE
from multibox.training import save_settings, scaled_cuts, settings
from multibox.training.learning_rate import describe_change

import pytest

parse_args = functools.partial(
    settings.parse_args, description=None, paper=train.PAPER, slim=train.SLIM, lite=train.LITE)


@pytest.mark.parametrize('epochs, iteration', [
    ('1', 13), ('2', 25), ('0.5', 7), ('0.08', 1), ('0.001', 1)])
def test_epochs_are_rounded_up_to_whole_updates(epochs, iteration):
    args = parse_args(['--epochs', epochs, '--batchsize', '8'])
    settings.count_iterations(args, n_image=100)
    assert args.iteration == iteration and args.epochs is None


def test_cuts_follow_the_epochs_unless_they_are_given():
    args, given = parse_args(['--epochs', '12']), parse_args(['--epochs', '12', '--cuts', '5'])
    for each in args, given:
        settings.count_iterations(each, n_image=80)
    assert (args.iteration, args.cuts) == (120, [80, 100])
    assert (given.iteration, given.cuts) == (120, [5])


@pytest.mark.parametrize('flags, model, iteration', [
    ([], 'slim300', 480),
    (['--data', 'photos', '--model', 'slim300', '--device', 'cuda'], 'slim300', 480),
    (['--data', 'photos', '--iteration', '9'], 'lite300', 9),
    (['--data', 'photos', '--device', 'cuda'], 'ssd300', 120000),
    (['--data', 'photos', '--model', 'ssd512'], 'ssd512', 120000)])
def test_the_network_suits_data_and_device(flags, model, iteration):
    args = parse_args(flags)
    assert (args.model, args.iteration) == (model, iteration)
    assert args.cuts == scaled_cuts(iteration)


def test_lite_trains_for_epochs():
    args = parse_args(['--data', 'photos'])
    assert args.model == 'lite300' and args.iteration is None
    settings.count_iterations(args, n_image=400)
    assert args.iteration == train.LITE['epochs'] * 50 and args.cuts == scaled_cuts(args.iteration)


@pytest.mark.parametrize('flags, pretrained, frozen, trunk_lr', [
    ([], 'imagenet', train.LITE['frozen'], train.LITE['trunk_lr']),
    (['--pretrained', 'none'], 'none', 0, 1),
    (['--pretrained', 'none', '--frozen', '2'], 'none', 2, 1),
    (['--reuse', 'model.npz'], 'none', train.LITE['frozen'], train.LITE['trunk_lr'])])
def test_a_trunk_with_trained_weights_learns_in_part(flags, pretrained, frozen, trunk_lr):
    args = parse_args(['--model', 'lite300', *flags])
    assert (args.pretrained, args.frozen, args.trunk_lr) == (pretrained, frozen, trunk_lr)


HED = ['--model', 'ssd300', '--pretrained', 'hed']


@pytest.mark.parametrize('flags, warmup', [
    ([], 200), (['--iteration', '200'], 200), (['--iteration', '25'], 25),
    (['--epochs', '4'], 50), (['--warmup', '0'], 0), (['--warmup', '7'], 7)])
def test_hed_weights_get_a_warm_up_unless_one_is_given(flags, warmup):
    args = parse_args([*HED, *flags])
    settings.count_iterations(args, n_image=400)
    assert args.warmup == warmup


@pytest.mark.parametrize('source', ['none', 'imagenet', 'vgg16.npz'])
def test_other_weights_have_the_warm_up_of_the_recipe(source):
    assert parse_args(['--model', 'ssd300', '--pretrained', source]).warmup == 0


@pytest.mark.parametrize('began, flags, warmup', [
    ({'warmup': 0}, [], 0), ({'warmup': 30}, ['--iteration', '9'], 30), ({}, [], 0),
    ({'warmup': 0}, ['--warmup', '5'], 5)],
    ids=['none', 'some', 'of an earlier version', 'given now'])
def test_a_resumed_run_keeps_the_warm_up_it_began_with(tmp_path, began, flags, warmup):
    began = {'model': 'ssd300', 'pretrained': 'hed', 'iteration': 60, **began}
    assert resumed(tmp_path, began, *flags)['warmup'] == warmup


def test_the_warm_up_of_hed_weights_passes_the_checks_before_the_epochs_are_counted(tmp_path):
    args = parse_args([*HED, '--epochs', '4', '--out', str(tmp_path / 'out')])
    settings.check_and_lock(args, ONE).release()
    args = parse_args([*HED, '--warmup', '-1', '--out', str(tmp_path / 'out')])
    with pytest.raises(UserError, match='--warmup must be a number from 0, got -1'):
        settings.check_and_lock(args, ONE)


@pytest.mark.parametrize('flags, message', [
    (['--model', 'ssd300', '--frozen', '3'], '--frozen, --trunk-lr: are for lite300'),
    (['--model', 'lite300', '--frozen', '18'], '--frozen must be a number from 0 to 17'),
    (['--model', 'lite300', '--pretrained', 'hed'], 'lite300 has none'),
    (['--model', 'lite300', '--trunk-lr', '-1'], '--trunk-lr must be a number from 0')])
def test_flags_of_the_trunk_are_checked(tmp_path, flags, message):
    args = parse_args([*flags, '--out', str(tmp_path / 'out')])
    with pytest.raises(UserError, match=message):
        settings.check_and_lock(args, ONE)


def test_a_chosen_network_and_the_papers_are_named(tmp_path, capsys):
    args = parse_args(['--data', str(tmp_path), '--out', str(tmp_path / 'out')])
    settings.check_and_lock(args, ONE)
    said = capsys.readouterr().out
    assert said.startswith('network: lite300') and '--model ssd300' in said
    assert 'remarks' not in vars(args)


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """An empty working folder, in which ``put(path)`` makes files."""
    monkeypatch.chdir(tmp_path)

    def put(path, time=0):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text('{}')
        os.utime(tmp_path / path, (time, time))
    return put


@pytest.mark.parametrize('file', ['settings.json', 'snapshot_iter_2', 'model.npz'])
def test_a_second_run_gets_a_folder_of_its_own(at_work, file, capsys):
    at_work('result/other.txt')
    assert str(parse_args([]).out) == 'result'
    at_work(f'result/{file}')
    assert str(parse_args([]).out) == 'result-2'
    at_work(f'result-2/{file}')
    args = parse_args(['--data', '.'])
    settings.check_and_lock(args, ONE)
    assert str(args.out) == 'result-3'
    assert capsys.readouterr().out.splitlines()[0] == (
        'writing to result-3, because result holds a run')


def test_a_named_folder_is_taken(at_work):
    at_work('result/settings.json')
    assert str(parse_args(['--out', 'result']).out) == 'result'


def test_the_run_with_the_latest_snapshot_is_resumed(at_work, capsys):
    for path, time in (('result/snapshot_iter_9', 30), ('result-2/snapshot_iter_2', 40),
                       ('result-10/snapshot_iter_2', 20), ('result-3/settings.json', 50),
                       ('result-old/snapshot_iter_2', 60)):
        at_work(path, time)
    args = parse_args(['--resume'])
    settings.check_and_lock(args, ONE)
    assert str(args.out) == 'result-2'
    assert capsys.readouterr().out == 'resuming the run in result-2, the newest one\n'


def resumed(folder, began, *flags):
    """The settings of a run with the settings ``began`` that is resumed with flags."""
    save_settings(folder, began)
    return vars(parse_args(['--out', str(folder), '--resume', *flags]))


OLD = {'model': 'slim300', 'iteration': 120, 'cuts': [80, 100]}  # without an entry cuts_given


@pytest.mark.parametrize('began', [OLD, {**OLD, 'cuts_given': False}],
                         ids=['of an earlier version', 'not given'])
def test_cuts_that_were_not_given_follow_the_iterations(tmp_path, began):
    now = resumed(tmp_path, began, '--iteration', '240')
    assert (now['cuts'], now['cuts_given']) == ([160, 200], False)
    assert resumed(tmp_path, began)['cuts'] == [80, 100]


@pytest.mark.parametrize('began', [
    {**OLD, 'cuts': [7]}, {**OLD, 'cuts': []}, {**OLD, 'cuts_given': True}],
    ids=['of an earlier version', 'none, of an earlier version', 'given'])
def test_cuts_that_were_given_stay(tmp_path, began):
    now = resumed(tmp_path, began, '--iteration', '240')
    assert (now['cuts'], now['cuts_given']) == (began['cuts'], True)


def test_new_cuts_count_as_given(tmp_path):
    now = resumed(tmp_path, OLD, '--cuts', '90')
    assert (now['cuts'], now['cuts_given']) == ([90], True)


def test_epochs_lengthen_a_resumed_run(tmp_path):
    save_settings(tmp_path, {**OLD, 'batchsize': 8})
    args = parse_args(['--out', str(tmp_path), '--resume', '--epochs', '3'])
    settings.count_iterations(args, n_image=640)
    assert (args.iteration, args.cuts) == (240, [160, 200])


@pytest.mark.parametrize('iteration, interval', [(540, 54), (541, 55), (4, 1), (1, 1)])
def test_a_run_has_ten_evaluations_unless_an_interval_is_given(iteration, interval):
    args = parse_args(['--iteration', str(iteration)])
    assert (args.eval_interval, args.eval_interval_given) == (interval, False)
    given = parse_args(['--iteration', str(iteration), '--eval-interval', '7'])
    assert (given.eval_interval, given.eval_interval_given) == (7, True)


def test_the_interval_of_evaluations_follows_the_epochs_unless_it_is_given():
    args = parse_args(['--epochs', '12'])
    given = parse_args(['--epochs', '12', '--eval-interval', '5'])
    for each in args, given:
        settings.count_iterations(each, n_image=80)
    assert (args.eval_interval, given.eval_interval) == (12, 5)


@pytest.mark.parametrize('began, interval', [
    (OLD, 24), ({**OLD, 'eval_interval': 12, 'eval_interval_given': False}, 24),
    ({**OLD, 'eval_interval': 12, 'eval_interval_given': True}, 12)],
    ids=['of an earlier version', 'not given', 'given'])
def test_the_interval_of_a_resumed_run_follows_its_length_unless_it_was_given(
        tmp_path, began, interval):
    assert resumed(tmp_path, began, '--iteration', '240')['eval_interval'] == interval


def test_the_patience_of_a_resumed_run_is_kept_and_may_change(tmp_path):
    began = {**OLD, 'patience': 3}
    assert resumed(tmp_path, began)['patience'] == 3
    assert resumed(tmp_path, began, '--patience', '0')['patience'] == 0


def test_patience_without_test_images_is_refused():
    args = parse_args(['--patience', '3'])
    data = VOCData(VOCDataset([]), VOCDataset([]), (), [], [])
    with pytest.raises(UserError, match='--patience 3: there is no test image'):
        settings.begin_or_resume(None, args, data, ONE)


def change(iteration, cuts, before=OLD, n=240, given=False):
    return describe_change(iteration, before, {'iteration': n, 'cuts': cuts, 'cuts_given': given,
                                               'lr': 1e-3, 'warmup': 0})


def test_moved_cuts_are_told():
    assert change(70, [160, 200]) == 'the cuts are now at 160, 200 (before: 80, 100)'
    assert change(70, []) == 'the cuts are now at no iteration (before: 80, 100)'


def test_a_learning_rate_that_rises_is_told():
    assert change(110, [160, 200]) == (
        'the cuts are now at 160, 200 (before: 80, 100); the learning rate rises from 1.0e-05 to '
        '1.0e-03, because the run was past an earlier cut')


def test_cuts_that_stay_are_told_if_the_iterations_change():
    assert change(70, [80, 100], given=True) == 'the cuts stay at 80, 100, as they were given'
    assert change(70, [80, 100], n=120) == change(70, [80, 100], before={}) == ''


def test_a_longer_run_says_where_its_cuts_are(data, tmp_path, capsys):
    flags = ['--model', 'slim300', '--data', str(data), '--out', str(tmp_path), '--batchsize', '2',
             '--loader-processes', '0', '--log-interval', '1', '--eval-interval', '6']
    train.main([*flags, '--epochs', '1'])
    assert 'resum' not in capsys.readouterr().out
    train.main(['--out', str(tmp_path), '--resume', '--epochs', '2'])
    said = capsys.readouterr().out
    assert 'the cuts are now at 4, 5 (before: 2, 2); the learning rate rises from ' in said
    assert '\n3 iterations: about ' in said
    log = json.loads((tmp_path / 'log').read_text())
    rates = [entry['lr'] for entry in log if entry['iteration'] > 3]
    warm = [3e-3 * n / 20 for n in (4, 5, 6)]
    assert rates == pytest.approx([warm[0], warm[1] / 10, warm[2] / 100])
    assert json.loads((tmp_path / 'settings.json').read_text())['iteration'] == 6


def test_a_run_is_not_resumed_on_other_boxes(data, tmp_path):
    other = tmp_path / 'other'
    shutil.copytree(data, other)
    flags = ['--out', str(tmp_path / 'run'), '--iteration', '2', '--batchsize', '2',
             '--eval-interval', '2', '--loader-processes', '0']
    train.main(['--model', 'slim300', '--data', str(data), *flags])
    first = next((other / 'Annotations').iterdir())
    first.write_text(first.read_text().replace('<xmin>', '<xmin>1'))
    with pytest.raises(UserError, match='whose images or boxes differ from those of'):
        train.main(['--data', str(other), *flags, '--resume'])
