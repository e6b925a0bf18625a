"""Train SSD with a published multibox loss: the recipe, from top to bottom.

    python train.py                                      the slim network on the built-in set
    python train.py --data my-photos                     a small pretrained network on your images
    python train.py --data VOCdevkit --pretrained imagenet --device cuda    the paper's SSD300
    mpiexec -n 4 python train.py --data VOCdevkit --pretrained imagenet --device cuda    four GPUs
"""
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
from multibox.evaluation import Evaluation
from multibox.losses import LOSSES
from multibox.networks import make_detector
from multibox.processes import join_processes
from multibox.report import plot_curves
from multibox.training import (
    OPTIMIZERS,
    Best,
    Every,
    LearningRate,
    Log,
    Progress,
    Results,
    Stop,
    TrainChain,
    Updater,
    ValidationLoss,
    check,
    expected_time,
    halve,
    make_multi_node,
    make_optimizer,
    run,
    settings,
    share_batch_statistics,
    snapshot,
    without_ending,
)
from multibox.weights import start

import chainer

# PAPER is ChainerCV's run of 77.5 mAP. SLIM, and LITE on some hundred photographs, take minutes.
PAPER = {'iteration': 120000, 'batchsize': 32, 'optimizer': 'momentum_sgd', 'lr': 1e-3,
         'warmup': 0, 'weight_decay': 5e-4, 'augmentation': 'full', 'pretrained': 'none',
         'frozen': 0, 'trunk_lr': 1, 'log_interval': 100, 'snapshot_interval': 2000}
SLIM = {**PAPER, 'iteration': 480, 'batchsize': 8, 'optimizer': 'adam', 'lr': 3e-3, 'warmup': 20,
        'weight_decay': 5e-5, 'augmentation': 'flip', 'log_interval': 20, 'snapshot_interval': 200}
LITE = {**SLIM, 'iteration': None, 'epochs': 30, 'lr': 1e-3, 'augmentation': 'filled',
        'pretrained': 'imagenet', 'frozen': 6, 'trunk_lr': 0.1}


def main(argv=None):
    args = settings.parse_args(argv, __doc__, PAPER, SLIM, LITE)
    processes = join_processes(args.communicator, is_gpu(args.device))
    with settings.check_and_lock(args, processes):
        device = select_device(local_device(args.device, processes))
        engines.set_up(device, args.conv, args.precision,
                       spare_cores=settings.cores_of_the_loader(args))
        data = load_data(args.data, args.difficult, args.strict, args.split, run=args.out,
                         max_pixels=args.max_pixels)
        print(describe(data))
        settings.count_iterations(args, len(data.train))

        seed_all(args.seed)
        model = make_detector(args.model, len(data.label_names))
        print(start(model, args.model, data.label_names, args.pretrained, args.reuse, args.resume))
        model.use_preset('evaluate')
        loader = make_loader(args, data, model, processes)
        updater = make_updater(args, loader, model, device, processes)
        results = Results(args, data, model, hardware(device, processes.size), processes)
        best = Best(args.out / 'best.npz', results.save_weights, args.patience, processes)
        trainer = chainer.training.Trainer(updater, Stop(args.iteration, processes, best), args.out)
        add_extensions(trainer, args, data, model, results, processes)
        settings.begin_or_resume(trainer, args, data, processes)
        results.save_inputs(loader.sequence)
        print(expected_time(trainer))
        run(trainer, data.train.paths)
        results.finish(trainer)


def make_loader(args, data, model, processes):
    """Make the loader of the augmented and matched examples of the whole run."""
    match = RULES[args.match] if args.match else LOSSES[args.loss].match
    targets = MakeTargets(model.coder, model.insize, model.mean, match,
                          steps=AUGMENTATIONS[args.augmentation])
    sequence = TrainingSequence(
        data.train.as_decoded(), targets, args.seed, args.iteration * args.batchsize)
    return Loader(sequence, args.batchsize, args.loader_processes, processes.rank, processes.size,
                  targets.fields)


def make_updater(args, loader, model, device, processes):
    """Join network, loss and optimizer: each iteration is one update by one batch."""
    if args.precision in ('float16', 'bfloat16'):
        halve(model, args.precision)
    share_batch_statistics(model, processes)
    chain = TrainChain(model, args.k, args.alpha, processes, LOSSES[args.loss])
    chain.to_device(device)
    optimizer = make_optimizer(args.optimizer, chain, args.lr, args.weight_decay, args.momentum,
                               args.bias_scale)
    model.freeze(args.frozen)  # stops the weight decay, too
    return Updater(loader, make_multi_node(optimizer, processes), device, args.graph)


def add_extensions(trainer, args, data, model, results, processes):
    """Add learning rate, evaluation, log, curves, results and snapshots to the trainer."""
    updater, stop = trainer.updater, trainer.stop_trigger
    chain, loader = updater.get_optimizer('main').target, updater.get_iterator('main')
    log, evaluate, save = args.log_interval, args.eval_interval, args.snapshot_interval
    trainer.extend(check, trigger=Every(log, evaluate, save, stop=stop))
    trainer.extend(LearningRate(OPTIMIZERS[args.optimizer].step_size,
                                args.lr, args.cuts, args.warmup, model.trunk, args.trunk_lr))
    for extension in (
            Evaluation(model, data.test, data.label_names, args.batchsize // processes.size,
                       processes),
            ValidationLoss(chain, data.test, loader.sequence.transform, args.difficult,
                           args.batchsize, processes),
            stop.best):
        trainer.extend(extension, trigger=Every(evaluate, stop=stop))
    if processes.is_first:  # the first process writes for all
        trainer.extend(Log(Every(log, evaluate, stop=stop)))
        trainer.extend(Progress(args.iteration, args.batchsize))
        trainer.extend(without_ending(lambda trainer: plot_curves(trainer.out)), name='curves',
                       trigger=Every(save, stop=stop, at_end=False))
        trainer.extend(without_ending(results.report), name='results',
                       trigger=Every(evaluate, stop=stop, at_end=False))
        trainer.extend(snapshot(chain), name='snapshot', trigger=Every(save, stop=stop))


def command():
    """The command ``multibox-train``."""
    with ending_together():
        main()


if __name__ == '__main__':
    command()
