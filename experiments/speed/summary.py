"""The tables of experiments/speed/README.md, from the JSON files beside it.

    python -m experiments.speed.summary [FOLDER]
"""
import json
import pathlib
import statistics
import sys

LOSSES = ('ours', 'chainercv', 'ssd.pytorch', 'super-gradients', 'notebook', 'torchvision',
          'one copy')


def table(header, rows):
    """Lay out a Markdown table; the first column is text."""
    lines = [header, ['---', *['---:'] * (len(header) - 1)], *rows]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def milliseconds(seconds):
    value = 1e3 * statistics.median(seconds)
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def spread(ratio):
    return f'{ratio["median"]:.1f} ({ratio["min"]:.1f} to {ratio["max"]:.1f})'


def loss(results):
    """Milliseconds of each code, and how much faster ours is than two of them."""
    rows = []
    for case, result in results.items():
        times, seconds = result['times_ours'], result['seconds']
        pytorch = [name for name in times if name not in ('chainercv', 'one copy')]
        fastest = min(pytorch, key=lambda name: times[name]['median'])
        rows.append([case, *(milliseconds(seconds[name]) for name in LOSSES),
                     spread(times['chainercv']), spread(times[fastest]),
                     f'{result["peak_memory_in_logits"]["ours"]:.2f}'])
    return table(['ms', *LOSSES, 'times chainercv', 'times fastest torch', 'memory'], rows)


def convolution(results):
    """Milliseconds of a step of each network by engine, and how much faster than Chainer's."""
    rows = []
    for case, result in results['timings'].items():
        if 'batch' in case:
            for name, seconds in result['seconds'].items():
                error = results['error'].get(name) if 'ssd300' in case else None
                rows.append([f'{case}, `{name}`', milliseconds(seconds),
                             spread(result['times faster than chainer'][name]),
                             '' if error is None else f'{error:.1e}'])
    return table(['forward and backward', 'ms', 'times chainer', 'error of a layer'], rows)


def layers(results):
    """How much faster than Chainer's each engine is, layer by layer."""
    timings = {case: each for case, each in results['timings'].items() if 'batch' not in case}
    names = [name for name in next(iter(timings.values()))['seconds'] if name != 'chainer']
    return table(['layer, times chainer', *names], [
        [case, *(spread(each['times faster than chainer'][name]) for name in names)]
        for case, each in timings.items()])


def loader(results):
    """Images per second and core, and milliseconds an image by stage."""
    rows = [[name, f'{results[name]["images per second and core"]:.0f}',
             ', '.join(f'{stage} {ms:.2f}' for stage, ms in results[name]['ms an image'].items())]
            for name in ('chainercv', 'ours')]
    return table(['', 'images/s a core', 'ms an image'], rows)


def workers(results):
    """Images per second of the loader by processes, through a pipe and through shared memory."""
    rows = [[each['processes'], 'yes' if each['shared memory'] else '',
             f'{each["images per second"]:.0f}', f'{each["ms of the main process an image"]:.2f}']
            for each in results['loader']]
    return table(['loader processes', 'shared memory', 'images/s', 'ms of the main process'], rows)


def detections(results):
    """Milliseconds an image from outputs to boxes."""
    rows = []
    for case in ('trained', 'dense'):
        for name, seconds in results[case]['seconds'].items():
            found = results[case]['found'][name]
            rows.append([f'{case}, {name}', milliseconds(seconds),
                         spread(results[case]['times_faster'][name]),
                         f'{sum(each["equal"] for each in found)} of {len(found)}'])
    return table(['', 'ms an image', 'times chainercv', 'equal to the bit'], rows)


def end_to_end(results):
    """Images per second of evaluate.py's and detect.py's work."""
    rows = [[f'{name}.py', *(f'{each["images_per_second"][when]:.1f}' for when in
                             ('before', 'after')), spread(each['times_faster'])]
            for name, each in results['end to end'].items()]
    return table(['images/s', "ChainerCV's coder", 'ours', 'times'], rows)


def overview(folder=pathlib.Path(__file__).parent):
    """The README's table: each part against ChainerCV's or Chainer's, and PyTorch's beside them."""
    loss, convolution, loader, detections = (
        json.loads((folder / f'{name}.json').read_text())['results'] for name in TABLES)
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
    return table(['ms', 'Chainer, ChainerCV', 'here', 'times', 'PyTorch'], rows)


TABLES = {'loss': (loss,), 'convolution': (convolution, layers), 'loader': (loader, workers),
          'detections': (detections, end_to_end)}


def tables(folder=pathlib.Path(__file__).parent):
    """Yield every table whose JSON file is in the folder."""
    for name, makers in TABLES.items():
        path = pathlib.Path(folder) / f'{name}.json'
        if path.exists():
            results = json.loads(path.read_text())['results']
            for make in makers:
                yield make(results)


if __name__ == '__main__':
    print('\n\n'.join(tables(*sys.argv[1:])))
