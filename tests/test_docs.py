"""The pages of docs/: Python that runs, numbers that are those of the files, links that lead on."""
import json
import pathlib
import re
import shlex
import statistics

import detect
import evaluate
import train
from experiments import comparison
from experiments.ablations.train import AXES as ABLATIONS
from experiments.formulations.causes import AXES as CAUSES
from experiments.formulations.train import AXES
from experiments.speed import summary
from multibox.data.synthetic import draw_picture
from multibox.training import settings
from multibox.weights import save_model
from tests.support import mpi
from tests.support.networks import moderate_model

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / 'docs'
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob('*.md'))
BLOCK = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(((?!http)[^)#]+)')


def read(page):
    return (DOCS / page).read_text(encoding='utf-8')


def words(page):
    return ' '.join(read(page).split())


ON_MANY = 'processes.md'


@pytest.mark.parametrize('page', [page for page in PAGES
                                  if BLOCK.search(read(page)) and page != ON_MANY])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page == 'python.md':  # reads the files of a user
        (tmp_path / 'result').mkdir()
        save_model('result/best.npz', moderate_model(2), 'slim300', ('cat', 'dog'), threshold=.9)
        Image.fromarray(draw_picture(np.random.default_rng(0))[0]).save('photo.jpg')
    names = {'__name__': page}
    for block in BLOCK.findall(read(page)):
        exec(compile(block, page, 'exec'), names)


PARSE = {
    'train': lambda flags: settings.parse_args(flags, None, train.PAPER, train.SLIM, train.LITE),
    'evaluate': evaluate.parse_args, 'detect': detect.parse_args}
COMMANDS = [(program, shlex.split(flags, comments=True))
            for text in (ROOT.joinpath('README.md').read_text(encoding='utf-8'), *map(read, PAGES))
            for program, flags in re.findall(r'^    \S.*?(\w+)\.py\b(.*)$', text, re.MULTILINE)
            if program in PARSE and not re.search(r'\.\.\.|\\\\$', flags)]


def test_the_commands_are_found():
    assert {program for program, _ in COMMANDS} == {*PARSE} and len(COMMANDS) > 20


@pytest.mark.parametrize('program, flags', COMMANDS, ids=[' '.join(c[1]) for c in COMMANDS])
def test_a_command_is_accepted_and_trains_the_network_that_fits_its_data(program, flags):
    args = PARSE[program](flags)
    if program == 'train' and args.pretrained != 'none':
        assert args.model != 'slim300'


@mpi.needs_mpiexec
def test_the_loop_for_many_processes_keeps_their_weights_equal(tmp_path):
    (block,) = BLOCK.findall(read(ON_MANY))
    program = tmp_path / 'loop.py'
    program.write_text(f'''{block}
sums = comm.mpi_comm.allgather([float(abs(p.array).sum()) for p in model.params()])
if comm.rank == 0:
    print(len(sums), sums[0] == sums[1])''')
    process = mpi.run(2, program)
    assert process.returncode == 0, process.stderr
    assert process.stdout == '2 True\n'


@pytest.mark.parametrize('page', PAGES)
def test_the_links_of_a_page_lead_to_files(page):
    missing = [link for link in LINK.findall(read(page))
               if not (DOCS / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize('folder, axes', [('', AXES), ('bccd', AXES), ('causes', CAUSES)])
def test_the_tables_of_losses_are_those_of_their_runs(folder, axes):
    scores = comparison.read_scores(ROOT / 'experiments/formulations' / folder, axes)['loss']
    assert list(scores) == list(axes['loss'])
    assert all(list(runs) == [0, 1, 2] for runs in scores.values())
    assert comparison.table('loss', scores) in read('formulations.md')
    baseline = next(name for name in scores if name.startswith('chainercv'))
    assert comparison.differences('loss', scores, baseline) in read('formulations.md')


def test_the_ablations_are_those_of_their_runs():
    scores = comparison.read_scores(ROOT / 'experiments/ablations', ABLATIONS)
    page = (ROOT / 'experiments/ablations/README.md').read_text(encoding='utf-8')
    assert list(scores) == list(ABLATIONS)
    assert all(comparison.table(axis, variants) in page for axis, variants in scores.items())
    text = words('formulations.md')
    for axis, variant in (*(('k', k) for k in ABLATIONS['k']), ('augmentation', 'flip')):
        assert mean_and_deviation(scores[axis][variant]) in text


def mean_and_deviation(runs):
    values = list(runs.values())
    assert len(values) == 3
    return f'{statistics.mean(values):.3f} ({statistics.stdev(values):.3f})'


def test_the_step_of_lite_is_that_of_its_file():
    results = json.loads((ROOT / 'experiments/speed/lite.json').read_text())['results']
    assert '{median:.2f} ({min:.2f} to {max:.2f})'.format(**results['speedup']) in words('cpu.md')
    for contestant in results['microseconds'].values():
        assert f'{contestant["median"] / 1000:.0f} ms' in words('cpu.md')


def gpu_results(name):
    return json.loads((ROOT / f'experiments/gpu/{name}.json').read_text())


def test_the_loss_on_a_gpu_is_that_of_its_file():
    found = gpu_results('loss')['results']['B = 32, K = 8732, C = 21']
    chainercv, graph = found['chainercv'], found['ours as a CUDA graph']
    own = chainercv['ours']['events']['median']
    times = chainercv['events']['median'] / own
    text = words('gpu.md')
    for sentence in (f'It took {own:.0f} µs of the GPU, and '
                     f'{found["ours, terms not added"]["events"]["median"]:.0f} µs if Chainer',
                     f'took {chainercv["events"]["median"]:,.0f} µs, {times:.0f} times',
                     f'{found["super-gradients, compiled"]["events"]["median"]:.0f} µs. From',
                     f'{graph["wall"]["median"]:.0f} µs as a CUDA graph',
                     f'{chainercv["ours"]["wall"]["median"]:.0f} µs without one',
                     f'took {chainercv["wall"]["median"]:,.0f} µs.'):
        assert sentence in text


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_the_steps_on_a_gpu_are_those_of_their_files(precision):
    (setting,) = gpu_results(f'step-{precision}')['results']['measured']
    assert (setting['precision'], setting['batchsize']) == (precision, 32)
    (row,) = (line for line in read('gpu.md').splitlines()
              if line.startswith(f'| `{precision}`') and ' GB' in line)
    cells = [cell.strip() for cell in row.split('|')[2:5]]
    for result, cell in zip(setting['contestants'].values(), cells):
        speed, memory = f'{result["images_a_second"]:,.0f}', result['memory_bytes']
        assert cell.startswith(speed) and cell.endswith(f', {memory / 1e9:.1f} GB')


def test_the_training_on_a_gpu_is_that_of_its_file():
    metrics = gpu_results('bccd-tf32')
    scores = ', '.join(f'{name} {ap:.3f}' for name, ap in metrics['ap'].items())
    assert (f'{metrics["map"]:.4f} mAP in {metrics["seconds"]} s, with {metrics["iteration"]:,} '
            f'iterations of {metrics["settings"]["batchsize"]} images: {scores}') in words('gpu.md')


def test_the_disagreements_are_those_of_their_files():
    for name, text in (('built-in', '8 of 47,779'), ('bccd', '48 of 129,499')):
        totals = json.loads((ROOT / f'experiments/formulations/matching-{name}.json').read_text())
        n_box = totals['disagreements']['bipartite, forced']['boxes']
        assert f'{n_box} of {totals["positives"]["bipartite"]:,}' == text
        assert text in words('formulations.md')


def test_the_speeds_of_many_processes_are_those_of_their_file():
    one, two = json.loads((ROOT / 'experiments/scaling/measured.json').read_text())['results']
    text = words('processes.md')
    for row in one, two:
        low, high = row['images_per_second_range']
        assert f'{row["images_per_second"]:.1f}' in text and f'({low:.1f} to {high:.1f})' in text
    assert f'{two["exchange_bytes"] / 1e6:.1f} MB exchanged in' in text
    assert (f'{two["exchange_seconds"] * 1e3:.1f} ms of a step of '
            f'{two["step_seconds"] * 1e3:.0f} ms') in text


def test_the_computed_efficiencies_are_those_of_their_file():
    computed = json.loads((ROOT / 'experiments/scaling/computed.json').read_text())
    for link, text in (('InfiniBand HDR, 25 GB/s', '4 % of a step'),
                       ('10 Gbit Ethernet, 1.25 GB/s', '38 % over 10 Gbit')):
        efficiency = computed['efficiency'][link][-1]['efficiency']
        assert text in words('processes.md')
        assert text.startswith(f'{100 - 100 * efficiency:.0f} %')


def test_the_time_of_the_checks_is_that_of_its_file():
    results = json.loads((ROOT / 'experiments/speed/check.json').read_text())['results']
    first, again = (statistics.median(results['seconds'][name]) for name in ('first', 'again'))
    assert f'[{first:.1f} s and then {again:.1f} s]' in read('data.md')
    page = (ROOT / 'experiments/speed/README.md').read_text(encoding='utf-8')
    assert f'{results["images"]:,} photographs' in page
    assert f'{first:.1f} s the first time and {again:.1f} s again' in ' '.join(page.split())


def test_the_speeds_are_those_of_their_files():
    assert summary.overview() in read('cpu.md')
    page = (ROOT / 'experiments/speed/README.md').read_text(encoding='utf-8')
    tables = list(summary.tables())
    assert len(tables) == 8 and all(table in page for table in tables)
