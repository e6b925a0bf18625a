"""Evaluate a network that train.py wrote: average precision per class, precision over recall.

    python evaluate.py --model result/model.npz                              the data of its run
    python evaluate.py --model result/model.npz --data VOCdevkit             VOC 2007 test
    python evaluate.py --model result/model.npz --data VOCdevkit --submission    VOC 2012 test
"""
import functools
import pathlib
import time

from multibox import engines
from multibox.data import SPLITS, load_data, relabel, voc2012_test
from multibox.data.drawings import CLASSES
from multibox.data.images import add_max_pixels
from multibox.data.voc import SERVER
from multibox.devices import hardware, is_gpu, local_device, select_device
from multibox.errors import UserError, ending_together
from multibox.evaluation import (
    SUBMISSION,
    detect,
    examine,
    precision_recall,
    score,
    threshold_curve,
    write_submission,
)
from multibox.flags import (
    add_hardware_flags,
    check_all,
    check_numbers,
    check_out,
    check_path,
    make_parser,
)
from multibox.locks import Lock
from multibox.outputs import check_free, written_before
from multibox.processes import join_processes
from multibox.report import write_results
from multibox.training.folders import has_begun
from multibox.training.origin import find_origin
from multibox.weights import load_model

from chainercv.datasets import voc_bbox_label_names

RESULTS = 'report.html', 'metrics.json', 'precision_recall.png', 'detections.png'


def main(argv=None):
    args = parse_args(argv)
    begin = time.monotonic()
    processes = join_processes(args.communicator, is_gpu(args.device))
    check_args(args)
    with Lock(args.out, processes):
        evaluate(args, processes, begin)


def evaluate(args, processes, begin):
    """Detect in the test images, and write the results into the folder, which is locked."""
    device = select_device(local_device(args.device, processes))
    engines.set_up(device, args.conv)
    model, _, label_names = load_model(args.model)
    model.use_preset('evaluate')
    model.to_device(device)
    data, dataset, remarks = load_dataset(args, label_names)
    if processes.is_first:
        print('\n'.join(remarks), flush=True)
    images = detect(model, dataset, args.batchsize, processes)
    if not processes.is_first:
        return
    if args.submission:
        folder = write_submission(args.out, dataset.paths, images[:3], label_names)
        print(f'written to {folder}: pack {args.out / "results"} as one .tar.gz for {SERVER}')
        return
    threshold = threshold_curve(images).best if model.threshold is None else model.threshold
    write_results(
        args.out, data, images, scores(images, label_names), iteration=None,
        learning=examine(model, data, images, threshold), settings=vars(args),
        seconds=time.monotonic() - begin, device=args.device,
        hardware=hardware(device, processes.size))
    print(f'written to {args.out}: {", ".join(RESULTS)}')


def parse_args(argv=None):
    parser = make_parser(__doc__)
    parser.add_argument('--model', type=pathlib.Path, required=True, metavar='FILE',
                        help='a model.npz of train.py or of multibox.weights')
    parser.add_argument('--data', type=pathlib.Path, metavar='DIR',
                        help='a data set as for train.py; its test images are used '
                             '(default: the data of the run that wrote FILE)')
    parser.add_argument('--coco', action='store_true',
                        help="kept for older commands: COCO's scores are always computed")
    parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        help='folder for the results (default: evaluation, beside FILE)')
    parser.add_argument('--submission', action='store_true',
                        help="detect in VOC2012 test and write the files for PASCAL's server")
    parser.add_argument('--batchsize', type=int, default=32, metavar='N',
                        help='images per process that the network processes at once')
    add_max_pixels(parser)
    add_hardware_flags(parser)
    args = parser.parse_args(argv)
    args.out = args.out or args.model.parent / 'evaluation'
    args.conv = args.conv or engines.fastest(is_gpu(args.device))
    return args


def check_args(args):
    """Check the flags, and without ``--data`` take the data of the run that wrote the network."""
    origin = None if args.data else find_origin(args.model)
    args.split = SPLITS[1]
    if origin:
        args.data, args.split = origin.data, origin.split
    each = functools.partial
    check_all(
        each(check_numbers, args, ('batchsize', 'max_pixels'), lowest=1),
        each(check_path, args.model, 'give --model a model.npz'), each(check_out, args.out),
        each(check_results, args), each(check_data, args, origin))
    if args.data and origin:
        print(f'no --data: using {origin}')


def check_results(args):
    """Refuse a folder that holds a run, or files of the results that evaluate.py did not write."""
    if has_begun(args.out):
        raise UserError(f'--out {args.out}: holds a run of train.py; give another --out')
    before = written_before(args.out / 'metrics.json', ('map', 'iteration', 'settings'))
    if args.submission:
        check_free(args.out, [str(path.relative_to(args.out))
                              for path in sorted(args.out.glob(f'{SUBMISSION}*.txt'))])
    elif not before or before['iteration'] is not None:
        check_free(args.out, RESULTS)


def check_data(args, origin):
    """Refuse a folder that does not exist, and a run without test images."""
    if origin:
        origin.check(args.submission)
    elif args.data:
        check_path(args.data, 'give --data a data set', folder=True)


def load_dataset(args, label_names):
    """Load the data (None for a submission), its test set in the network's classes, and remarks."""
    if args.submission:
        dataset = relabel(voc2012_test(args.data or 'VOCdevkit', args.max_pixels),
                          voc_bbox_label_names, label_names, args.model)
        return None, dataset, [f'{len(dataset)} images']
    if args.data is None and not set(CLASSES) <= set(label_names):
        raise UserError(f'{args.model}: no file beside it names the data of a run, and the '
                        'built-in set has other classes; give --data')
    data = load_data(args.data, split=args.split, train=False, run=args.model.parent,
                     max_pixels=args.max_pixels)
    dataset = relabel(data.test, data.label_names, label_names, args.model)
    remarks = [*data.notes, f'{len(dataset)} images; {len(data.problems)} problems in the '
               'annotations' + ', listed in report.html' * bool(data.problems)]
    return data._replace(label_names=label_names, test=dataset), dataset, remarks


def scores(images, label_names):
    """Average precision by the rules of VOC 2007 and 2010."""
    curves = precision_recall(images, label_names)
    area = score(curves, use_07_metric=False)
    return {**score(curves), 'map_area': area['map'], 'ap_area': area['ap']}


def command():
    """The command ``multibox-evaluate``."""
    with ending_together():
        main()


if __name__ == '__main__':
    command()
