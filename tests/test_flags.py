"""Flags: misspelt names and choices, missing files, and one line per mistake."""
import functools
from pathlib import Path

import detect
import evaluate
import train
from multibox.errors import UserError
from multibox.flags import check_all, check_out, check_path, make_parser

import pytest


@pytest.fixture
def refused(capsys):
    """Function that parses arguments that are refused. It returns the only line on stderr."""
    def refuse(main, *flags):
        with pytest.raises(SystemExit) as end:
            main(list(flags))
        line, = capsys.readouterr().err.splitlines()
        assert end.value.code == 2
        return line.partition(': ')[2]
    return refuse


@pytest.mark.parametrize('given, meant', [
    ('--batch-size', '--batchsize'), ('--Batch_Size', '--batchsize'), ('--batch', '--batchsize'),
    ('--bs', '--batchsize'), ('--epoch', '--epochs'), ('--lr0', '--lr'),
    ('--learning-rate', '--lr'), ('--weights', '--pretrained'), ('--iters', '--iteration'),
    ('--iterations', '--iteration'), ('--workers', '--loader-processes'),
    ('--num-workers', '--loader-processes'), ('--gpu', '--device'), ('--dataset', '--data'),
    ('--dataset_root', '--data'), ('--output', '--out'), ('--save_folder', '--out'),
    ('--imgsz', '--model'), ('--snapshot-intervall', '--snapshot-interval')])
def test_an_unknown_flag_suggests_the_one_that_was_meant(refused, given, meant):
    assert refused(train.main, f'{given}=3') == f'unknown flag {given}; did you mean {meant}?'


def test_a_flag_far_from_all_others_points_at_the_list(refused):
    assert refused(train.main, '--zzz') == 'unknown flag --zzz; --help lists all flags'


def test_a_flag_cannot_be_abbreviated(refused):
    assert refused(train.main, '--iter', '4') == 'unknown flag --iter; did you mean --iteration?'


def test_an_unknown_flag_is_reported_before_a_missing_one(refused):
    for main in evaluate.main, detect.main:
        assert refused(main, '--weights', 'x') == 'unknown flag --weights; did you mean --model?'


def test_a_misspelt_choice_suggests_the_nearest_and_lists_all(refused):
    line = refused(train.main, '--loss', 'ssd_pytroch')
    assert line.startswith('--loss ssd_pytroch: unknown (did you mean ssd_pytorch?); choose from '
                           'balancap, caffe, chainercv, ')


@pytest.mark.parametrize('flag, value, near', [
    ('--model', 'sdd300', 'ssd300'), ('--conv', 'onednnn', 'onednn'),
    ('--augmentation', 'flips', 'flip')])
def test_every_choice_has_a_suggestion(refused, flag, value, near):
    assert f'{flag} {value}: unknown (did you mean {near}?)' in refused(train.main, flag, value)


@pytest.mark.parametrize('flags, message', [
    (['--iteration', 'many'], "--iteration: invalid int value: 'many'"),
    (['--lr'], '--lr: expected one argument'),
    (['--iteration', '3', '--epochs', '2'], '--epochs: not allowed with argument --iteration'),
    (['photo.jpg'], 'unrecognized arguments: photo.jpg')])
def test_other_mistakes_are_one_line_too(refused, flags, message):
    assert refused(train.main, *flags) == message


def test_a_subcommand_checks_its_own_flags(refused):
    parser = make_parser('a program')
    command = parser.add_subparsers(dest='command').add_parser('convert')
    command.add_argument('--classes')
    assert parser.parse_args(['convert', '--classes', 'voc']).classes == 'voc'
    line = refused(parser.parse_args, 'convert', '--class', 'voc')
    assert line == 'unknown flag --class; did you mean --classes?'


@pytest.mark.parametrize('value', ['-1', '-2.5', '-'])
def test_a_value_may_begin_with_a_dash(value):
    parser = make_parser('a program')
    parser.add_argument('--number')
    assert parser.parse_args(['--number', value]).number == value


def test_words_after_two_dashes_are_no_flags():
    parser = make_parser('a program')
    parser.add_argument('words', nargs='*')
    assert parser.parse_args(['--', '--zzz']).words == ['--zzz']


def fail(message):
    raise UserError(message)


def test_all_faults_are_in_one_message():
    with pytest.raises(UserError) as error:
        check_all(functools.partial(fail, 'first'), lambda: None, functools.partial(fail, 'second'))
    assert str(error.value) == 'first\nsecond'


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / 'model.npz').touch()
    check_path(tmp_path / 'model.npz', 'give a file')
    with pytest.raises(UserError, match=r'modle\.npz: no such file \(did you mean model'):
        check_path(tmp_path / 'modle.npz', 'give a file')


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / 'data').touch()
    with pytest.raises(UserError, match='data: is a file; give its folder'):
        check_path(tmp_path / 'data', 'give a folder', folder=True)


def test_a_folder_for_results_is_checked_and_not_made(tmp_path):
    check_out(tmp_path / 'a/b')
    assert not (tmp_path / 'a').exists()
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'--out .*file/b: cannot be made \(.*file is no folder\)'):
        check_out(tmp_path / 'file/b')


@pytest.fixture
def at_work(monkeypatch, tmp_path):
    """An empty working folder. Reading data, weights or photographs is an error."""
    def read(*_):
        pytest.fail('read before the checks')
    monkeypatch.chdir(tmp_path)
    for program, name in ((train, 'load_data'), (evaluate, 'load_model'), (detect, 'load_model'),
                          (detect, 'map_batches')):
        monkeypatch.setattr(program, name, read)
    return tmp_path


@pytest.mark.parametrize('main, flags, faults', [
    (train.main, ['--data', 'nowhere', '--pretrained', 'imagnet', '--reuse', 'a.npz', '--lr=-1'],
     ['--lr must be', 'nowhere: no such folder',
      '--pretrained imagnet: unknown (did you mean imagenet?)', 'a.npz: no such file']),
    (train.main, ['--resume', '--pretrained', 'b.npz', '--out', 'empty'],
     ['b.npz: no such file', 'empty: no snapshot_iter_*']),
    (train.main, ['--pretrained', 'hed'], ['--pretrained hed: holds a VGG16, and slim300']),
    (train.main, ['--epochs', '0'], ['--epochs must be a number above 0, got 0']),
    (evaluate.main, ['--model', 'a.npz', '--data', 'nowhere', '--batchsize', '0'],
     ['--batchsize must be', 'a.npz: no such file', 'nowhere: no such folder']),
    (detect.main, ['--model', 'a.npz', 'b.jpg', 'c.jpg', '--score', '2'],
     ['--score must be', 'a.npz: no such file', 'b.jpg: no such file', 'c.jpg: no such file']),
], ids=['train', 'resume', 'VGG16', 'epochs', 'evaluate', 'detect'])
def test_all_faults_are_found_before_anything_is_read(at_work, main, flags, faults):
    with pytest.raises(UserError) as error:
        main(flags)
    lines = str(error.value).splitlines()
    assert len(lines) == len(faults)
    assert all(line.startswith(fault) for line, fault in zip(lines, faults))
    assert not list(at_work.iterdir())


def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(UserError, match='a: cannot be read'):
        check_path(Path(300 * 'a'), 'give a folder', folder=True)
