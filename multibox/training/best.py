"""The best weights of a run, and its end after evaluations without a better mAP."""
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multibox.files import open_whole, reading
from multibox.processes import ONE, OneProcess

import chainer
import numpy as np


class Best(chainer.training.Extension):
    """Trainer extension: keep the weights of the best mAP, and count the evaluations since.

    It runs after each :class:`multibox.evaluation.Evaluation`. An evaluation without a mAP, as
    without test images, is not counted. Snapshots hold the content of the file. A resumed run
    writes it anew, so the file always fits the weights that training goes on from.

    Args:
        path: the file of the best weights, ``OUT/best.npz``.
        save: function from the path and the keyword ``threshold`` that writes the present weights.
        patience: number of evaluations in a row without a better mAP that ends the run; 0 for none.
        processes: the processes of the run. All count alike, and the first one writes.

    Attributes:
        map: the best mAP, or -inf before the first one.
        iteration: number of training iterations before the evaluation with the best mAP, or 0.
        n_since: number of evaluations since then.
    """

    priority = chainer.training.PRIORITY_WRITER - 1  # after the evaluation

    def __init__(self, path: Path, save: Callable[..., None], patience: int = 0,
                 processes: OneProcess = ONE):
        self.path, self.save = path, save
        self.patience, self.processes = patience, processes
        self._content: np.ndarray | None = None  # of the file in a snapshot
        self._is_unknown = False  # whether the snapshot is of an earlier version
        self._forget()

    def _forget(self):
        self.map, self.iteration, self.n_since = -math.inf, 0, 0

    @property
    def is_over(self) -> bool:
        """Whether the patience is at its end."""
        return 0 < self.patience <= self.n_since

    @property
    def summary(self) -> dict | None:
        """``iteration`` and ``map`` of the best weights, or None if there are none."""
        return {'iteration': self.iteration, 'map': self.map} if self.iteration else None

    def __call__(self, trainer: Any) -> None:
        iteration, score, _ = trainer.get_extension('Evaluation').result
        if score['map'] is None:
            return
        if score['map'] > self.map:
            self.map, self.iteration, self.n_since = score['map'], iteration, 0
            if self.processes.is_first:
                self.save(self.path, threshold=score['threshold'])
        else:
            self.n_since += 1

    def initialize(self, trainer: Any) -> None:
        """Write the file that a snapshot held, if the run is resumed."""
        content, self._content = self._content, None
        if content is None:  # a new run
            return
        if len(content) and self.processes.is_first:
            with open_whole(self.path) as file:
                file.write(content.tobytes())
        if not len(content) and (self.iteration or self._is_unknown):
            self._forget()
            print(f'the snapshot holds no best weights; {self.path} will hold the best of the '
                  'evaluations from now on')

    def serialize(self, serializer: Any) -> None:
        """Save or restore the state and the content of the file."""
        if isinstance(serializer, chainer.Serializer):
            content = b''
            if self.iteration and self.path.is_file():
                with reading(self.path):
                    content = self.path.read_bytes()
            serializer('file', np.frombuffer(content, np.uint8))
        else:
            try:
                self._content = serializer('file', None)
            except KeyError:  # the snapshot is of an earlier version
                self._content, self._is_unknown = np.zeros(0, np.uint8), True
                return
        self.map = serializer('map', self.map)
        self.iteration = serializer('iteration', self.iteration)
        self.n_since = serializer('n_since', self.n_since)
