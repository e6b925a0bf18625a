"""The runs of :mod:`experiments.trainings` side by side: a table for each axis, and a figure."""
import json
import statistics

from multibox.files import open_whole

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def run_name(flags, seed):
    """What a run is called: its flags of train.py and its seed."""
    variant = '-'.join(flag.removeprefix('--') for flag in flags) or 'baseline'
    return f'{variant}-seed{seed}'


def read_scores(folder, axes):
    """Scores of the runs in a folder.

    Args:
        folder: pathlib.Path with the metrics.json of every run as ``runs/NAME.json``.
        axes: {axis: {variant: list of flags}}.

    Returns:
        {axis: {variant: {seed: mAP}}}, in the order of ``axes``, seeds ascending; a run without
        a score, a variant without any run, and an axis without any variant are left out.
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


def table(axis, scores):
    """The scores of one axis as rows of Markdown, the standard deviation that of a sample.

    Args:
        axis: its name.
        scores: {variant: {seed: mAP}}.
    """
    seeds = sorted({seed for runs in scores.values() for seed in runs})
    rows = [[f'`--{axis}`', 'mAP, mean', 'std', *(f'seed {seed}' for seed in seeds)],
            ['---'] * (3 + len(seeds))]
    for variant, runs in scores.items():
        values = list(runs.values())
        spread = f'{statistics.stdev(values):.3f}' if len(values) > 1 else ''
        rows.append([f'`{variant}`', f'{statistics.mean(values):.3f}', spread,
                     *(f'{runs[seed]:.3f}' if seed in runs else '' for seed in seeds)])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def draw(path, scores):
    """A panel for each axis: a line of dots a seed, and each variant's mean and deviation.

    Args:
        path: the PNG file to write.
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
        axes.set_xticks(range(len(variants)), variants)
        axes.set(xlim=(-0.5, len(variants) - 0.5), xlabel=f'--{axis}')
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(axis='y', alpha=0.25)
    figure.axes[0].legend(frameon=False)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=100)


def summarise(folder, axes):
    """Print the tables, and draw ``scores.png`` into the folder; see :func:`read_scores`."""
    scores = read_scores(folder, axes)
    if not scores:
        print(f'{folder / "runs"}: no run yet')
        return
    print('\n\n'.join(table(axis, variants) for axis, variants in scores.items()))
    draw(folder / 'scores.png', scores)
