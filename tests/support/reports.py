"""A small data set, a detector that makes every kind of mistake on it, and the report."""
from multibox.data import VOCDataset
from multibox.data.annotations import Example
from multibox.data.voc import VOCData
from multibox.evaluation import detect, precision_recall, score
from multibox.report import write_report

import cv2
import numpy as np

NAMES = ('cat', '<b>dog & "co"</b>')
SCRIPT = '<script>alert(1)</script>'
BOX = np.array([[10, 10, 50, 50], [60, 20, 90, 80]], 'f')


class Detector:
    """Finds each cat, places each dog badly, and finds a dog where there is none."""

    def predict(self, imgs):
        bbox = np.array([[10, 10, 50, 50], [40, 20, 80, 60], [0, 60, 30, 90]], 'f')
        n = len(imgs)
        return ([bbox] * n, [np.array([0, 1, 1], 'i')] * n, [np.array([.9, .8, .7], 'f')] * n)


def make_data(folder, n_image=3, problems=(), train=True):
    """Images of noise, each with a cat above a dog. The dog of the last image is difficult."""
    rng = np.random.RandomState(0)
    examples = []
    for n in range(n_image):
        path = folder / f'{n}&.png'
        cv2.imwrite(str(path), rng.randint(0, 255, (100, 120, 3), np.uint8))
        examples.append(Example(path, BOX, np.array([0, 1], 'i'),
                                np.array([False, n == n_image - 1]), (100, 120)))
    test = VOCDataset(examples)
    return VOCData(test if train else VOCDataset([]), test, NAMES, list(problems), [SCRIPT])


def write(folder, data, **changed):
    images = detect(Detector(), data.test, batchsize=2)
    metrics = {**score(precision_recall(images, NAMES)), 'iteration': 12, 'seconds': 3700.,
               'date': '2024-05-06T07:08:09+00:00', 'command': f'python train.py {SCRIPT}',
               'settings': {'lr': 1e-3, 'data': SCRIPT, 'weight_decay': None},
               'hardware': SCRIPT, 'versions': {'numpy': np.__version__}, **changed}
    write_report(folder, SCRIPT, metrics, images, data)
    return (folder / 'report.html').read_text(encoding='utf-8')
