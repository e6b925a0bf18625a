"""How long do detections take on this machine's CPU: decoding, threshold and suppression?

    python -m experiments.speed.detections --model result/model.npz

First the outputs of a network for one image become boxes, at a score threshold of 0.01. The coders
of ChainerCV and multibox take part, and torchvision's batched_nms where torchvision is installed.
Then the work of evaluate.py and detect.py, from file to metrics and picture, is timed with
ChainerCV's coder and with multibox's. Without ``--model``, the outputs of a trained network are
imitated, and the second part is left out. It takes about 3 minutes.
"""
import io
import statistics
from pathlib import Path

from experiments.speed import decoders
from experiments.timing.turns import make_parser, ratio, save, take_turns
from multibox.data import drawn_set, load_data
from multibox.data.pictures import read
from multibox.devices import select_device
from multibox.drawing import draw_boxes
from multibox.engines import set_up
from multibox.errors import ending_together
from multibox.evaluation import evaluate
from multibox.flags import check_numbers
from multibox.networks import make_detector
from multibox.weights import load_model

import chainer
import numpy as np

PNG_LEVELS = {'before': 6, 'after': 1}  # Pillow's default, and the level of detect.py


def _outputs(model, dataset):
    """The (K, 4) offsets and (K, C) logits of a network, image by image."""
    x = np.stack([model._prepare(dataset[i][0]) for i in range(len(dataset))])
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return list(zip(*(y.array for y in model(x))))


def _compare(found, expected):
    """The number of detections, whether all bits are equal, and the share of common detections."""
    each = [set(zip(label.tolist(), map(tuple, bbox.round(2).tolist())))
            for bbox, label, _ in (found, expected)]
    return {'detections': len(found[0]),
            'equal': all(map(np.array_equal, found, expected)),
            'in_common': len(each[0] & each[1]) / max(len(each[0] | each[1]), 1)}


def _measure_decoding(contestants, images, repeat):
    """Time decoders on the outputs of a network, image by image, and compare their detections."""
    seconds = take_turns({name: lambda decode=decode: [decode(*image) for image in images]
                          for name, decode in contestants.items()}, repeat)
    seconds = {name: [s / len(images) for s in each] for name, each in seconds.items()}
    expected = [contestants['chainercv'](*image) for image in images]
    return {
        'seconds': seconds, 'times_faster': {
            name: ratio(seconds['chainercv'], each) for name, each in seconds.items()},
        'found': {name: [_compare(decode(*image), boxes) for image, boxes in zip(images, expected)]
                  for name, decode in contestants.items()}}


def _detect_all(model, paths, png_level, batchsize=8):
    """Do the work of detect.py, and write the pictures to memory."""
    for start in range(0, len(paths), batchsize):
        imgs = [read(path) for path in paths[start:start + batchsize]]
        for img, bbox, label, score in zip(imgs, *model.predict(imgs)):
            picture = draw_boxes(img, bbox, label, [f'{s:.2f}' for s in score])
            picture.save(io.BytesIO(), 'PNG', compress_level=png_level)


def _measure_end_to_end(model, dataset, label_names, repeat):
    """Time the work of evaluate.py and detect.py with the coders of ChainerCV and multibox."""
    coders = {'before': decoders.chainercvs_coder(model), 'after': model.coder}

    def evaluating(when):
        model.coder = coders[when]
        model.use_preset('evaluate')
        evaluate(model, dataset, label_names)

    def detecting(when):
        model.coder = coders[when]
        model.score_thresh, model.nms_thresh = 0.5, 0.45  # detect.py for weights without threshold
        _detect_all(model, dataset.paths, PNG_LEVELS[when])

    results = {}
    for name, work in (('evaluate', evaluating), ('detect', detecting)):
        seconds = take_turns({when: lambda work=work, when=when: work(when) for when in coders},
                             repeat)
        results[name] = {
            'images': len(dataset), 'times_faster': ratio(seconds['before'], seconds['after']),
            'images_per_second': {when: len(dataset) / statistics.median(each)
                                  for when, each in seconds.items()}, 'seconds': seconds}
    return results


def _print_results(results):
    """Print milliseconds per image, speed-ups and agreement."""
    for case in ('trained', 'dense'):
        row = results[case]
        print(f'{case:14}' + ''.join(
            f'{1e3 * statistics.median(each):10.1f}, {row["times_faster"][name]["median"]:6.1f}'
            ' times' for name, each in row['seconds'].items()))
        for name, found in row['found'].items():
            equal = sum(image['equal'] for image in found)
            common = min(image['in_common'] for image in found)
            print(f'{"":14}{name}: equal to the bit in {equal} of {len(found)} images, '
                  f'at least {common:.2%} in common')
    for name, row in results.get('end to end', {}).items():
        before, after = row['images_per_second'].values()
        print(f'{name:14}{before:.1f} to {after:.1f} images/s, '
              f'{row["times_faster"]["median"]:.2f} times')


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed/detections.json', 5)
    parser.add_argument('--model', type=Path, metavar='FILE',
                        help='model.npz of train.py: slim300 or ssd300 on the built-in set')
    parser.add_argument('--images', type=int, default=24, metavar='N',
                        help='test images of the built-in set')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'images'), lowest=1)
    set_up(select_device('-1'))
    rng = np.random.default_rng(0)
    data = load_data(drawn_set())
    dataset = type(data.test)(data.test.examples[:args.images])
    if args.model:
        model, _, label_names = load_model(args.model)
        images = _outputs(model, dataset)[:4]
    else:
        print('no --model: the outputs of a trained network are imitated, no end to end')
        model = make_detector('slim300', n_fg_class=20)
        images = [decoders.imitate_trained(model.coder, rng) for _ in range(4)]
    contestants, few = decoders.make_decoders(model), min(args.repeat, 2)  # ChainerCV takes long
    if 'torchvision' not in contestants:
        print('torchvision is not installed, so it is left out')
    dense = [decoders.imitate_untrained(rng)]
    results = {'trained': _measure_decoding(contestants, images, args.repeat),
               'dense': _measure_decoding(contestants, dense, few)}
    if args.model:
        results['end to end'] = _measure_end_to_end(model, dataset, label_names, few)
    _print_results(results)
    command = f'python -m experiments.speed.detections --images {args.images}'
    save(args.out, command + (f' --model {args.model}' if args.model else ''), results)


if __name__ == '__main__':
    with ending_together('experiments.speed.detections'):
        main()
