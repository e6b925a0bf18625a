"""Mean and standard deviation of the runs under each loss, as a table and a figure.

    python -m experiments.formulations.summary
"""
import json
import pathlib
import statistics

from multibox.files import open_whole

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FOLDER = pathlib.Path(__file__).parent / 'runs'


def read_scores(folder=FOLDER):
    """{loss: {seed: mAP}} of the metrics.json files in ``folder``, both in order."""
    scores = {}
    for path in sorted(folder.glob('*-seed*.json')):
        loss, seed = path.stem.rsplit('-seed', 1)
        scores.setdefault(loss, {})[int(seed)] = json.loads(path.read_text())['map']
    return scores


def table(scores):
    """The scores as rows of Markdown, the standard deviation that of a sample."""
    seeds = sorted({seed for runs in scores.values() for seed in runs})
    rows = [['`--loss`', 'mAP, mean', 'std', *(f'seed {seed}' for seed in seeds)],
            ['---'] * (3 + len(seeds))]
    for loss, runs in scores.items():
        values = list(runs.values())
        spread = f'{statistics.stdev(values):.3f}' if len(values) > 1 else ''
        rows.append([f'`{loss}`', f'{statistics.mean(values):.3f}', spread,
                     *(f'{runs[seed]:.3f}' if seed in runs else '' for seed in seeds)])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def draw(path, scores):
    """One line a seed over all losses, and the mean of each loss with its standard deviation."""
    figure = Figure(figsize=(8, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(ylabel='mAP on the built-in set')
    for seed in sorted({seed for runs in scores.values() for seed in runs}):
        points = [(n, runs[seed]) for n, runs in enumerate(scores.values()) if seed in runs]
        axes.plot(*zip(*points), marker='o', markersize=4, linestyle=':', linewidth=0.8, alpha=0.7,
                  label=f'seed {seed}')
    for n, runs in enumerate(scores.values()):
        values = list(runs.values())
        axes.errorbar(n + 0.12, statistics.mean(values), color='black', marker='_', markersize=14,
                      yerr=statistics.stdev(values) if len(values) > 1 else None, capsize=4)
    axes.set_xticks(range(len(scores)), scores)
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(axis='y', alpha=0.25)
    axes.legend(frameon=False, ncols=3)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=100)


def summarise(folder=FOLDER):
    """Print the table and draw ``scores.png`` beside the folder of the runs."""
    scores = read_scores(folder)
    if not scores:
        print(f'{folder}: no run yet; python -m experiments.formulations.train makes them')
        return
    print(table(scores))
    draw(folder.parent / 'scores.png', scores)


if __name__ == '__main__':
    summarise()
