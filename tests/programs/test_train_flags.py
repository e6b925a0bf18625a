"""The flags of train.py: their defaults, and those that a resumed run takes over."""
import functools
import pathlib
import re

import train
from multibox.training import save_settings, settings

import pytest

parse_args = functools.partial(
    settings.parse_args, description=None, paper=train.PAPER, slim=train.SLIM,
    lite=train.LITE)


def test_the_default_recipe_is_chainercvs():
    args = parse_args(['--data', 'VOCdevkit', '--device', '0'])
    assert (args.model, args.optimizer, args.lr, args.weight_decay, args.batchsize) == (
        'ssd300', 'momentum_sgd', 1e-3, 5e-4, 32)
    assert (args.iteration, args.cuts, args.k, args.alpha) == (120000, [80000, 100000], 3, 1)


def test_every_flag_is_read():
    checks = pathlib.Path(settings.__file__).read_text().partition('def check_and_lock')[2]
    recipe = checks + pathlib.Path(train.__file__).read_text()
    for name in vars(parse_args([])):
        if name != 'model':  # parse_args itself reads the network's name
            assert re.search(rf'args\.{name}\b', recipe), f'--{name} is parsed but never read'


def test_a_bare_resume_takes_the_settings_the_run_began_with(tmp_path):
    began = vars(parse_args(['--data', 'photos', '--model', 'slim300', '--iteration', '4',
                                   '--lr', '1e-3', '--k', '2', '--out', str(tmp_path)]))
    save_settings(tmp_path, began)
    resumed = vars(parse_args(['--out', str(tmp_path), '--resume']))
    assert {**resumed, 'resume': False} == began


@pytest.mark.parametrize('begun_on, device', [('0', '-1'), ('-1', '0')])
def test_settings_that_suit_a_device_are_chosen_anew_on_another(tmp_path, begun_on, device):
    def parse(*more):
        return vars(parse_args(['--out', str(tmp_path), *more]))
    save_settings(tmp_path, {**parse('--device', begun_on), 'loader_processes': 99})
    fresh, resumed = parse('--device', device), parse('--device', device, '--resume')
    assert {**resumed, 'resume': False} == fresh
    assert parse('--resume')['loader_processes'] == 99
    assert parse('--device', device, '--resume', '--conv', 'blas')['conv'] == 'blas'

