"""The results of a run: the report after each evaluation, and the weights at the end."""
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multibox.data.voc import VOCData
from multibox.evaluation import examine
from multibox.faults import Faults
from multibox.networks.ssd import SSD
from multibox.processes import ONE, OneProcess
from multibox.report import save_inputs, write_results
from multibox.weights import save_model


def without_ending(write: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make an extension of a function of the trainer, whose errors do not end the training.

    Args:
        write: writes files that the training does not need.

    Returns:
        An extension of Chainer's trainer; for an error it prints one line.
    """
    def extension(trainer):
        faults = Faults()
        with faults.of(f'the results after iteration {trainer.updater.iteration}'):
            write(trainer)
        for line in faults.found:  # no report is worth the loss of a training
            print(f'{line}; the training goes on', flush=True)
    return extension


class Results:
    """Write the weights, the scores and the report of a run into its folder.

    Args:
        args: the settings of the run.
        data: the data set.
        model: the network.
        hardware: from :func:`multibox.devices.hardware`.
        processes: the processes of the run; the first one writes.
    """

    def __init__(self, args: argparse.Namespace, data: VOCData, model: SSD, hardware: str,
                 processes: OneProcess = ONE):
        self.args, self.data, self.model = args, data, model
        self.hardware, self.processes = hardware, processes
        self.failed: list[str] = []

    def save_weights(self, path: Path, threshold: float | None) -> None:
        """Write the present weights; see :func:`multibox.weights.save_model`."""
        save_model(path, self.model, self.args.model, self.data.label_names, threshold)

    def save_inputs(self, sequence: Any) -> None:
        """Draw the input of the run; see :func:`multibox.report.save_inputs`."""
        self.failed = save_inputs(self.args.out, self.data, sequence, self.processes)

    def report(self, trainer: Any) -> None:
        """Write the report of the last evaluation; at the end of the run, print the scores.

        Args:
            trainer: the trainer, with the extensions ``Evaluation`` and ``Best``.
        """
        args = self.args
        iteration, score, images = trainer.get_extension('Evaluation').result
        running = not trainer.stop_trigger.is_last(iteration)
        write_results(
            args.out, self.data, images, {**score, 'best': trainer.get_extension('Best').summary},
            learning=examine(self.model, self.data, images, score['threshold'],
                             run=None if running else args),
            iteration=iteration, settings=vars(args), seconds=trainer.elapsed_time,
            device=args.device, hardware=self.hardware,
            running=running, failed=self.failed)

    def finish(self, trainer: Any) -> None:
        """Write the last weights and then the report, and name the files.

        All processes call this method after the training, because a run that was resumed at its end
        is evaluated first.

        Args:
            trainer: as for :meth:`report`.

        Raises:
            Incomplete: a file could not be written, or a part of the report could not be made. All
                others are written.
        """
        evaluation, best = map(trainer.get_extension, ('Evaluation', 'Best'))
        if evaluation.result is None:
            evaluation(trainer)
            if not best.iteration:  # the snapshot is of an earlier version
                best(trainer)
        if self.processes.is_first:
            _, score, _ = evaluation.result
            last = self.args.out / 'model.npz'
            weights = [f'{best.path} (mAP {best.map:.4f} after iteration {best.iteration}, the '
                       'best)'] * (best.iteration > 0)
            with Faults() as faults:
                with faults.of(last):
                    self.save_weights(last, score['threshold'])
                    weights += [str(last) if score['map'] is None else
                                f'{last} (mAP {score["map"]:.4f}, the last)']
                with faults.of('the report'):
                    self.report(trainer)
                faults.found += [*self.failed, *filter(None, [trainer.get_extension(
                    'snapshot').failed])]
                print(f'report: {self.args.out / "report.html"}; weights: {" and ".join(weights)}')
