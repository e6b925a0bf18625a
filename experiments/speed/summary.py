"""The tables of experiments/speed/README.md, from the JSON files beside the page.

    python -m experiments.speed.summary             the JSON files of the repository
    python -m experiments.speed.summary FOLDER      the JSON files of a new measurement
"""
import functools
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments.markdown import markdown

FOLDER = Path(__file__).parent
LOSSES = ('ours', 'chainercv', 'ssd.pytorch', 'super-gradients', 'notebook', 'torchvision',
          'one copy')

table = functools.partial(markdown, numbers=True)


def milliseconds(seconds: list[float]) -> str:
    """The median of some times in seconds, as milliseconds."""
    value = 1e3 * statistics.median(seconds)
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def spread(ratio: dict) -> str:
    """A ratio of :func:`experiments.timing.turns.ratio`: the median and the range."""
    return f'{ratio["median"]:.1f} ({ratio["min"]:.1f} to {ratio["max"]:.1f})'


def loss(results: dict) -> str:
    """Milliseconds per loss, and the speed of multibox relative to ChainerCV and to PyTorch."""
    rows = []
    for case, result in results.items():
        times, seconds = result['times_ours'], result['seconds']
        pytorch = [name for name in times if name not in ('chainercv', 'one copy')]
        fastest = min(pytorch, key=lambda name: times[name]['median'])
        rows.append([case, *(milliseconds(seconds[name]) for name in LOSSES),
                     spread(times['chainercv']), spread(times[fastest]),
                     f'{result["peak_memory_in_logits"]["ours"]:.2f}'])
    names = ['multibox' if name == 'ours' else name for name in LOSSES]
    return table(['ms', *names, 'speed-up over chainercv', 'over fastest torch', 'memory'], rows)


def formulations(results: dict) -> str:
    """Milliseconds per formulation of the loss, and its time relative to ChainerCV's own code."""
    return table(['', 'ms', "time relative to ChainerCV's code"], [
        ["ChainerCV's code" if name == 'original' else f'`{name}`', milliseconds(seconds),
         '{median:.2f} ({min:.2f} to {max:.2f})'.format(**results['times_chainercv'][name])]
        for name, seconds in results['seconds'].items()])


def convolution(results: dict) -> str:
    """Milliseconds per pass of a network and engine, and the speed relative to Chainer's."""
    rows = []
    for case, result in results['timings'].items():
        if 'batch' in case:
            for name, seconds in result['seconds'].items():
                error = results['error'].get(name) if 'ssd300' in case else None
                rows.append([f'{case}, `{name}`', milliseconds(seconds),
                             spread(result['times faster than chainer'][name]),
                             '' if error is None else f'{error:.1e}'])
    return table(['forward and backward', 'ms', 'speed-up over chainer', 'error of a layer'], rows)


def layers(results: dict) -> str:
    """The speed of each engine relative to Chainer's, layer by layer."""
    timings = {case: each for case, each in results['timings'].items() if 'batch' not in case}
    names = [name for name in next(iter(timings.values()))['seconds'] if name != 'chainer']
    rows = [[case, *(spread(each['times faster than chainer'][name]) for name in names)]
            for case, each in timings.items()]
    return table(['speed-up over chainer', *names], rows)


def loader(results: dict) -> str:
    """Images per second and core, and milliseconds per image and stage."""
    rows = [[name, f'{results[key]["images per second and core"]:.0f}',
             ', '.join(f'{stage} {ms:.2f}' for stage, ms in results[key]['ms an image'].items())]
            for name, key in (('chainercv', 'chainercv'), ('multibox', 'ours'))]
    return table(['', 'images/s per core', 'ms per image'], rows)


def workers(results: dict) -> str:
    """Images per second by loader processes, through a pipe and through shared memory."""
    rows = [[str(each['processes']), 'yes' if each['shared memory'] else '',
             f'{each["images per second"]:.0f}', f'{each["ms of the main process an image"]:.2f}']
            for each in results['loader']]
    return table(['loader processes', 'shared memory', 'images/s', 'ms of the main process'], rows)


def detections(results: dict) -> str:
    """Milliseconds per image from the outputs of a network to its detections."""
    rows = []
    for case in ('trained', 'dense'):
        for name, seconds in results[case]['seconds'].items():
            found = results[case]['found'][name]
            rows.append([f'{case}, {name}', milliseconds(seconds),
                         spread(results[case]['times_faster'][name]),
                         f'{sum(each["equal"] for each in found)} of {len(found)}'])
    return table(['', 'ms per image', 'speed-up over chainercv', 'equal to the bit'], rows)


def end_to_end(results: dict) -> str:
    """Images per second of evaluate.py and of detect.py."""
    rows = [[f'{name}.py', *(f'{each["images_per_second"][when]:.1f}' for when in
                             ('before', 'after')), spread(each['times_faster'])]
            for name, each in results['end to end'].items()]
    return table(['images/s', "ChainerCV's coder", 'multibox', 'speed-up'], rows)


def overview(folder: Path = FOLDER) -> str:
    """The table of README.md: milliseconds of Chainer or ChainerCV, of multibox and of PyTorch."""
    loss, convolution, loader, detections = (
        json.loads((folder / f'{name}.json').read_text())['results']
        for name in ('loss', 'convolution', 'loader', 'detections'))
    main = next(iter(loss.values()))
    pytorch = [each for name, each in main['seconds'].items()
               if name not in ('ours', 'chainercv', 'one copy')]
    rows = [['the loss, SSD300, 32 images', milliseconds(main['seconds']['chainercv']),
             milliseconds(main['seconds']['ours']), spread(main['times_ours']['chainercv']),
             milliseconds(min(pytorch, key=statistics.median))]]
    case = next(iter(convolution['timings'].values()))
    for engine, torch in (('blas', ''), ('onednn', 'torch'), ('onednn-bf16', 'torch-bf16')):
        rows.append([f'forward and backward of SSD300, 4 images, `{engine}`',
                     milliseconds(case['seconds']['chainer']),
                     milliseconds(case['seconds'][engine]),
                     spread(case['times faster than chainer'][engine]),
                     milliseconds(case['seconds'][torch]) if torch else ''])
    per_image = (f'{1e3 / loader[name]["images per second and core"]:.3g}'
                 for name in ('chainercv', 'ours'))
    rows.append(['from file to training example', *per_image, spread(loader['ratio']), ''])
    for case, text in (('trained', 'a trained network'), ('dense', 'untrained, all boxes')):
        each = detections[case]
        rows.append([f'outputs to detections, {text}', milliseconds(each['seconds']['chainercv']),
                     milliseconds(each['seconds']['multibox']),
                     spread(each['times_faster']['multibox']),
                     milliseconds(each['seconds']['torchvision'])])
    return table(['ms', 'Chainer, ChainerCV', 'multibox', 'speed-up', 'PyTorch'], rows)


TABLES = {'loss': (loss,), 'formulations': (formulations,), 'convolution': (convolution, layers),
          'loader': (loader, workers), 'detections': (detections, end_to_end)}


def tables(folder: Path = FOLDER) -> Iterator[str]:
    """Yield the tables of all JSON files that are in a folder."""
    for name, makers in TABLES.items():
        path = folder / f'{name}.json'
        if path.exists():
            results = json.loads(path.read_text())['results']
            for make in makers:
                yield make(results)


if __name__ == '__main__':
    print('\n\n'.join(tables(*map(Path, sys.argv[1:]))))
