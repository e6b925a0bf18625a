"""Folders of runs as train.py and evaluate.py write them, without training."""
import json
import math

SETTINGS = {'data': None, 'split': '07+12', 'model': 'slim300', 'iteration': 400, 'batchsize': 8,
            'lr': 3e-3, 'cuts': [250, 320], 'loss': 'chainercv', 'alpha': 1.0, 'k': 3.0,
            'match': None, 'seed': 0, 'device': 'cpu', 'reuse': None}


def write_run(folder, mean_ap=.6, metrics=(), settings=(), n=400, ended=True):
    """Write metrics.json, settings.json and log of a run of ``n`` iterations; returns the folder.

    Args:
        folder: the folder to make.
        mean_ap: the score at the end.
        metrics, settings: dicts of further or other entries.
        n: iterations done; mAP is in the log every 100 iterations.
        ended: False leaves metrics.json out.
    """
    folder.mkdir(parents=True)
    settings = {**SETTINGS, 'out': str(folder), 'annotations': 1234,
                'classes': ['cat', 'dog'], 'images': 90, **dict(settings)}
    (folder / 'settings.json').write_text(json.dumps(settings))
    log = [{'iteration': i, 'elapsed_time': i / 2,
            'main/loss': 3 + 15 * math.exp(-i / 80) / mean_ap,
            **({'validation/main/map': mean_ap * i / n} if i % 100 == 0 else {})}
           for i in range(20, n + 1, 20)]
    (folder / 'log').write_text(json.dumps(log))
    if ended:
        (folder / 'metrics.json').write_text(json.dumps({
            'map': mean_ap, 'ap': {'cat': mean_ap + .1, 'dog': mean_ap - .1}, 'iteration': n,
            'seconds': n / 2, 'device': 'cpu', 'hardware': 'a CPU, 2 cores, 1 process',
            'date': '2026-05-06T07:08:09+00:00', 'test': {'images': 40, 'objects': 90},
            'settings': settings, **dict(metrics)}))
    return folder
