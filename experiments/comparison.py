"""The scores of many runs: one table per axis of :mod:`experiments.trainings`, and one figure."""
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from experiments.markdown import markdown
from experiments.significance import compare
from multibox.files import open_whole

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LONG = 60  # letters in the names of variants, beyond which they do not fit beside each other

def run_name(flags: Sequence[str], seed: int | str) -> str:
    """Name a run by its flags of train.py and its seed."""
    variant = '-'.join(flag.removeprefix('--') for flag in flags) or 'baseline'
    return f'{variant}-seed{seed}'


def read_scores(folder: Path, axes: dict) -> dict:
    """Read the scores of the runs in a folder.

    Args:
        folder: holds the metrics.json of every run as ``runs/NAME.json``.
        axes: {axis: {variant: list of flags}}.

    Returns:
        {axis: {variant: {seed: mAP}}}, in the order of ``axes``, seeds ascending. Runs without a
        score, variants without runs and axes without variants are left out.
    """
    scores = {}
    for axis, variants in axes.items():
        for variant, flags in variants.items():
            start = run_name(flags, '')
            runs = {int(path.stem.removeprefix(start)): json.loads(path.read_text())['map']
                    for path in (folder / 'runs').glob(f'{start}*.json')}
            known = sorted((seed, value) for seed, value in runs.items() if value is not None)
            if known:
                scores.setdefault(axis, {})[variant] = dict(known)
    return scores


def table(axis: str, scores: dict) -> str:
    """Lay out the scores of one axis as Markdown, with the standard deviation of a sample.

    Args:
        axis: its name.
        scores: {variant: {seed: mAP}}.
    """
    seeds = sorted({seed for runs in scores.values() for seed in runs})
    rows = []
    for variant, runs in scores.items():
        values = list(runs.values())
        deviation = f'{statistics.stdev(values):.3f}' if len(values) > 1 else ''
        rows.append([f'`{variant}`', f'{statistics.mean(values):.3f}', deviation,
                     *(f'{runs[seed]:.3f}' if seed in runs else '' for seed in seeds)])
    return markdown([f'`--{axis}`', 'mAP, mean', 'std', *(f'seed {seed}' for seed in seeds)], rows)


def differences(axis: str, scores: dict, baseline: str) -> str:
    """Lay out the differences from a variant as Markdown, with a paired test over the seeds.

    Args:
        axis: its name.
        scores: {variant: {seed: mAP}}.
        baseline: the variant with which the others are compared.
    """
    others = {variant: runs for variant, runs in scores.items() if variant != baseline}
    rows = [[f'`{variant}`', f'{found.mean:+.3f}', f'{found.mean - found.half_width:+.3f} to '
             f'{found.mean + found.half_width:+.3f}', f'{found.p:.3f}',
             'yes' if found.is_significant else 'no']
            for variant, found in compare(scores[baseline], others).items()]
    return markdown([f'`--{axis}`', f'mAP, minus `{baseline}`', '95 % interval', 'p',
                     'significant'], rows)


def draw(path: Path, scores: dict) -> None:
    """Draw one panel per axis, with a dotted line per seed and an error bar per variant.

    The bar shows the mean and the standard deviation of a sample.

    Args:
        path: the PNG file.
        scores: {axis: {variant: {seed: mAP}}}.

    Raises:
        UserError: the picture cannot be written.
    """
    n_column = min(2, len(scores))
    n_row = -(-len(scores) // n_column)
    figure = Figure(figsize=(8 if n_column == 1 else 10, 0.6 + 3.4 * n_row), layout='constrained')
    FigureCanvasAgg(figure)
    axes = None
    for place, (axis, variants) in enumerate(scores.items(), start=1):
        axes = figure.add_subplot(n_row, n_column, place, sharey=axes, ylabel='mAP')
        for seed in sorted({seed for runs in variants.values() for seed in runs}):
            points = [(n, runs[seed]) for n, runs in enumerate(variants.values()) if seed in runs]
            axes.plot(*zip(*points), marker='o', markersize=4, linestyle=':', linewidth=0.8,
                      alpha=0.7, color=f'C{seed}', label=f'seed {seed}')
        for n, runs in enumerate(variants.values()):
            values = list(runs.values())
            axes.errorbar(n + 0.12, statistics.mean(values), color='black', marker='_',
                          markersize=14, capsize=4,
                          yerr=statistics.stdev(values) if len(values) > 1 else None)
        slant = {'rotation': 30, 'ha': 'right'} if sum(map(len, variants)) > LONG else {}
        axes.set_xticks(range(len(variants)), variants, **slant)
        axes.set(xlim=(-0.5, len(variants) - 0.5), xlabel=f'--{axis}')
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(axis='y', alpha=0.25)
    figure.axes[0].legend(frameon=False)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=100)


def summarise(folder: Path, axes: dict) -> None:
    """Print the tables of the runs in a folder, and draw ``scores.png`` in the folder.

    The variants are also compared with the first one, or with ``chainercv`` among losses.

    Args:
        folder: see :func:`read_scores`.
        axes: see :func:`read_scores`.

    Raises:
        UserError: the picture cannot be written.
    """
    scores = read_scores(folder, axes)
    if not scores:
        print(f'{folder / "runs"}: no run yet')
        return
    for axis, variants in scores.items():
        baseline = 'chainercv' if 'chainercv' in variants else next(iter(variants))
        print(f'{table(axis, variants)}\n\n{differences(axis, variants, baseline)}\n')
    draw(folder / 'scores.png', scores)
