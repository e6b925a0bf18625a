"""Train SSD with a published multibox loss: the recipe, from top to bottom.

    python train.py                                      the slim network on the built-in set
    python train.py --data my-photos                     a small pretrained network on your images
    python train.py --data VOCdevkit --pretrained imagenet --device cuda    the paper's SSD300
    mpiexec -n 4 python train.py --data VOCdevkit --pretrained imagenet --device cuda    four GPUs
"""
import math

from multibox import engines
from multibox.boxes import RULES
from multibox.data import (
    AUGMENTATIONS,
    Loader,
    MakeTargets,
    TrainingSequence,
    describe,
    load_data,
    seed_all,
)
from multibox.devices import hardware, is_gpu, local_device, select_device
from multibox.errors import ending_together
from multibox.evaluation import Evaluation, examine, threshold_curve
from multibox.losses import LOSSES
from multibox.networks import make_detector
from multibox.processes import join_processes
from multibox.report import plot_curves, save_inputs, write_results
from multibox.training import (
    OPTIMIZERS,
    LearningRate,
    Progress,
    Stop,
    TrainChain,
    Transfer,
    expected_time,
    halve,
    make_multi_node,
    make_optimizer,
    run,
    settings,
    share_batch_statistics,
    snapshot,
)
from multibox.weights import save_model, start

import chainer
from chainer.training import extensions, triggers

# PAPER has the paper's numbers, as in ChainerCV's run of 77.5 mAP. SLIM takes minutes on a laptop,
# and so does LITE on some hundred photographs.
PAPER = {'iteration': 120000, 'batchsize': 32, 'optimizer': 'momentum_sgd', 'lr': 1e-3,
         'warmup': 0, 'weight_decay': 5e-4, 'augmentation': 'full', 'pretrained': 'none',
         'frozen': 0, 'trunk_lr': 1, 'log_interval': 100, 'snapshot_interval': 2000}
SLIM = {**PAPER, 'iteration': 540, 'batchsize': 8, 'optimizer': 'adam', 'lr': 3e-3, 'warmup': 20,
        'weight_decay': 5e-5, 'augmentation': 'flip', 'log_interval': 20, 'snapshot_interval': 200}
LITE = {**SLIM, 'iteration': None, 'epochs': 20, 'lr': 1e-3, 'augmentation': 'full',
        'pretrained': 'imagenet', 'frozen': 6, 'trunk_lr': 0.1}


def main(argv=None):
    args = settings.parse_args(argv, __doc__, PAPER, SLIM, LITE)
    processes = join_processes(args.communicator, is_gpu(args.device))
    settings.check_args(args, processes)
    device = select_device(local_device(args.device, processes))
    engines.set_up(device, args.conv, args.precision, spare_cores=1)  # one core for the loader
    data = load_data(args.data, args.difficult, args.strict, args.split, run=args.out)
    print(describe(data))
    settings.count_iterations(args, len(data.train))

    seed_all(args.seed)
    model = make_detector(args.model, len(data.label_names))
    print(start(model, args.model, data.label_names, args.pretrained, args.reuse))
    trunk = getattr(model.extractor, 'trunk', None)  # of lite300
    if trunk:
        trunk.freeze(args.frozen)
    model.use_preset('evaluate')
    loader = make_loader(args, data, model, processes)
    updater = make_updater(args, loader, model, device, processes)
    trainer = chainer.training.Trainer(updater, Stop(args.iteration, processes), args.out)
    add_extensions(trainer, args, data, model, processes)
    settings.begin_or_resume(trainer, args, data, processes)
    save_inputs(args.out, data, loader.sequence, processes)
    print(expected_time(trainer))
    run(trainer, data.train.paths)
    save_results(trainer, args, data, model, hardware(device, processes.size), processes)


def make_loader(args, data, model, processes):
    """Make the loader of the augmented and matched examples of the whole run."""
    match = RULES[args.match] if args.match else LOSSES[args.loss].match
    targets = MakeTargets(model.coder, model.insize, model.mean, match,
                          steps=AUGMENTATIONS[args.augmentation])
    sequence = TrainingSequence(
        data.train.as_decoded(), targets, args.seed, args.iteration * args.batchsize)
    return Loader(sequence, args.batchsize, args.loader_processes, processes.rank, processes.size,
                  targets.nbytes)


def make_updater(args, loader, model, device, processes):
    """Join network, loss and optimizer: each iteration is one update by one batch."""
    if args.precision == 'float16':
        halve(model)
    share_batch_statistics(model, processes)
    chain = TrainChain(model, args.k, args.alpha, processes, LOSSES[args.loss])
    chain.to_device(device)
    optimizer = make_optimizer(args.optimizer, chain, args.lr, args.weight_decay, args.momentum,
                               args.bias_scale)
    return chainer.training.updaters.StandardUpdater(
        loader, make_multi_node(optimizer, processes), device=device,
        converter=Transfer(loader) if is_gpu(args.device) else chainer.dataset.concat_examples)


def add_extensions(trainer, args, data, model, processes):
    """Add learning rate, evaluation, log, curves and snapshots to the trainer."""
    def at(*iterations):
        return triggers.ManualScheduleTrigger(sorted({*iterations, args.iteration}), 'iteration')

    log = range(args.log_interval, args.iteration, args.log_interval)
    saved = range(args.snapshot_interval, args.iteration, args.snapshot_interval)
    check_iterations = {*log, *saved, *args.cuts, args.iteration}
    chain = trainer.updater.get_optimizer('main').target
    trainer.extend(lambda _: chain.check(), name='check', priority=math.inf,  # before all others
                   trigger=lambda trainer: trainer.updater.iteration in check_iterations)
    trainer.extend(LearningRate(OPTIMIZERS[args.optimizer].step_size,
                                args.lr, args.cuts, args.warmup,
                                getattr(model.extractor, 'trunk', None), args.trunk_lr))
    trainer.extend(Evaluation(model, data.test, data.label_names, args.batchsize // processes.size,
                              processes), trigger=at(*args.cuts))
    if processes.is_first:  # the first process writes for all
        trainer.extend(extensions.LogReport(trigger=at(*log, *args.cuts)))
        trainer.extend(Progress(args.iteration, args.batchsize))
        trainer.extend(lambda trainer: plot_curves(trainer.out), name='curves', trigger=at(*saved))
        trainer.extend(snapshot(chain), name='snapshot', trigger=at(*saved))


def save_results(trainer, args, data, model, hardware, processes):
    """Write the weights, the scores and the report."""
    evaluation = trainer.get_extension('Evaluation')
    if evaluation.result is None:  # the run was resumed at its end
        evaluation(trainer)
    if processes.is_first:
        iteration, result, images = evaluation.result
        threshold = threshold_curve(images).best
        save_model(args.out / 'model.npz', model, args.model, data.label_names, threshold)
        write_results(args.out, data, images, result, iteration=iteration, settings=vars(args),
                      learning=examine(model, data, images, threshold, run=args),
                      seconds=trainer.elapsed_time, device=args.device, hardware=hardware)
        print(f'report: {args.out / "report.html"}; weights: {args.out / "model.npz"}')


def command():
    """The command ``multibox-train``."""
    with ending_together():
        main()


if __name__ == '__main__':
    command()
