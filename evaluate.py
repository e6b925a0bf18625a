"""Evaluate a network that train.py wrote: average precision by class, precision over recall.

    python evaluate.py --model result/model.npz                                   the built-in set
    python evaluate.py --model result/model.npz --data VOCdevkit --device 0       VOC 2007 test
"""
import argparse
import pathlib
import time

from multibox import convolution
from multibox.data import drawn_set, load_voc, relabel
from multibox.devices import available_cores, is_gpu, select_device, use_cores
from multibox.errors import UserError
from multibox.files import make_out
from multibox.training import (
    COMMUNICATORS,
    detect,
    draw_detections,
    ending_together,
    join_processes,
    local_device,
    place,
    plot_precision_recall,
    precision_recall,
    score,
    write_metrics,
)
from multibox.weights import load_model


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=pathlib.Path, required=True, metavar='FILE',
                        help='model.npz of train.py, or of multibox.weights')
    parser.add_argument('--data', type=pathlib.Path, metavar='DIR',
                        help='a VOCdevkit or a VOC-layout folder, whose test images are used '
                             '(default: the built-in drawn set)')
    parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        help='where the results are written (default: evaluation, beside FILE)')
    parser.add_argument('--batchsize', type=int, default=32, metavar='N',
                        help='images a process gives to the network at once (32)')
    parser.add_argument('--device', default='-1', help='-1, 0, @numpy or @cupy:0 (-1, the CPU)')
    parser.add_argument('--conv', choices=convolution.ENGINES, default=convolution.fastest(),
                        help='what convolves on a CPU (%(default)s)')
    parser.add_argument('--communicator', choices=COMMUNICATORS, metavar='NAME',
                        help=f'of ChainerMN under mpiexec: {", ".join(COMMUNICATORS)}')
    args = parser.parse_args(argv)
    args.out = args.out or args.model.parent / 'evaluation'
    return args


def main(argv=None):
    args = parse_args(argv)
    begin = time.monotonic()
    comm = join_processes(args.communicator, is_gpu(args.device))
    device = select_device(local_device(args.device, comm))
    if args.batchsize < 1:
        raise UserError(f'--batchsize must be a number from 1, got {args.batchsize}')
    convolution.install(args.conv)
    convolution.keep_freed_memory()
    use_cores(available_cores())
    model, _, label_names = load_model(args.model)
    model.use_preset('evaluate')
    model.to_device(device)
    data = load_voc(args.data or drawn_set())
    dataset = relabel(data.test, data.label_names, label_names, args.model)
    print(f'{len(dataset)} images', flush=True)
    images = detect(model, dataset, args.batchsize, comm)
    if place(comm)[0] > 0:
        return
    make_out(args.out)
    curves = precision_recall(images, label_names)
    eleven_points, area = score(curves), score(curves, use_07_metric=False)
    result = {**eleven_points, 'map_area': area['map'], 'ap_area': area['ap']}
    write_metrics(args.out / 'metrics.json', result, None, settings=vars(args),
                  seconds=time.monotonic() - begin, device=args.device)
    plot_precision_recall(args.out / 'precision_recall.png', curves, eleven_points['ap'])
    shown = range(min(8, len(dataset)))
    predicted, truth = [[part[i] for i in shown] for part in images[:3]], images[3:5]
    draw_detections(args.out / 'detections.png', [dataset[i][0] for i in shown], predicted,
                    [[part[i] for i in shown] for part in truth], label_names, min_score=0.3)
    print(f'{"":>20}  11-point    area')
    rows = zip([*label_names, 'mAP'], [*eleven_points['ap'].values(), eleven_points['map']],
               [*area['ap'].values(), area['map']])
    for name, *values in rows:
        print(f'{name:>20}  ' + '  '.join(
            'no objects' if value is None else f'{value:8.4f}' for value in values))
    print(f'written to {args.out}: metrics.json, precision_recall.png, detections.png')


if __name__ == '__main__':
    with ending_together('evaluate.py'):
        main()
