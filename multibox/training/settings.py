"""The settings of a run: their defaults and checks, and those of a resumed run."""
import argparse
import functools
import math
import pathlib

from multibox import engines, locks
from multibox.data import split
from multibox.data.voc import VOCData
from multibox.devices import available_cores, is_gpu
from multibox.errors import UserError
from multibox.files import remove_parts
from multibox.flags import check_all, check_numbers, check_out, check_path
from multibox.locks import Lock
from multibox.networks.efficientnet import N_PART
from multibox.parser import suggestion
from multibox.processes import OneProcess, check_same, check_split
from multibox.training.arguments import make_train_parser
from multibox.training.folders import check_new, new_folder, newest_run
from multibox.training.learning_rate import WARMUP, describe_change, scaled_cuts
from multibox.training.plans import prepare
from multibox.training.saved_settings import FROM_0, FROM_1, check_saved
from multibox.training.snapshots import (
    check_settings,
    find_snapshots,
    read_settings,
    resume,
    save_settings,
)
from multibox.weights.sources import READERS, reader_of

from chainer.training import Trainer

SLIM, LITE = 'slim300', 'lite300'  # the networks with recipes of their own
LEAST_ITERATION = 300  # of a run whose recipe is in epochs: few images need more of them
N_EVALUATION = 10  # evaluations of a run without --eval-interval
# The settings that must not change when a run is resumed.
FIXED = ('model', 'frozen', 'classes', 'images', 'annotations', 'difficult', 'augmentation', 'loss',
         'match', 'optimizer', 'batchsize', 'k', 'alpha', 'seed', 'processes', 'precision')


def parse_args(argv: list[str] | None, description: str | None, paper: dict, slim: dict,
               lite: dict) -> argparse.Namespace:
    """Read the flags of ``train.py``. A resumed run keeps the settings whose flags are not given.

    Args:
        argv: the arguments; None for those of this process.
        description: the text at the top of ``--help``.
        paper: {flag: default} for every network but slim300 and lite300.
        slim, lite: {flag: default} for slim300, and for lite300. The default length of a run is a
            number of iterations or of epochs; see :func:`count_iterations`.

    Returns:
        The values of all flags; ``cuts_given`` and ``eval_interval_given``, whether the command or
        the run to resume gave these settings; and ``remarks``, lines about the choices made, which
        :func:`check_and_lock` prints.
    """
    parser = make_train_parser(description, paper, slim, lite)
    args = parser.parse_args(argv)
    out, remarks = (args.out, []) if args.out else newest_run() if args.resume else new_folder()
    if args.resume:
        began_with = read_settings(out)
        check_saved(out / 'settings.json', began_with, parser, required=(*paper, 'cuts'))
        if not _cuts_were_given(began_with):
            began_with.pop('cuts', None)  # computed anew, for the number of iterations
        if not began_with.get('eval_interval_given'):
            began_with.pop('eval_interval', None)
        parser.set_defaults(**{name: began_with[name] for name in vars(args) if name in began_with
                               and name not in ('out', 'resume', 'epochs')})
        args = parser.parse_args(argv)
        if is_gpu(args.device) != is_gpu(began_with.get('device', args.device)):
            parser.set_defaults(conv=None, loader_processes=None)  # chosen for the other device
            args = parser.parse_args(argv)
    args.out, args.remarks = out, remarks
    if args.model is None:
        args.model = SLIM if not args.data else 'ssd300' if is_gpu(args.device) else LITE
        if args.model == LITE:
            remarks.append('network: lite300, which a CPU trains within minutes; for that of the '
                           'paper give --model ssd300, and with a GPU --device cuda')
    _set_defaults(args, {SLIM: slim, LITE: lite}.get(args.model, paper))
    args.cuts_given = args.cuts is not None
    args.eval_interval_given = args.eval_interval is not None
    _suit_length(args)
    args.conv = args.conv or engines.fastest(is_gpu(args.device))
    if args.loader_processes is None:
        args.loader_processes = max(1, min(8, available_cores() - 1)) if is_gpu(args.device) else 1
    return args


def _set_defaults(args, recipe):
    """Set the flags that were not given to those of a recipe."""
    lengths = 'iteration', 'epochs'  # the command gives at most one of them, and a recipe too
    given = {name for name in recipe if getattr(args, name) is not None}
    if any(getattr(args, name) is not None for name in lengths):
        given |= {*lengths}
    elif 'epochs' in recipe:
        args.least = LEAST_ITERATION
    for name in recipe.keys() - given:
        setattr(args, name, recipe[name])
    if args.pretrained == 'hed' and 'warmup' not in given and not args.resume:
        args.warmup = None  # _suit_length sets it
    if args.reuse and 'pretrained' not in given:
        args.pretrained = 'none'
    if args.pretrained == 'none' and not args.reuse:  # random weights have to learn
        for name, value in (('frozen', 0), ('trunk_lr', 1.)):
            if name not in given:
                setattr(args, name, value)


def _cuts_were_given(settings):
    """Whether the user chose the cuts of a run; runs of earlier versions did not write it down."""
    if 'cuts' not in settings or 'iteration' not in settings:
        return True
    return settings.get('cuts_given', settings['cuts'] != scaled_cuts(settings['iteration']))


def check_and_lock(args: argparse.Namespace, processes: OneProcess) -> Lock:
    """Print the remarks on the flags, check their values, and make and lock the folder of the run.

    Args:
        args: the values of all flags; ``remarks`` is removed.
        processes: the processes of the run.

    Returns:
        The lock, which the first process holds.

    Raises:
        UserError: a value is out of range, a file is missing, or the folder does not fit
            ``--resume`` or is locked; the message has one line per fault, which names the flag or
            the folder.
    """
    for remark in args.remarks:
        print(remark)
    del args.remarks
    each = functools.partial
    check_all(
        *(each(check_numbers, args, tuple(
            name for name in names if getattr(args, name) is not None), lowest)
          for names, lowest in ((FROM_1, 1), (FROM_0, 0))),
        each(_check_epochs, args.epochs),
        each(check_split, args.batchsize, processes),
        *[each(check_path, args.data, 'give --data a data set; docs/data.md describes it',
               folder=True)] * (args.data is not None),
        each(_check_pretrained, args.pretrained, args.model), each(_check_trunk, args),
        *[each(check_path, args.reuse, 'give --reuse a model.npz')] * (args.reuse is not None),
        each(_check_free, args.out, args.resume, processes), each(check_out, args.out))
    lock = Lock(args.out, processes)
    try:
        _check_run(args.out, args.resume)  # again: another run may have begun and ended meanwhile
    except UserError:
        lock.release()
        raise
    remove_parts(args.out / 'data-set')
    return lock


def _check_epochs(epochs):
    if epochs is not None and not 0 < epochs < math.inf:
        raise UserError(f'--epochs must be a number above 0, got {epochs}')


def _check_pretrained(source, model):
    names, path = ('none', 'imagenet', 'hed'), pathlib.Path(source)
    if (source, model) in (('imagenet', SLIM), ('hed', SLIM), ('hed', LITE)):
        raise UserError(f'--pretrained {source}: holds a VGG16, and {model} has none; give --model '
                        'ssd300, or leave --pretrained out')
    if source not in names and reader_of(source) is None:
        raise UserError(f'--pretrained {source}: unknown{suggestion(source, names)}; give '
                        f'{", ".join(names)}, a snapshot_iter_N, or a file that ends in '
                        f'{", ".join(READERS)}')
    if source not in names:
        check_path(path, 'give --pretrained an existing file')


def _check_trunk(args):
    """Refuse flags of a trunk for a network without one, and more frozen blocks than it has."""
    if args.model != LITE and (args.frozen, args.trunk_lr) != (0, 1):
        raise UserError(f'--frozen, --trunk-lr: are for {LITE}, and this is a {args.model}; leave '
                        'them out')
    check_numbers(args, ('frozen',), lowest=0, highest=N_PART)


def _check_free(out, resumed, processes):
    if (out / locks.NAME).exists():
        Lock(out, processes).release()  # a run that goes on is the first thing to tell
    _check_run(out, resumed)


def _check_run(out, resumed):
    if resumed and not find_snapshots(out):
        raise UserError(f'{out}: no snapshot_iter_* to resume from; point --out at the run, '
                        'or start anew without --resume')
    if not resumed:
        check_new(out)


def count_iterations(args: argparse.Namespace, n_image: int) -> None:
    """Convert ``--epochs`` to a number of iterations, and set what depends on it and is not given.

    Args:
        args: the values of all flags; ``epochs`` becomes None.
        n_image: number of training images.
    """
    least = vars(args).pop('least', 1)
    if args.epochs is None:
        return
    n_batch = args.epochs * n_image / args.batchsize
    n_batch = math.ceil(round(n_batch, 6))  # without a batch that is a rounding error
    args.iteration = max(least, n_batch)
    args.epochs = None  # the settings of a run hold one length, which --resume can replace
    _suit_length(args)


def _suit_length(args):
    """Set what depends on the number of iterations and is not given."""
    if args.iteration is None:  # the number of images is not known yet
        return
    if not args.cuts_given:
        args.cuts = scaled_cuts(args.iteration)
    if not args.eval_interval_given:
        args.eval_interval = max(1, math.ceil(args.iteration / N_EVALUATION))
    if args.warmup is None:
        args.warmup = min(WARMUP, args.iteration)


def cores_of_the_loader(args: argparse.Namespace) -> int:
    """Number of cores that the convolutions leave to the loader.

    A step takes much longer than a core loads its batch, and the threads of oneDNN sleep while they
    wait. The threads of OpenBLAS spin, so they must not meet the loader on a core.
    """
    return int(not args.conv.startswith('onednn'))


def begin_or_resume(trainer: Trainer, args: argparse.Namespace, data: VOCData,
                    processes: OneProcess) -> None:
    """Check that all processes have the same settings and data, and write the settings.

    A resumed run is also compared with its earlier settings, and loads its newest good snapshot.
    With cuDNN, the plans of the convolutions are chosen; see :mod:`multibox.training.plans`.

    Args:
        trainer: the trainer, which has not run yet.
        args: the values of all flags.
        data: the data set.
        processes: the processes of the run.

    Raises:
        UserError: settings differ, there is no snapshot to go on from, or there is no test image
            for ``--patience``.
    """
    if args.patience and not data.test:
        raise UserError(f'--patience {args.patience}: there is no test image, so no mAP that could '
                        'become better; leave it out, or give data with test images')
    settings = {**vars(args), 'classes': data.label_names, 'images': len(data.train),
                'annotations': data.checksum(), 'processes': processes.size}
    if processes.size > 1:
        check_same(settings, processes)
    if args.resume:
        check_settings(args.out, settings, FIXED)
        before = read_settings(args.out)
        iteration = resume(trainer, args.out, processes)
        print(f'resuming after iteration {iteration}')
        if iteration > args.iteration:
            raise UserError(f'--iteration {args.iteration}: the run in {args.out} is past it; give '
                            'a larger number')
        change = describe_change(iteration, before, settings)
        if change:
            print(change)
    if is_gpu(args.device) and args.conv == 'cudnn':
        prepare(trainer.updater.get_optimizer('main').target.model,
                args.batchsize // processes.size, args.out, args.resume, processes)
    if processes.is_first:
        n_pass = args.iteration * args.batchsize / len(data.train)
        done = trainer.updater.iteration
        report_at = min(args.iteration, done + args.eval_interval - done % args.eval_interval)
        print(f'results: {args.out}, with report.html from iteration {report_at} on; '
              f'{args.iteration} iterations are {n_pass:.3g} passes over the training images')
        if data.drawn:
            split.save(args.out, args.data, data.drawn)
        save_settings(args.out, settings)
