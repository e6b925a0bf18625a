"""The paper's tables as commands: recipes, what they lack, and our numbers beside the published."""
import json
import re
import types

import evaluate
import train
from experiments import __main__ as cli
from experiments.recipe import (
    FILES,
    FOLDER,
    commands,
    default_folder,
    missing,
    read_recipes,
    score_file,
)
from experiments.table import ours, table
from multibox.errors import UserError

import pytest

RECIPES = read_recipes()


@pytest.fixture
def devkit(tmp_path):
    folder = tmp_path / 'VOCdevkit'
    for year, splits in (('VOC2007', ('trainval', 'test')), ('VOC2012', ('trainval',))):
        (folder / year / 'Annotations').mkdir(parents=True)
        (folder / year / 'ImageSets/Main').mkdir(parents=True)
        for split in splits:
            (folder / year / f'ImageSets/Main/{split}.txt').write_text('')
    return folder


def test_every_file_is_read():
    assert {path.stem for path in FOLDER.glob('*.ini')} == {*FILES, 'data'}
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


@pytest.mark.parametrize('recipe', RECIPES.values(), ids=RECIPES)
def test_the_flags_are_those_of_train(recipe, tmp_path):
    line = commands(recipe, tmp_path, '0', tmp_path / 'out')[0]
    args = train.parse_args(line[1:])
    assert line[0] == 'train.py' and args.cuts == sorted(args.cuts)
    assert args.cuts[-1] < args.iteration and args.batchsize == 32 and args.lr == 1e-3
    assert args.augmentation == ('full' if 'expansion' in recipe.name else
                                 'flip' if 'flip' in recipe.name else 'no-expansion')
    named = re.search(r'-(07[+12]*)', recipe.name)
    assert args.split == (named[1] if named else '07+12')
    assert args.model.startswith(recipe.name.split('-')[0].replace('table2', 'ssd300'))


@pytest.mark.parametrize('recipe', RECIPES.values(), ids=RECIPES)
def test_published_weights_are_evaluated_without_training(recipe, tmp_path):
    out = tmp_path / 'out'
    convert, test = commands(recipe, tmp_path, '-1', out, weights=tmp_path / 'w.npz')
    assert convert[:4] == ['-m', 'multibox.weights', 'convert', str(tmp_path / 'w.npz')]
    if recipe.data != 'coco':
        args = evaluate.parse_args(test[1:])
        assert (args.model, args.out) == (out / 'model.npz', out)
        assert args.submission == ('07++12' in recipe.name)
    assert score_file(recipe, out, weights=True) == out / 'metrics.json'


def test_a_run_that_was_broken_off_is_continued(tmp_path):
    recipe = RECIPES['ssd300-07']
    assert '--resume' not in commands(recipe, tmp_path, '0', tmp_path)[0]
    (tmp_path / 'snapshot_iter_2000').write_text('')
    assert '--resume' in commands(recipe, tmp_path, '0', tmp_path)[0]


@pytest.mark.parametrize('data, archives', [
    ('voc2007', ['VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar']),
    ('voc2007 and 2012', ['VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar',
                          'VOCtrainval_11-May-2012.tar']),
    ('coco', ['train2017.zip', 'val2017.zip', 'annotations_trainval2017.zip'])])
def test_what_to_download_is_said(data, archives, tmp_path):
    message = missing(data, tmp_path)
    found = re.findall(r'^  (\S+), (\d+ [GM]B): http://(\S+)$', message, re.MULTILINE)
    assert [archive for archive, _, _ in found] == archives


def test_data_that_are_there_are_enough_whether_the_devkit_or_its_parent_is_named(devkit):
    assert missing('voc2007 and 2012', devkit) is missing('voc2007', devkit.parent) is None
    (devkit / 'VOC2007/ImageSets/Main/test.txt').unlink()
    lacking = missing('voc2007', devkit)
    assert lacking.startswith(f'{devkit}: lacks VOC2007/ImageSets/Main/test.txt. Download')


def test_run_without_data_names_them_and_the_command_again(tmp_path):
    with pytest.raises(UserError, match=r'VOCtest_06(.|\n)*Then again: python -m experiments run '
                                        'ssd300-07 --data'):
        cli.main(['run', 'ssd300-07', '--data', str(tmp_path)])


@pytest.fixture
def executed(monkeypatch):
    lines = []

    def run(line):
        lines.append(line[1:])
        return types.SimpleNamespace(returncode=0)
    monkeypatch.setattr(cli.subprocess, 'run', run)
    return lines


def test_run_executes_what_it_prints(devkit, tmp_path, executed, capsys):
    out = tmp_path / 'out'
    arguments = ['run', 'ssd300-07++12', '--data', str(devkit), '--device', '1', '--out', str(out)]
    cli.main([*arguments, '--', '--iteration', '9'])
    assert [' '.join(line) for line in executed] == [
        line.removeprefix('python ') for line in capsys.readouterr().out.splitlines()]
    args = train.parse_args(executed[0][1:])
    assert (args.iteration, args.device, args.split, args.out) == (9, '1', '07++12', out)
    assert evaluate.parse_args(executed[1][1:]).submission


def test_a_dry_run_only_prints(executed, capsys):
    cli.main(['run', 'ssd300-07', '--dry-run'])
    assert capsys.readouterr().out.startswith('python train.py --data VOCdevkit --model ssd300')
    assert executed == []


def test_weights_that_are_not_there_are_linked(devkit, executed):
    with pytest.raises(UserError, match=r'w\.npz: no such file(.|\n)*chainercv-models'):
        cli.main(['run', 'ssd512-07+12-expansion', '--data', str(devkit), '--weights', 'w.npz'])


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
    assert ours(RECIPES['ssd300-07++12'], tmp_path) == [None, None]


def test_cocos_score_is_that_of_its_own_metric(tmp_path):
    put(tmp_path / 'ssd300-coco/metrics.json', METRICS)  # of training, by VOC's rule
    put(tmp_path / 'ssd300-coco/evaluation/metrics.json', {**METRICS, 'coco': {'map': .231}})
    put(tmp_path / 'ssd300-coco-weights/metrics.json', {**METRICS, 'coco': {'map': .25}})
    assert '| 23.2 |  |  | 23.1 | 25.0 |' in table([RECIPES['ssd300-coco']], tmp_path)


def test_committed_results_count_where_there_is_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr('experiments.table.FOLDER', tmp_path)
    put(tmp_path / 'results/ssd300-07.json', METRICS)
    assert ours(RECIPES['ssd300-07'], tmp_path / 'result') == [METRICS, None]


def test_data_of_every_recipe_are_described():
    for recipe in RECIPES.values():
        assert default_folder(recipe.data).name in ('VOCdevkit', 'COCO')
