"""Evaluate a network that train.py wrote: average precision by class, precision over recall.

    python evaluate.py --model result/model.npz                                   the built-in set
    python evaluate.py --model result/model.npz --data VOCdevkit --device 0       VOC 2007 test
    python evaluate.py --model result/model.npz --data VOCdevkit --submission     VOC 2012 test
"""
import argparse
import pathlib
import time

from multibox import convolution
from multibox.data import load_data, relabel, voc2012_test
from multibox.data.voc import SERVER
from multibox.devices import available_cores, hardware, is_gpu, select_device, use_cores
from multibox.errors import UserError
from multibox.files import make_out
from multibox.gpu import functions
from multibox.report import write_results
from multibox.training import (
    COMMUNICATORS,
    coco_score,
    detect,
    ending_together,
    import_pycocotools,
    join_processes,
    local_device,
    place,
    precision_recall,
    score,
    write_submission,
)
from multibox.weights import load_model

from chainercv.datasets import voc_bbox_label_names


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=pathlib.Path, required=True, metavar='FILE',
                        help='model.npz of train.py, or of multibox.weights')
    parser.add_argument('--data', type=pathlib.Path, metavar='DIR',
                        help='a VOCdevkit or a VOC-layout folder, whose test images are used '
                             '(default: the built-in drawn set)')
    parser.add_argument('--coco', action='store_true',
                        help="score by COCO's rules too, at IoUs of 0.50 to 0.95; needs "
                             '`pip install pycocotools`')
    parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        help='where the results are written (default: evaluation, beside FILE)')
    parser.add_argument('--submission', action='store_true',
                        help="detect in VOC2012 test and write the files PASCAL's server takes")
    parser.add_argument('--batchsize', type=int, default=32, metavar='N',
                        help='images a process gives to the network at once (32)')
    parser.add_argument('--device', default='-1', help='-1, 0, @numpy or @cupy:0 (-1, the CPU)')
    parser.add_argument('--conv', choices=convolution.ENGINES,
                        help='what convolves (the fastest that this machine has)')
    parser.add_argument('--communicator', choices=COMMUNICATORS, metavar='NAME',
                        help=f'of ChainerMN under mpiexec: {", ".join(COMMUNICATORS)}')
    args = parser.parse_args(argv)
    args.out = args.out or args.model.parent / 'evaluation'
    args.conv = args.conv or convolution.fastest(is_gpu(args.device))
    return args


def main(argv=None):
    args = parse_args(argv)
    begin = time.monotonic()
    comm = join_processes(args.communicator, is_gpu(args.device))
    device = select_device(local_device(args.device, comm))
    if args.batchsize < 1:
        raise UserError(f'--batchsize must be a number from 1, got {args.batchsize}')
    if args.coco and args.submission:
        raise UserError('--coco scores, and --submission has nothing to score by; give one of them')
    if args.coco:
        import_pycocotools()  # before the detections, which take longer
    convolution.install(args.conv)
    if is_gpu(args.device):
        functions.install()
    convolution.keep_freed_memory()
    use_cores(available_cores())
    model, _, label_names = load_model(args.model)
    model.use_preset('evaluate')
    model.to_device(device)
    if args.submission:
        dataset = relabel(voc2012_test(args.data or 'VOCdevkit'), voc_bbox_label_names,
                          label_names, args.model)
        said = [f'{len(dataset)} images']
    else:
        data = load_data(args.data, train=False)
        dataset = relabel(data.test, data.label_names, label_names, args.model)
        data = data._replace(label_names=label_names, test=dataset)
        said = [*data.notes, f'{len(dataset)} images; {len(data.problems)} problems in the '
                'annotations' + ', listed in report.html' * bool(data.problems)]
    if place(comm)[0] == 0:
        print('\n'.join(said), flush=True)
        make_out(args.out)  # before the detections, which could not be kept
    images = detect(model, dataset, args.batchsize, comm)
    if place(comm)[0] > 0:
        return
    if args.submission:
        folder = write_submission(args.out, dataset.paths, images[:3], label_names)
        print(f'written to {folder}: pack {args.out / "results"} as one .tar.gz for {SERVER}')
        return
    curves = precision_recall(images, label_names)
    eleven_points, area = score(curves), score(curves, use_07_metric=False)
    result = {**eleven_points, 'map_area': area['map'], 'ap_area': area['ap']}
    if args.coco:
        result['coco'] = coco_score(images, label_names)
    write_results(args.out, f'{args.model} on {args.data or "the built-in set"}', result, images,
                  data, None, vars(args), time.monotonic() - begin, args.device,
                  hardware(device, place(comm)[1]))
    print(f'written to {args.out}: report.html with all of it, metrics.json, '
          'precision_recall.png, detections.png')


if __name__ == '__main__':
    with ending_together('evaluate.py'):
        main()
