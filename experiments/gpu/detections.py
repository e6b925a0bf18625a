"""Detections on a GPU: are they right, and how many images per second, beside ChainerCV's code?

    python -m experiments.gpu.detections
    python -m experiments.gpu.detections --device -1 --network slim300 --batchsize 2 --repeat 1 \\
        --outputs trained                          the same on a CPU, to check this program

First imitated outputs of a network, offsets and logits of a batch, become boxes on the host, at the
thresholds of evaluate.py. ChainerCV's coder takes one image and one class after another, and that
of multibox the whole batch, with and without the limits of Caffe. ``in_common`` is the share of
detections that multibox finds on the CPU as well. Then ``predict`` is timed, from resized images to
boxes, and the detection of evaluate.py, from files to boxes. There the network computes as always,
but the imitated outputs replace its own, which would be those of an untrained network. A part that
fails is noted, and the others go on.
"""
import functools
import statistics
from collections.abc import Callable
from typing import Any

from experiments.speed import decoders
from experiments.speed.decoders import NMS_THRESH, SCORE_THRESH
from experiments.timing.turns import Results, make_parser, ratio, take_turns
from multibox import engines
from multibox.boxes import Coder
from multibox.boxes.coder import CAFFES_LIMITS
from multibox.data import drawn_set, load_data
from multibox.devices import hardware, is_gpu, select_device
from multibox.errors import ending_together
from multibox.evaluation import detect
from multibox.flags import check_numbers
from multibox.networks import make_detector
from multibox.networks.ssd import SSD
from multibox.resized import resize

import chainercv.links.model.ssd
import numpy as np

OUTPUTS = {'trained': decoders.imitate_trained,
           'untrained': lambda coder, rng: decoders.imitate_untrained(rng)}


def imitate(kind: str, coder: Coder, batchsize: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a network, (B, K, 4) and (B, K, 21) float32; ``kind`` is a key of OUTPUTS."""
    rng = np.random.default_rng(0)
    locs, confs = zip(*[OUTPUTS[kind](coder, rng) for _ in range(batchsize)])
    return np.stack(locs), np.stack(confs)


def in_common(found: tuple, expected: tuple) -> float:
    """The share of the detections of a batch that two decoders have in common."""
    both = total = 0
    for ours, others in zip(zip(*found), zip(*expected)):
        one, other = ({(int(n), *box.round(1).tolist()) for box, n in zip(*image[:2])}
                      for image in (ours, others))
        both, total = both + len(one & other), total + len(one | other)
    return both / max(total, 1)


def time_in_turns(contestants: dict[str, Callable], n_image: int, repeat: int) -> dict[str, Any]:
    """Seconds of calls that return arrays of the host, images per second, and speed-ups."""
    seconds = take_turns(contestants, repeat)
    found = {'seconds': seconds, 'images_per_second': {
        name: n_image / statistics.median(each) for name, each in seconds.items()},
        'times_faster_than_chainercv': {
            name: ratio(seconds['chainercv'], each) for name, each in seconds.items()}}
    print('; '.join(f'{name} {speed:,.1f} images/s'
                    for name, speed in found['images_per_second'].items()), flush=True)
    return found


def measure_decoding(model: SSD, theirs: Any, outputs: tuple, repeat: int) -> dict[str, Any]:
    """Time the coders of ChainerCV and multibox on the outputs of a batch."""
    limited, on_cpu = (Coder(model.coder.default_bbox, model.coder.variance) for _ in range(2))
    limited.limits = CAFFES_LIMITS
    on_cpu.to_cpu()
    model.coder.limits = None  # as ChainerCV
    sent = [model.device.send(array) for array in outputs]
    calls = {name: functools.partial(coder.decode_batch, *sent, NMS_THRESH, SCORE_THRESH)
             for name, coder in (('chainercv', theirs), ('multibox', model.coder),
                                 ('multibox, limits of Caffe', limited))}
    expected = on_cpu.decode_batch(*outputs, NMS_THRESH, SCORE_THRESH)
    return {**time_in_turns(calls, len(outputs[0]), repeat),
            'detections': sum(map(len, expected[2])),
            'in_common': {name: in_common(calls[name](), expected)
                          for name in ('chainercv', 'multibox')}}


def replace_outputs(model: SSD, outputs: tuple) -> None:
    """Let a network compute as always, and then return the outputs of another network."""
    forward, sent = model.forward, [model.device.send(array) for array in outputs]

    def imitating(x):
        return tuple(type(y)(other[:len(x)]) for y, other in zip(forward(x), sent))
    model.forward = imitating


def measure_network(model: SSD, theirs: Any, dataset: Any, args: Any) -> dict[str, Any]:
    """Time ``predict`` and the detection of evaluate.py with both coders."""
    coders = {'chainercv': theirs, 'multibox': model.coder}
    photos = [resize(dataset[i % len(dataset)][0], model.insize) for i in range(args.batchsize)]
    ways = {'chainercv': chainercv.links.model.ssd.SSD.predict, 'multibox': SSD.predict}

    def using(name, call):
        model.coder = coders[name]
        model.use_preset('evaluate')
        return call()
    predict = {name: functools.partial(using, name, functools.partial(ways[name], model, photos))
               for name in coders}
    evaluate = {name: functools.partial(using, name, functools.partial(
        detect, model, dataset, args.batchsize)) for name in coders}
    return {'predict': time_in_turns(predict, len(photos), args.repeat),
            'detect': time_in_turns(evaluate, len(dataset), args.repeat)}


def main(argv: list[str] | None = None) -> None:
    """Run the program; the file is written again after each part."""
    parser = make_parser(__doc__, 'result/gpu/detections.json', 5)
    parser.add_argument('--device', default='0', help='the number of a GPU, or -1 for the CPU')
    parser.add_argument('--network', default='ssd300', help='a network with 8,732 default boxes')
    parser.add_argument('--batchsize', type=int, default=32, metavar='B', help='number of images')
    parser.add_argument('--outputs', nargs='+', choices=OUTPUTS, default=list(OUTPUTS),
                        help='imitated networks')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'batchsize'), lowest=1)
    device = select_device(args.device)
    engines.set_up(device, engines.fastest(is_gpu(args.device)))
    model = make_detector(args.network, n_fg_class=20)
    theirs = decoders.chainercvs_coder(model)
    outputs = {kind: imitate(kind, model.coder, args.batchsize) for kind in args.outputs}
    model.to_device(device)
    if is_gpu(args.device):
        theirs.to_gpu()
    results = Results(args.out, f'python -m experiments.gpu.detections --device {args.device} '
                      f'--network {args.network} --batchsize {args.batchsize} '
                      f'--repeat {args.repeat} --outputs {" ".join(args.outputs)}')
    results.values['device'] = hardware(device, 1)
    for kind in args.outputs:
        with results.part(kind):
            results.values[kind] = measure_decoding(model, theirs, outputs[kind], args.repeat)
    with results.part('network'):
        replace_outputs(model, outputs[args.outputs[0]])
        test = load_data(drawn_set()).test
        dataset = type(test)(test.examples[:10 * args.batchsize])
        results.values['network'] = measure_network(model, theirs, dataset, args)
    print('failed:', ', '.join(results.values['failed']) or 'nothing')


if __name__ == '__main__':
    with ending_together('experiments.gpu.detections'):
        main()
