"""The settings of a run: flags, their defaults and checks, and those of a resumed run."""
import argparse
import pathlib

from multibox import engines
from multibox.boxes import RULES
from multibox.data import AUGMENTATIONS, SPLITS
from multibox.data.voc import VOCData
from multibox.devices import available_cores, is_gpu
from multibox.errors import UserError
from multibox.files import make_out
from multibox.flags import add_hardware_flags, check_numbers, make_parser
from multibox.losses import LOSSES
from multibox.networks import MODELS
from multibox.processes import OneProcess, check_same, check_split
from multibox.training.learning_rate import scaled_cuts
from multibox.training.optimizers import OPTIMIZERS
from multibox.training.snapshots import (
    check_settings,
    find_snapshots,
    read_settings,
    resume,
    save_settings,
)

from chainer.training import Trainer

# The settings that must not change when a run is resumed.
FIXED = ('model', 'classes', 'images', 'difficult', 'augmentation', 'loss', 'match', 'optimizer',
         'batchsize', 'k', 'alpha', 'seed', 'processes', 'precision')


def parse_args(argv: list[str] | None, description: str | None, paper: dict,
               slim: dict) -> argparse.Namespace:
    """Read the flags of ``train.py``. A resumed run keeps the settings whose flags are not given.

    Args:
        argv: the arguments; None for those of this process.
        description: the text at the top of ``--help``.
        paper: {flag: default} for every network but slim300.
        slim: {flag: default} for slim300.

    Returns:
        The values of all flags.
    """
    parser = _make_parser(description, paper, slim)
    args = parser.parse_args(argv)
    if args.resume:
        began_with = read_settings(args.out)
        parser.set_defaults(**{name: began_with[name] for name in vars(args) if name in began_with
                               and name not in ('out', 'resume')})
        args = parser.parse_args(argv)
        if is_gpu(args.device) != is_gpu(began_with.get('device', args.device)):
            parser.set_defaults(conv=None, loader_processes=None)  # chosen for the other device
            args = parser.parse_args(argv)
    if args.model is None:
        args.model = 'ssd300' if args.data else 'slim300'
    for name, value in (slim if args.model == 'slim300' else paper).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.cuts is None:
        args.cuts = scaled_cuts(args.iteration)
    args.conv = args.conv or engines.fastest(is_gpu(args.device))
    if args.loader_processes is None:
        args.loader_processes = max(1, min(8, available_cores() - 1)) if is_gpu(args.device) else 1
    return args


def _make_parser(description, paper, slim):
    parser = make_parser(description)
    data = parser.add_argument_group('data')
    data.add_argument('--data', type=pathlib.Path, metavar='DIR', help='a VOCdevkit, a folder with '
                      'the layout of VOC, or COCO 2017 (default: the built-in drawn set)')
    data.add_argument('--split', choices=SPLITS, default='07+12', help='the split of a VOCdevkit')
    data.add_argument('--difficult', action='store_true', help='also train on objects marked '
                      'difficult, as the Caffe original does')
    data.add_argument('--strict', action='store_true', help='refuse a data set with bad '
                      'annotations instead of leaving them out')
    data.add_argument('--augmentation', choices=AUGMENTATIONS, default='full',
                      help="full as in the starred rows of the paper's tables, or less")
    data.add_argument('--loader-processes', type=int, metavar='N', help='number of processes that '
                      'load images (default: 1; on a GPU, one less than the cores, at most 8)')
    model = parser.add_argument_group('network')
    model.add_argument('--model', choices=sorted(MODELS),
                       help='architecture (default: ssd300; slim300 on the built-in set)')
    model.add_argument('--pretrained', default='none', metavar='SOURCE', help='weights of VGG16 or '
                       'of the network: imagenet, hed, an .npz, .pth or .caffemodel file, or none')
    model.add_argument('--reuse', type=pathlib.Path, metavar='FILE', help='start from a model.npz, '
                       'including the class heads of classes that both networks know')
    recipe = parser.add_argument_group('recipe', 'Defaults for slim300, then for the others: '
                                       + '; '.join(f'{key.replace("_", "-")} {slim[key]}, {value}'
                                                   for key, value in paper.items()))
    recipe.add_argument('--loss', choices=sorted(LOSSES), default='chainercv',
                        help='published formulation, with its own matching rule')
    recipe.add_argument('--match', choices=RULES,
                        help='matching rule (default: that of the formulation)')
    recipe.add_argument('--iteration', type=int, metavar='N', help='number of updates')
    recipe.add_argument('--batchsize', type=int, metavar='N',
                        help='images per update, over all processes')
    recipe.add_argument('--optimizer', choices=sorted(OPTIMIZERS), help='update rule')
    recipe.add_argument('--lr', type=float, metavar='X', help='learning rate before the first cut')
    recipe.add_argument('--cuts', type=int, nargs='*', metavar='N', help='iterations at which the '
                        'learning rate is divided by ten (default: 2/3 and 5/6 of all)')
    recipe.add_argument('--warmup', type=int, metavar='N',
                        help='iterations of linear growth of the learning rate')
    recipe.add_argument('--weight-decay', type=float, metavar='X',
                        help='decay of weights; biases do not decay')
    recipe.add_argument('--momentum', type=float, default=0.9, metavar='X',
                        help='momentum of SGD, and the first decay rate of Adam')
    recipe.add_argument('--bias-scale', type=float, default=2.0, metavar='X',
                        help='factor on the gradients of biases')
    recipe.add_argument('--k', type=float, default=3.0, metavar='X',
                        help='hard negatives per positive')
    recipe.add_argument('--alpha', type=float, default=1.0, metavar='X',
                        help='weight of the localisation loss')
    recipe.add_argument('--seed', type=int, default=0, metavar='N', help='seed of all random draws')
    run = parser.add_argument_group('run')
    add_hardware_flags(run)
    run.add_argument('--precision', choices=engines.PRECISIONS, default='float32',
                     help='numeric type in which a GPU multiplies')
    run.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result'), metavar='DIR',
                     help='folder for all results')
    run.add_argument('--resume', action='store_true', help='continue the run in DIR from its '
                     'newest good snapshot, with its settings')
    run.add_argument('--log-interval', type=int, metavar='N', help='iterations per log line')
    run.add_argument('--snapshot-interval', type=int, metavar='N', help='iterations per snapshot')
    return parser


def check_args(args: argparse.Namespace, processes: OneProcess) -> None:
    """Check the values of the flags, and make the folder of the results.

    Args:
        args: the values of all flags.
        processes: the processes of the run.

    Raises:
        UserError: a value is out of range, or the folder does not fit ``--resume``; the message
            names the flag or the folder.
    """
    check_numbers(args, ('iteration', 'batchsize', 'log_interval', 'snapshot_interval'), lowest=1)
    check_numbers(args, ('lr', 'weight_decay', 'momentum', 'bias_scale', 'k', 'alpha', 'seed',
                         'warmup', 'loader_processes'), lowest=0)
    check_split(args.batchsize, processes)
    if args.resume and not find_snapshots(args.out):
        raise UserError(f'{args.out}: no snapshot_iter_* to resume from; point --out at the run, '
                        'or start anew without --resume')
    if not args.resume and (find_snapshots(args.out) or (args.out / 'model.npz').exists()):
        raise UserError(f'{args.out}: holds a run already; continue it with --resume, or give '
                        'another --out')
    make_out(args.out)


def begin_or_resume(trainer: Trainer, args: argparse.Namespace, data: VOCData,
                    processes: OneProcess) -> None:
    """Check that all processes have the same settings and data, and write the settings.

    A resumed run is also compared with its earlier settings, and loads its newest good snapshot.

    Args:
        trainer: the trainer, which has not run yet.
        args: the values of all flags.
        data: the data set.
        processes: the processes of the run.

    Raises:
        UserError: settings differ, or there is no snapshot to go on from.
    """
    settings = {**vars(args), 'classes': data.label_names, 'images': len(data.train),
                'processes': processes.size}
    if processes.size > 1:
        check_same({**settings, 'annotations': data.checksum()}, processes)
    if args.resume:
        check_settings(args.out, settings, FIXED)
        iteration = resume(trainer, args.out, processes)
        print(f'resuming after iteration {iteration}')
        if iteration > args.iteration:
            raise UserError(f'--iteration {args.iteration}: the run in {args.out} is past it; give '
                            'a larger number')
    if processes.is_first:
        save_settings(args.out, settings)
