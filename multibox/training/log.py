"""The log of a run: Chainer's file ``log``, written completely or not at all."""
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.files import open_whole

from chainer.training import extensions


class Log(extensions.LogReport):
    """Trainer extension: Chainer's ``LogReport``, with the same file and the same entries.

    Snapshots hold the entries. A log that cannot be written therefore does not end the training. A
    resumed run writes the file anew, so the run does not depend on an empty or damaged one.

    Args:
        trigger: a trigger of Chainer's trainer, which tells when an entry is added.
    """

    default_name = 'LogReport'  # the name in the snapshots

    def __init__(self, trigger: tuple[int, str] | Callable[[Any], bool]):
        super().__init__(trigger=trigger, log_name=None)  # no file of Chainer

    def initialize(self, trainer: Any) -> None:
        """Write the log of a resumed run."""
        if self.log:
            self._write(trainer)

    def __call__(self, trainer: Any) -> None:
        n = len(self.log)
        super().__call__(trainer)
        if len(self.log) > n:
            self._write(trainer)

    def _write(self, trainer):
        try:
            with open_whole(Path(trainer.out) / 'log') as file:
                file.write(json.dumps(self.log, indent=4).encode())
        except UserError as error:
            print(f'{error}; the training goes on, and the snapshots hold the log', flush=True)
