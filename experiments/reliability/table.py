"""The tables of docs/reliability.md: the limits of the readers, and the stored results.

    python -m experiments.reliability.table
"""
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

from experiments.markdown import markdown

FOLDER = Path(__file__).parent
# The file that is read, and the constant of the limit with its factor and its unit.
LIMITS = (
    ('image, unless `--max-pixels` says otherwise', 'multibox.data.pictures:MAX_PIXELS', 1e-6,
     'million pixels'),
    ('decoding of an image', 'multibox.data.pool:SECONDS', 1, 'seconds'),
    ('annotation in XML', 'multibox.data.voc_xml:MAX_BYTES', 2 ** -20, 'MiB'),
    ('depth of its elements', 'multibox.data.voc_xml:MAX_DEPTH', 1, 'levels'),
    ('JSON of COCO', 'multibox.data.layouts.coco_json:MAX_BYTES', 2 ** -20, 'MiB'),
    ('label file of YOLO', 'multibox.data.layouts.yolo:MAX_BYTES', 2 ** -20, 'MiB'),
    ('data.yaml', 'multibox.data.layouts.yolo_names:MAX_BYTES', 2 ** -10, 'KiB'),
    ('table', 'multibox.data.layouts.table:MAX_BYTES', 2 ** -20, 'MiB'),
    ('list of images or classes', 'multibox.data.reading:MAX_LIST', 2 ** -20, 'MiB'),
    ('objects of an image', 'multibox.data.frames:MAX_OBJECTS', 1, 'objects'),
    ('classes of a data set', 'multibox.data.classes:MAX_CLASSES', 1, 'classes'),
    ('name of a class', 'multibox.data.classes:MAX_NAME', 1, 'characters'),
    ('JSON of a run', 'multibox.files:MAX_JSON', 2 ** -20, 'MiB'),
    ('arrays of an .npz, all together', 'multibox.archives:MAX_BYTES', 2 ** -20, 'MiB'),
    ('expansion of a large .npz', 'multibox.archives:MAX_RATIO', 1, 'times its size'),
    ('absolute value of a weight', 'multibox.weights.values:LIMIT', 1, ''),
    ('operations of a .pth', 'multibox.weights.pickles:MAX_OPCODES', 1, 'opcodes'),
)
FUZZ = 'fuzz'
COMMANDS = {'soak': 'python -m experiments.reliability.soak',
            'kills': 'python -m experiments.reliability.kills',
            'ranks': 'python -m experiments.reliability.ranks',
            'disk': 'python -m experiments.reliability.disk', FUZZ: 'make fuzz'}


def limits() -> str:
    """The table of the limits, with the values of the constants."""
    rows = []
    for kind, name, factor, unit in LIMITS:
        module, _, constant = name.partition(':')
        value = getattr(importlib.import_module(module), constant)
        rows.append([kind, f'{value * factor:,.0f} {unit}'.strip(), f'`{module}.{constant}`'])
    return markdown(['file', 'limit', 'constant'], rows)


def results(folder: Path = FOLDER) -> str:
    """The table of the stored runs, one row per file.

    Args:
        folder: holds NAME.json of the programs of this folder, and fuzz.json of ``make fuzz``.
    """
    return markdown(['run', 'result', 'date', 'duration'], list(_rows(folder)))


def _rows(folder: Path) -> Iterator[list[str]]:
    for name, command in COMMANDS.items():
        path = folder / f'{name}.json'
        if not path.exists():
            yield [f'`{command}`', 'not run yet', '', '']
            continue
        content = json.loads(path.read_text(encoding='utf-8'))
        found = content if name == FUZZ else content['results']
        text = _attack(content) if name == FUZZ else found['summary']
        yield [f'`{command}`', text, found['date'][:10], f'{found["seconds"] / 60:.0f} min']


def _attack(content: dict) -> str:
    total = content['total']
    return (f'{total["inputs"]:,} inputs to {len(content["targets"])} readers: '
            f'{total["accepted"]:,} accepted, {total["refused"]:,} refused, '
            f'{len(content["findings"])} findings')


if __name__ == '__main__':
    print(f'{limits()}\n\n{results()}')
