"""Train SSD with a published multibox loss: the recipe, from top to bottom.

    python train.py                                      the slim network on the built-in set
    python train.py --data VOCdevkit --pretrained imagenet --device 0       the paper's SSD300
    python train.py --data my-photos --model slim300 --iteration 2000       your own images
    mpiexec -n 4 python train.py --data VOCdevkit --pretrained imagenet --device 0    four GPUs
"""
import argparse
import math
import pathlib

from multibox import convolution
from multibox.data import (
    AUGMENTATIONS,
    SPLITS,
    Loader,
    MakeTargets,
    TrainingSequence,
    describe,
    load_data,
    seed_all,
)
from multibox.detectors import MODELS, make_detector
from multibox.devices import available_cores, hardware, is_gpu, select_device, use_cores
from multibox.errors import UserError
from multibox.files import make_out
from multibox.gpu import functions
from multibox.losses import LOSSES
from multibox.matching import RULES
from multibox.report import write_results
from multibox.training import (
    COMMUNICATORS,
    OPTIMIZERS,
    Evaluation,
    LearningRate,
    NonFiniteLoss,
    Progress,
    Stop,
    TrainChain,
    Transfer,
    check_same,
    check_settings,
    check_split,
    ending_together,
    find_snapshots,
    halve,
    is_finite,
    join_processes,
    local_device,
    make_multi_node,
    make_optimizer,
    place,
    plot_curves,
    read_settings,
    resume,
    save_settings,
    scaled_cuts,
    share_batch_statistics,
    snapshot,
    use_precision,
)
from multibox.weights import save_model, start

import chainer
from chainer.training import extensions, triggers

# ChainerCV's run of 77.5 mAP, with the paper's numbers; and one a laptop finishes in minutes.
PAPER = {'iteration': 120000, 'batchsize': 32, 'optimizer': 'momentum_sgd', 'lr': 1e-3,
         'warmup': 0, 'weight_decay': 5e-4, 'log_interval': 100, 'snapshot_interval': 2000}
SLIM = {'iteration': 540, 'batchsize': 8, 'optimizer': 'adam', 'lr': 3e-3,
        'warmup': 20, 'weight_decay': 5e-5, 'log_interval': 20, 'snapshot_interval': 200}
# What a resumed run must have in common with its beginning.
FIXED = ('model', 'classes', 'images', 'difficult', 'augmentation', 'loss', 'match', 'optimizer',
         'batchsize', 'k', 'alpha', 'seed', 'processes', 'precision')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = parser.add_argument_group('data')
    data.add_argument('--data', type=pathlib.Path, metavar='DIR',
                      help='a VOCdevkit, VOC-layout folder or COCO 2017 (the built-in drawn set)')
    data.add_argument('--split', choices=SPLITS, default='07+12', help='of a VOCdevkit (07+12)')
    data.add_argument('--difficult', action='store_true',
                      help='train on objects marked difficult too, as the Caffe original does')
    data.add_argument('--strict', action='store_true',
                      help='end at bad annotations instead of leaving them out')
    data.add_argument('--augmentation', choices=AUGMENTATIONS, default='full',
                      help='full, as of the starred rows of the paper, or less (full)')
    data.add_argument('--loader-processes', type=int, metavar='N',
                      help='processes that load images (default: 1; on a GPU, cores - 1, up to 8)')
    model = parser.add_argument_group('network')
    model.add_argument('--model', choices=sorted(MODELS),
                       help='(default: ssd300; slim300 on the built-in set)')
    model.add_argument('--pretrained', default='none', metavar='SOURCE',
                       help='imagenet, hed, an .npz, .pth or .caffemodel file, or none (none)')
    model.add_argument('--reuse', type=pathlib.Path, metavar='FILE',
                       help='start from a model.npz, class heads too where both know the class')
    recipe = parser.add_argument_group('recipe', 'Defaults of ssd300 and ssd512, and of slim300: '
                                       + '; '.join(f'{key.replace("_", "-")} {value}, {SLIM[key]}'
                                                   for key, value in PAPER.items()))
    recipe.add_argument('--loss', choices=sorted(LOSSES), default='chainercv',
                        help='published formulation, with its own matching (chainercv)')
    recipe.add_argument('--match', choices=RULES, help='another rule than its own')
    recipe.add_argument('--iteration', type=int, metavar='N', help='number of updates')
    recipe.add_argument('--batchsize', type=int, metavar='N', help='images of an update, in all')
    recipe.add_argument('--optimizer', choices=sorted(OPTIMIZERS))
    recipe.add_argument('--lr', type=float, help='step size before the first cut')
    recipe.add_argument('--cuts', type=int, nargs='*', metavar='N',
                        help='iterations at which it is cut by ten (default: 2/3 and 5/6 of all)')
    recipe.add_argument('--warmup', type=int, metavar='N', help='iterations of linear growth')
    recipe.add_argument('--weight-decay', type=float, metavar='X', help='not applied to biases')
    recipe.add_argument('--momentum', type=float, default=0.9, metavar='X',
                        help="of SGD, and Adam's first decay rate (0.9)")
    recipe.add_argument('--bias-scale', type=float, default=2.0, metavar='X',
                        help='factor on the gradients of biases (2)')
    recipe.add_argument('--k', type=float, default=3.0, help='hard negatives per positive (3)')
    recipe.add_argument('--alpha', type=float, default=1.0, help='weight of the location loss (1)')
    recipe.add_argument('--seed', type=int, default=0, help='(0)')
    run = parser.add_argument_group('run')
    run.add_argument('--device', default='-1', help='-1, 0, @numpy or @cupy:0 (-1, the CPU); '
                     'under mpiexec any GPU means one for each process')
    run.add_argument('--conv', choices=convolution.ENGINES,
                     help='what convolves (the fastest that this machine has)')
    run.add_argument('--precision', choices=convolution.PRECISIONS, default='float32',
                     help='of the products on a GPU (float32)')
    run.add_argument('--communicator', choices=COMMUNICATORS, metavar='NAME',
                     help=f'of ChainerMN under mpiexec: {", ".join(COMMUNICATORS)} '
                          '(pure_nccl on GPUs, naive on CPUs)')
    run.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result'), metavar='DIR',
                     help='where everything is written (result)')
    run.add_argument('--resume', action='store_true',
                     help="continue DIR's run from its newest good snapshot, with its settings")
    run.add_argument('--log-interval', type=int, metavar='N', help='iterations between log lines')
    run.add_argument('--snapshot-interval', type=int, metavar='N')
    args = parser.parse_args(argv)

    if args.resume:
        began_with = read_settings(args.out)
        parser.set_defaults(**{name: began_with[name] for name in vars(args) if name in began_with
                               and name not in ('out', 'resume')})
        args = parser.parse_args(argv)
        if is_gpu(args.device) != is_gpu(began_with.get('device', args.device)):
            parser.set_defaults(conv=None, loader_processes=None)  # what is best there is not here
            args = parser.parse_args(argv)
    if args.model is None:
        args.model = 'ssd300' if args.data else 'slim300'
    for name, value in (SLIM if args.model == 'slim300' else PAPER).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.cuts is None:
        args.cuts = scaled_cuts(args.iteration)
    args.conv = args.conv or convolution.fastest(is_gpu(args.device))
    if args.loader_processes is None:
        args.loader_processes = max(1, min(8, available_cores() - 1)) if is_gpu(args.device) else 1
    return args


def check_args(args, comm=None):
    for lowest, names in ((1, ('iteration', 'batchsize', 'log_interval', 'snapshot_interval')),
                          (0, ('lr', 'weight_decay', 'momentum', 'bias_scale', 'k', 'alpha',
                               'seed', 'warmup', 'loader_processes'))):
        for name in names:
            value = getattr(args, name)
            if not lowest <= value < math.inf:
                raise UserError(f'--{name.replace("_", "-")} must be a number from {lowest}, '
                                f'got {value}')
    check_split(args.batchsize, comm)
    if args.resume and not find_snapshots(args.out):
        raise UserError(f'{args.out}: no snapshot_iter_* to resume from; point --out at the run, '
                        'or start anew without --resume')
    if not args.resume and (find_snapshots(args.out) or (args.out / 'model.npz').exists()):
        raise UserError(f'{args.out}: holds a run already; continue it with --resume, or give '
                        'another --out')
    make_out(args.out)


def make_trainer(args, data, model, device, comm):
    formulation = LOSSES[args.loss]
    match = RULES[args.match] if args.match else formulation.match
    targets = MakeTargets(model.coder, model.insize, model.mean, match,
                          steps=AUGMENTATIONS[args.augmentation])
    sequence = TrainingSequence(
        data.train.as_decoded(), targets, args.seed, args.iteration * args.batchsize)
    rank, size = place(comm)
    loader = Loader(sequence, args.batchsize, args.loader_processes, rank, size, targets.nbytes)
    share_batch_statistics(model, comm)
    chain = TrainChain(model, args.k, args.alpha, comm, formulation)
    chain.to_device(device)
    optimizer = make_optimizer(args.optimizer, chain, args.lr, args.weight_decay, args.momentum,
                               args.bias_scale)
    optimizer = make_multi_node(optimizer, comm)
    updater = chainer.training.updaters.StandardUpdater(
        loader, optimizer, device=device,
        converter=Transfer(loader) if is_gpu(args.device) else chainer.dataset.concat_examples)
    trainer = chainer.training.Trainer(updater, Stop(args.iteration, comm), args.out)

    def at(*iterations):
        return triggers.ManualScheduleTrigger(sorted({*iterations, args.iteration}), 'iteration')

    log = range(args.log_interval, args.iteration, args.log_interval)
    saved = range(args.snapshot_interval, args.iteration, args.snapshot_interval)
    look_at = {*log, *saved, *args.cuts, args.iteration}
    trainer.extend(lambda _: chain.check(), name='check', priority=math.inf,  # before all others
                   trigger=lambda trainer: trainer.updater.iteration in look_at)
    trainer.extend(LearningRate(OPTIMIZERS[args.optimizer].step_size,
                                args.lr, args.cuts, args.warmup))
    trainer.extend(Evaluation(model, data.test, data.label_names, args.batchsize // size, comm),
                   trigger=at(*args.cuts))
    if rank > 0:
        return trainer  # the first process writes for all
    trainer.extend(extensions.LogReport(trigger=at(*log, *args.cuts)))
    trainer.extend(Progress(args.iteration, args.batchsize))
    trainer.extend(lambda trainer: plot_curves(trainer.out), name='curves', trigger=at(*saved))
    trainer.extend(snapshot(chain), name='snapshot', trigger=at(*saved))
    return trainer


def run(trainer, data):
    """Train to the end, or to a loss that is not finite: then name what it was computed on."""
    loader = trainer.updater.get_iterator('main')
    try:
        with trainer.stop_trigger:
            trainer.run(show_loop_exception_msg=False)
        trainer.updater.get_optimizer('main').target.check()
    except NonFiniteLoss as error:
        batch = loader.position // loader.batchsize - error.n_later
        images = [data.train.paths[loader.sequence.source(t)[1]]
                  for t in range((batch - 1) * loader.batchsize, batch * loader.batchsize)]
        raise UserError('\n  '.join([
            f'iteration {batch}: {error}. {way_on(trainer.out)} The images of this batch:',
            *map(str, images)])) from None
    if not is_finite(trainer.updater.get_optimizer('main').target):
        raise UserError(f'iteration {trainer.updater.iteration}: the last update made weights that '
                        f'are not finite. {way_on(trainer.out)}')
    if trainer.stop_trigger.signal:
        trainer.stop_trigger.save_and_exit(trainer)


def way_on(out):
    saved = find_snapshots(out)
    if not saved:
        return 'There is no snapshot yet; try a lower --lr or a longer --warmup.'
    return f'{saved[0]} is from before; go on from it with --resume and a lower --lr.'


def report(args, data, model, trainer, device, comm):
    evaluation = trainer.get_extension('Evaluation')
    if evaluation.result is None:  # resumed at its end
        evaluation(trainer)
    if place(comm)[0] > 0:
        return
    save_model(args.out / 'model.npz', model, args.model, data.label_names)
    iteration, result, images = evaluation.result
    write_results(args.out, f'{args.model} on {args.data or "the built-in set"}', result, images,
                  data, iteration, vars(args), trainer.elapsed_time, args.device,
                  hardware(device, place(comm)[1]))
    print(f'all on one page: {args.out / "report.html"}; pictures beside it; weights: model.npz')


def main(argv=None):
    args = parse_args(argv)
    comm = join_processes(args.communicator, is_gpu(args.device))
    check_args(args, comm)
    device = select_device(local_device(args.device, comm))
    use_precision(args.precision, device)
    convolution.install(args.conv, args.precision)
    if is_gpu(args.device):
        functions.install()
    convolution.keep_freed_memory()
    use_cores(available_cores() - 1)  # one for the loader, whatever the number of its processes
    data = load_data(args.data, args.difficult, args.strict, args.split)
    print(describe(data))
    seed_all(args.seed)
    model = make_detector(args.model, len(data.label_names))
    print(start(model, args.model, data.label_names, args.pretrained, args.reuse))
    if args.precision == 'float16':
        halve(model)
    model.use_preset('evaluate')
    trainer = make_trainer(args, data, model, device, comm)
    settings = {**vars(args), 'classes': data.label_names, 'images': len(data.train),
                'processes': place(comm)[1]}
    if comm is not None:
        check_same({**settings, 'annotations': data.checksum()}, comm)
    if args.resume:
        check_settings(args.out, settings, FIXED)
        iteration = resume(trainer, args.out, comm)
        print(f'resuming after iteration {iteration}')
        if iteration > args.iteration:
            raise UserError(f'--iteration {args.iteration}: the run in {args.out} is past it')
    if place(comm)[0] == 0:
        save_settings(args.out, settings)
    run(trainer, data)
    report(args, data, model, trainer, device, comm)


if __name__ == '__main__':
    with ending_together('train.py'):
        main()
