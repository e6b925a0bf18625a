"""comparison.html: several runs side by side on one self-contained page."""
from pathlib import Path

from multibox.drawing import COLORS
from multibox.errors import UserError
from multibox.files import make_out, open_whole, reading
from multibox.report.differences import notes, settings_that_differ, warnings
from multibox.report.log import MEAN_AP, TEST_LOSS, series, trend
from multibox.report.page import TEMPLATES, number
from multibox.report.runs import read_runs
from multibox.report.scores import MAX_ROWS, duration
from multibox.report.svg import Line, chart

from matplotlib.colors import to_hex

MARK = b'<meta name="generator" content="python -m multibox.report compare">'
CURVES = {  # heading: (name in the log, text)
    'mAP': (MEAN_AP, 'mAP on the test images.'),
    'Loss': ('main/loss', 'The loss of the training. Each point of a long run is the mean of '
             'several entries of its log.'),
    'Loss on the test images': (TEST_LOSS, 'The loss of the evaluations.')}


def compare_runs(folders: list[Path], out: Path) -> str:
    """Write the page that compares runs, completely or not at all.

    Args:
        folders: the folders of at least two runs of ``train.py`` or ``evaluate.py``.
        out: the HTML file. An earlier comparison is replaced; no other file is.

    Returns:
        The warnings and a table of the scores as text.

    Raises:
        UserError: a run cannot be read, or the file cannot be written.
    """
    runs = read_runs(folders)
    _check_out(out)
    header, rows = _figures(runs)
    classes, n_left_out = _classes(runs)
    colors = [to_hex(COLORS[i % len(COLORS)]) for i in range(len(runs))]
    page = TEMPLATES.get_template('compare.html').render(
        names=[run.name for run in runs], colors=colors, warnings=warnings(runs), notes=notes(runs),
        header=header, rows=rows, settings=settings_that_differ(runs), classes=classes,
        n_left_out=n_left_out,
        curves=list(_curves(runs, colors)))
    make_out(out.parent)
    with open_whole(out) as file:
        file.write(page.encode(errors='backslashreplace'))
    return '\n'.join([*(f'warning: {text}' for text in warnings(runs)), *_as_text(header, rows)])


def _check_out(out):
    if not out.exists():
        return
    if out.is_dir():
        raise UserError(f'--out {out}: is a folder; give the page to write, such as '
                        f'{out / "comparison.html"}')
    if not out.is_file():
        raise UserError(f'--out {out}: is not a regular file; give another one')
    with reading(out), open(out, 'rb') as file:
        if MARK not in file.read(1000):
            raise UserError(f'--out {out}: exists, and is no page that this command wrote; give '
                            'another file')


def _figures(runs):
    """The header and the rows of the table of runs, without the columns that no run fills."""
    columns = {
        'mAP': [run.mean_ap for run in runs],
        'best mAP': [_number(run.metrics.get('best'), 'map') for run in runs],
        'COCO AP': [_number(run.metrics.get('coco'), 'map') for run in runs],
        'threshold': [_number(run.metrics.get('threshold'), 'threshold') for run in runs],
        'iterations': [run.progress for run in runs],
        'duration': [None if run.seconds is None else duration(run.seconds) for run in runs],
        'images/s': [_speed(run) for run in runs],
        'test images': [_number(run.metrics.get('test'), 'images') for run in runs],
        'test objects': [_number(run.metrics.get('test'), 'objects') for run in runs],
        'device': [run.metrics.get('device', run.settings.get('device')) for run in runs],
        'date': [_date(run) for run in runs]}
    columns = {name: cells for name, cells in columns.items()
               if name == 'mAP' or any(cell is not None for cell in cells)}
    names = [run.name for run in runs]
    return ['run', *columns], [list(row) for row in zip(names, *columns.values())]


def _number(value, key):
    """A number, or that of a dict under ``key``; None if there is neither."""
    value = value.get(key) if isinstance(value, dict) else value
    return value if isinstance(value, int | float) else None


def _speed(run):
    """Training images per second of the whole run, its evaluations included, or None."""
    batchsize = run.settings.get('batchsize')
    if run.iteration is None or not run.seconds or not batchsize:
        return None
    return f'{run.iteration * batchsize / run.seconds:.1f}'


def _date(run):
    return run.metrics['date'][:16].replace('T', ' ') if run.metrics.get('date') else None


def _classes(runs):
    """Per class its name, and per run its AP and whether no other run has a higher one.

    The second result is the number of classes that are left out.
    """
    names = dict.fromkeys(name for run in runs for name in run.metrics.get('ap', {}))
    rows = [[name, [run.metrics.get('ap', {}).get(name) for run in runs]]
            for name in list(names)[:MAX_ROWS]]
    if rows:
        rows.append(['mean', [run.mean_ap for run in runs]])
    return [[name, [(ap, _is_best(ap, values)) for ap in values]]
            for name, values in rows], max(0, len(names) - MAX_ROWS)


def _is_best(ap, values):
    known = [value for value in values if value is not None]
    return ap is not None and len(set(known)) > 1 and ap == max(known)


def _curves(runs, colors):
    """The heading, the chart and the text of mAP and of both losses, where a run has values."""
    for heading, (key, text) in CURVES.items():
        lines = []
        for run, color in zip(runs, colors):
            x, y = series(run.log, key)
            tested = key.startswith('validation/')
            lines.append(Line(run.name, x, y if tested else trend(y), color, dots=tested))
        if drawn := chart(lines, 'iteration', heading, log=key != MEAN_AP):
            yield heading, drawn, text


def _as_text(header, rows):
    """The first columns of the table as lines for a terminal."""
    end = next((i for i, name in enumerate(header) if name == 'images/s'), len(header))
    table = [[number(cell, '-') for cell in row[:end]] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table)]
    return ['  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in table]
