"""The recipes of the paper's tables: their commands, the data they lack, the table of scores."""
import json
import re
import sys

import evaluate
import train
from experiments import __main__ as cli
from experiments.downloads import default_folder, missing
from experiments.recipe import FILES, FOLDER, commands, read_recipes, score_file
from experiments.table import runs, table
from multibox.errors import UserError
from multibox.training import settings
from multibox.weights import __main__ as weights

import pytest

RECIPES = read_recipes()


def train_settings(argv):
    """The settings of train.py for a command line."""
    return settings.parse_args(argv, None, train.PAPER, train.SLIM, train.LITE)


@pytest.fixture
def devkit(tmp_path):
    folder = tmp_path / 'VOCdevkit'
    for year in ('VOC2007', 'VOC2012'):
        (folder / year / 'Annotations').mkdir(parents=True)
        (folder / year / 'ImageSets/Main').mkdir(parents=True)
        for split in ('trainval', 'test'):
            (folder / year / f'ImageSets/Main/{split}.txt').write_text('')
    return folder


def test_every_file_is_read():
    assert {path.stem for path in FOLDER.glob('*.toml')} == {*FILES, 'data'}
    assert len(RECIPES) == 17


# Liu et al., arXiv 1512.02325 v5: Tables 1, 2, 4, 5 and 6
@pytest.mark.parametrize('name, percent', [
    ('ssd300-07', '68.0'), ('ssd512-07', '71.6'), ('ssd300-07+12', '74.3'),
    ('ssd512-07+12', '76.8'), ('ssd300-07+12-expansion', '77.2'),
    ('ssd512-07+12-expansion', '79.8'), ('ssd300-07++12', '72.4'), ('ssd512-07++12', '74.9'),
    ('ssd300-07++12-expansion', '75.8'), ('ssd512-07++12-expansion', '78.5'),
    ('table2-flip', '65.5'), ('table2-square', '71.6'), ('table2-ratio2', '73.7'),
    ('ssd300-coco', '23.2'), ('ssd512-coco', '26.8'), ('ssd300-coco-expansion', '25.1'),
    ('ssd512-coco-expansion', '28.8')])
def test_every_cell_has_the_papers_number(name, percent):
    number, place = RECIPES[name].expected['paper']
    assert number == percent and place.startswith('Table ')


# Liu et al., sec. 3.1, 3.3 and 3.4; ssd_pascal.py and ssd_coco.py of weiliu89/caffe, and sec. 3.6.
PAPER = 'no-expansion', 60000, [40000, 50000], True
STARRED = 'full', 120000, [80000, 100000], False
COCO = 'no-expansion', 240000, [160000, 200000], False
STARRED_COCO = 'full', 400000, [280000, 360000], False


@pytest.mark.parametrize('name, model, split, augmentation, iteration, cuts, difficult', [
    ('ssd300-07', 'ssd300', '07', *PAPER), ('ssd512-07', 'ssd512', '07', *PAPER),
    ('ssd300-07+12', 'ssd300', '07+12', *PAPER), ('ssd512-07+12', 'ssd512', '07+12', *PAPER),
    ('ssd300-07+12-expansion', 'ssd300', '07+12', *STARRED),
    ('ssd512-07+12-expansion', 'ssd512', '07+12', *STARRED),
    ('ssd300-07++12', 'ssd300', '07++12', 'no-expansion', 80000, [60000], True),
    ('ssd512-07++12', 'ssd512', '07++12', 'no-expansion', 80000, [60000], True),
    ('ssd300-07++12-expansion', 'ssd300', '07++12', 'full', 160000, [120000], True),
    ('ssd512-07++12-expansion', 'ssd512', '07++12', 'full', 160000, [120000], True),
    ('table2-flip', 'ssd300', '07+12', 'flip', *PAPER[1:]),
    ('table2-square', 'ssd300-square', '07+12', *PAPER),
    ('table2-ratio2', 'ssd300-ratio2', '07+12', *PAPER),
    ('ssd300-coco', 'ssd300-coco', '07+12', *COCO), ('ssd512-coco', 'ssd512-coco', '07+12', *COCO),
    ('ssd300-coco-expansion', 'ssd300-coco', '07+12', *STARRED_COCO),
    ('ssd512-coco-expansion', 'ssd512-coco', '07+12', *STARRED_COCO)])
def test_the_flags_of_train_are_those_of_the_source(
        name, model, split, augmentation, iteration, cuts, difficult, tmp_path):
    line = commands(RECIPES[name], tmp_path, '0', tmp_path / 'out')[0]
    args = train_settings(line[1:])
    assert line[0] == 'train.py' and args.pretrained == 'imagenet'
    assert (args.model, args.split, args.augmentation) == (model, split, augmentation)
    assert (args.iteration, args.cuts, args.difficult) == (iteration, cuts, difficult)
    assert (args.batchsize, args.lr, args.weight_decay, args.loss) == (32, 1e-3, 5e-4, 'chainercv')


def test_the_numbers_of_others_are_theirs():
    assert {(name, source): number for name, recipe in RECIPES.items()
            for source, (number, _) in recipe.expected.items() if source != 'paper'} == {
        ('ssd300-07+12-expansion', 'chainercv'): '77.5',
        ('ssd512-07+12-expansion', 'chainercv'): '80.1',
        ('ssd300-07+12-expansion', 'ssd.pytorch'): '77.43'}


def test_published_weights_have_a_score_and_an_address():
    published = [row for recipe in RECIPES.values() for row in recipe.published]
    assert [(owner, number) for owner, number, _ in published] == [
        ('authors', '77.2'), ('ChainerCV', '77.8'), ('ChainerCV', '77.5'), ('ssd.pytorch', '77.43'),
        ('authors', '79.8'), ('ChainerCV', '79.7'), ('ChainerCV', '80.1'),
        ('authors', '75.8'), ('authors', '78.5'), ('authors', '25.1'), ('authors', '28.8')]
    assert all(address.startswith('https://') for _, _, address in published)
    assert len({address for _, _, address in published}) == len(published)


@pytest.mark.parametrize('recipe', RECIPES.values(), ids=RECIPES)
def test_published_weights_are_evaluated_without_training(recipe, tmp_path):
    out = tmp_path / 'out'
    coco = 'coco' in recipe.name
    convert, test = commands(recipe, tmp_path, '-1', out, tmp_path / 'w.npz', ['--batchsize', '7'])
    args = weights.parse_args(convert[2:])
    assert convert[:3] == ['-m', 'multibox.weights', 'convert']
    assert (args.source, args.out) == (str(tmp_path / 'w.npz'), out / 'model.npz')
    assert (args.model, args.classes) == (recipe.model, recipe.data if coco else 'voc')
    args = evaluate.parse_args(test[1:])
    assert (args.model, args.out, args.batchsize) == (out / 'model.npz', out, 7)
    assert (args.submission, args.coco) == ('07++12' in recipe.name, coco)
    assert score_file(recipe, out, weights=True) == out / 'metrics.json'


def test_a_run_that_was_broken_off_is_continued(tmp_path):
    recipe = RECIPES['ssd300-07']
    assert '--resume' not in commands(recipe, tmp_path, '0', tmp_path)[0]
    (tmp_path / 'snapshot_iter_2000').write_text('')
    assert '--resume' in commands(recipe, tmp_path, '0', tmp_path)[0]


@pytest.mark.parametrize('data, archives', [
    ('07', ['VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar']),
    ('07+12', ['VOCtrainval_06-Nov-2007.tar', 'VOCtrainval_11-May-2012.tar',
               'VOCtest_06-Nov-2007.tar']),
    ('07++12', ['VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar',
                'VOCtrainval_11-May-2012.tar', 'VOC2012test.tar']),
    ('coco', ['train2017.zip', 'val2017.zip', 'annotations_trainval2017.zip'])])
def test_what_to_download_is_said(data, archives, tmp_path):
    def found(**which):
        message = missing(data, tmp_path, **which)
        return re.findall(r'^  (\S+), \d+ [GM]B: http://\S+$', message, re.MULTILINE)
    assert found() == archives
    assert found(train=False) == archives[1 if data == 'coco' else -1:]


def test_data_that_are_there_are_enough_whether_the_devkit_or_its_parent_is_named(devkit):
    assert missing('07++12', devkit) is missing('07', devkit.parent) is None
    (devkit / 'VOC2007/ImageSets/Main/test.txt').unlink()
    lacking = missing('07', devkit)
    assert lacking.startswith(f'{devkit}: lacks VOC2007/ImageSets/Main/test.txt. Download')
    assert 'trainval' not in lacking  # that one is there


def test_run_without_data_names_them_and_the_same_command_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'w.npz').touch()
    arguments = ['run', 'ssd300-07+12', '--weights', 'w.npz', '--', '--batchsize', '8']
    with pytest.raises(UserError) as error:
        cli.main(arguments)
    assert 'VOCtest_06' in str(error.value) and 'trainval' not in str(error.value)
    assert str(error.value).endswith(
        '\nThen again: python -m experiments ' + ' '.join(arguments))


@pytest.fixture
def executed(monkeypatch):
    lines = []

    def call(command):
        assert command[0] == sys.executable
        lines.append(command[1:])
        if command[1] == 'evaluate.py' and '--submission' not in command:
            put(evaluate.parse_args(command[2:]).out / 'metrics.json', METRICS)
        return lines.ended
    lines = type('Lines', (list,), {'ended': 0})()
    monkeypatch.setattr(cli, 'call', call)
    return lines


def test_run_executes_what_it_prints(devkit, tmp_path, executed, capsys):
    out = tmp_path / 'out'
    arguments = ['run', 'ssd300-07++12', '--data', str(devkit), '--device', '1', '--out', str(out)]
    cli.main([*arguments, '--', '--iteration', '9'])
    assert [' '.join(line) for line in executed] == [
        line.removeprefix('python ') for line in capsys.readouterr().out.splitlines()]
    args = train_settings(executed[0][1:])
    assert (args.iteration, args.device, args.split, args.out) == (9, '1', '07++12', out)
    assert evaluate.parse_args(executed[1][1:]).submission


def test_a_run_that_fails_ends_the_recipe_with_its_status(devkit, tmp_path, executed):
    executed.ended = 143
    with pytest.raises(SystemExit, match='143'):
        cli.main(['run', 'ssd300-07++12', '--data', str(devkit), '--out', str(tmp_path / 'out')])
    assert len(executed) == 1


def test_a_score_knows_all_commands_behind_it(devkit, tmp_path, executed, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'w.npz').touch()
    cli.main(['run', 'ssd300-07+12-expansion', '--data', str(devkit), '--weights', 'w.npz'])
    convert, test = capsys.readouterr().out.splitlines()
    name = 'ssd300-07+12-expansion-weights'
    assert convert == (f'python -m multibox.weights convert w.npz --model ssd300 --classes voc '
                       f'--out result/{name}/model.npz')
    assert ' --device 0 ' in test
    rows = table([RECIPES['ssd300-07+12-expansion']], tmp_path / 'result').splitlines()
    assert rows[-1].startswith(f'- ssd300-07+12-expansion, 75.1: `{convert}`, `{test}`, 2026')


def test_a_dry_run_only_prints(executed, capsys):
    cli.main(['run', 'ssd300-07', '--dry-run'])
    assert capsys.readouterr().out.startswith('python train.py --data VOCdevkit --model ssd300')
    assert executed == []


def test_weights_that_are_not_there_are_linked(devkit, executed):
    with pytest.raises(UserError, match=r'w\.npz: no such file(.|\n)*80.1: https://chainercv-models'):
        cli.main(['run', 'ssd512-07+12-expansion', '--data', str(devkit), '--weights', 'w.npz'])
    with pytest.raises(UserError, match=r'no weights of this recipe were published'):
        cli.main(['run', 'ssd512-07', '--data', str(devkit), '--weights', 'w.npz'])


def test_the_list_names_every_recipe(capsys):
    cli.main(['list'])
    said = capsys.readouterr().out
    assert all(f'{name}: ' in said for name in RECIPES)
    assert 'chainercv 77.5 (examples/ssd/README.md' in said


METRICS = {'map': .7512, 'command': 'python train.py --seed 0', 'date': '2026-01-02T03:04:05',
           'hardware': 'NVIDIA H200', 'versions': {'multibox': '0123456789abcdef'}}


def put(path, metrics):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics))


def test_ours_stand_beside_the_published_with_their_origin(tmp_path):
    put(tmp_path / 'ssd300-07+12-expansion/metrics.json', METRICS)
    put(tmp_path / 'ssd300-07+12-expansion-weights/metrics.json', {**METRICS, 'map': .778})
    rows = table([RECIPES['ssd300-07+12-expansion'], RECIPES['ssd300-07']], tmp_path).splitlines()
    assert rows[2:4] == [
        '| `ssd300-07+12-expansion` | VOC2007 test, mAP | 77.2 | 77.5 | 77.43 | 75.1 | 77.8 |',
        '| `ssd300-07` | VOC2007 test, mAP | 68.0 |  |  |  |  |']
    assert rows[4:6] == ['', '- ssd300-07+12-expansion, 75.1: `python train.py --seed 0`, '
                         '2026-01-02, commit 0123456789, NVIDIA H200']
    assert len(rows) == 7


def test_a_run_without_a_score_has_no_number(tmp_path):
    put(tmp_path / 'ssd300-07++12/metrics.json', {**METRICS, 'map': None})
    assert runs(RECIPES['ssd300-07++12'], tmp_path) == [None, None]
    put(tmp_path / 'ssd300-coco-weights/metrics.json', METRICS)  # without --coco
    assert runs(RECIPES['ssd300-coco'], tmp_path) == [None, None]
    put(tmp_path / 'ssd300-07/metrics.json', {**METRICS, 'coco': {'map': .5}})
    assert '| 68.0 |  |  | 75.1 |' in table([RECIPES['ssd300-07']], tmp_path)


def test_cocos_score_is_that_of_its_own_metric(tmp_path):
    put(tmp_path / 'ssd300-coco/metrics.json', METRICS)  # of training, by VOC's rule
    put(tmp_path / 'ssd300-coco/evaluation/metrics.json', {**METRICS, 'coco': {'map': .231}})
    put(tmp_path / 'ssd300-coco-weights/metrics.json', {**METRICS, 'coco': {'map': .25}})
    assert '| 23.2 |  |  | 23.1 | 25.0 |' in table([RECIPES['ssd300-coco']], tmp_path)


def test_committed_results_count_where_there_is_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr('experiments.table.FOLDER', tmp_path)
    put(tmp_path / 'results/ssd300-07.json', METRICS)
    assert runs(RECIPES['ssd300-07'], tmp_path / 'result') == [METRICS, None]


def test_data_of_every_recipe_are_described():
    for recipe in RECIPES.values():
        assert default_folder(recipe.data).name in ('VOCdevkit', 'COCO')
