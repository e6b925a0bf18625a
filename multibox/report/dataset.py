"""The part of the report on the data: what is in it, and what is wrong with it."""
import itertools

from multibox.report.markup import bar, escape, fill, join, table

import numpy as np

SIDES = (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of a box, in those of its image
MAX_PROBLEMS = 200  # listed; a page of all could be too large to open


def data_section(splits, label_names, notes):
    """How many images and objects there are, by class and by size.

    Args:
        splits: {name: :class:`multibox.data.VOCDataset`}.
        label_names: the foreground classes, in the order of their numbers.
        notes: list of str, how the splits and classes were chosen.

    Returns:
        Markup.
    """
    counts = {name: _count(split.examples, len(label_names)) for name, split in splits.items()}
    rows = [['images'], ['images without objects'], ['image sizes'], ['objects'],
            ['objects marked difficult'], ['objects an image']]
    for name, split in splits.items():
        examples = split.examples
        n_image, n_object = len(examples), int(counts[name].sum())
        for row, value in zip(rows, (
                n_image, sum(not len(example.bbox) for example in examples), _sizes(examples),
                n_object, sum(int(example.difficult.sum()) for example in examples),
                f'{n_object / n_image:.1f}')):
            row.append(value)
    classes = [[label, *(int(count[n]) for count in counts.values())]
               for n, label in enumerate(label_names)]
    shares = {name: _side_shares(split.examples) for name, split in splits.items()}
    sides = [[f'{100 * low:.3g} to {100 * high:.3g} %',
              *(bar(share[i], f'{100 * share[i]:.1f} %') for share in shares.values())]
             for i, (low, high) in enumerate(itertools.pairwise(SIDES))]
    return join([
        *(fill('<p>{note}</p>', note=note) for note in notes),
        table(['', *splits], rows), fill('<h3>Objects by class</h3>'),
        table(['class', *splits], classes), fill('<h3>Sizes of the boxes</h3>'),
        fill('<p>Square root of the share of the image that a box covers: its side, in that of the '
             'image.</p>'),
        table(['side', *splits], sides)])


def problems_section(problems):
    """What was found when the annotations were read.

    Args:
        problems: list of :class:`multibox.data.annotations.Problem`.

    Returns:
        Markup.
    """
    if not problems:
        return fill('<p>None was found.</p>')
    text = fill('<p>{n} were found and left out{rest}:</p>', n=f'{len(problems):,}',
                rest=f'; the first {MAX_PROBLEMS}' if len(problems) > MAX_PROBLEMS else '')
    items = join(fill('<li>{problem}</li>', problem=escape(problem))
                 for problem in problems[:MAX_PROBLEMS])
    return join([text, fill('<ol>{items}</ol>', items=items)])


def _count(examples, n_class):
    labels = [np.zeros(0, np.int32), *(example.label for example in examples)]
    return np.bincount(np.concatenate(labels), minlength=n_class)


def _sizes(examples):
    sizes = [example.size for example in examples]
    texts = [f'{width} × {height}' for height, width in (np.min(sizes, 0), np.max(sizes, 0))]  # noqa: RUF001
    return texts[0] if texts[0] == texts[1] else ' to '.join(texts)


def _side_shares(examples):
    """Share of the boxes between each two of SIDES: (6,) float array."""
    sides = np.concatenate([
        np.sqrt(np.prod((example.bbox[:, 2:] - example.bbox[:, :2]) / example.size, axis=1))
        for example in examples])
    return np.histogram(sides.clip(0, 1), SIDES)[0] / max(len(sides), 1)
