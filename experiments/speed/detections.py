"""How fast are detections on this machine's CPU: decoding, threshold and suppression?

    python -m experiments.speed.detections --model result/model.npz

One image at a time from a network's outputs to boxes, at a score threshold of 0.01, by ChainerCV's
coder, by this repository's and by torchvision's batched_nms, if it is installed; then evaluate.py's
and detect.py's work from file to metrics and picture, with the first two. All take turns in one
process. ``--model`` is a model.npz of train.py with 8732 default boxes; without it, scores of a
trained network are imitated, and the scripts' work is left out. About 3 minutes.
"""
import argparse
import io
import pathlib
import statistics

import detect
from experiments.speed.turns import ratio, save, take_turns
from multibox import convolution, matching
from multibox.data import drawn_set, load_voc
from multibox.detectors import make_detector
from multibox.detectors.slim import SlimSSD300
from multibox.training import draw_boxes, evaluate
from multibox.weights import load_model

import chainer
import numpy as np

try:
    import torch
    import torchvision
except ImportError:
    torch = None

NMS_THRESH, SCORE_THRESH = 0.45, 0.01  # those of evaluate.py


def torchvisions(coder):
    """The decoder that torchvision.ops.batched_nms makes, on the boxes of ``coder``."""
    default_bbox, (v_center, v_size) = torch.from_numpy(coder.default_bbox), coder.variance
    center, default_size = default_bbox[:, :2], default_bbox[:, 2:]

    def decode(mb_loc, mb_conf):
        mb_loc, mb_conf = torch.from_numpy(mb_loc), torch.from_numpy(mb_conf)
        score = torch.softmax(mb_conf, dim=1)[:, 1:]
        box, label = torch.nonzero(score >= SCORE_THRESH, as_tuple=True)
        size = default_size * torch.exp(mb_loc[:, 2:] * v_size)
        low = center + mb_loc[:, :2] * v_center * default_size - size / 2
        bbox = torch.cat((low, low + size), dim=1).float()
        kept = torchvision.ops.batched_nms(bbox[box], score[box, label], label, NMS_THRESH)
        box, label = box[kept], label[kept]
        return bbox[box].numpy(), label.int().numpy(), score[box, label].numpy()
    return decode


def make_decoders(model):
    """{contestant: function of one image's (mb_loc, mb_conf)}."""
    coders = {'chainercv': SlimSSD300(model.n_fg_class).coder, 'multibox': model.coder}
    decoders = {name: lambda mb_loc, mb_conf, coder=coder: coder.decode(
        mb_loc, mb_conf, NMS_THRESH, SCORE_THRESH) for name, coder in coders.items()}
    return decoders | ({'torchvision': torchvisions(model.coder)} if torch else {})


def imitate(coder, rng, n_class=20, n_object=8):
    """Outputs like a trained network's: each object on the boxes around it, noise elsewhere."""
    corner = rng.uniform(0, 200, (n_object, 2))
    bbox = np.hstack((corner, corner + rng.uniform(30, 100, (n_object, 2)))).astype(np.float32)
    label = rng.integers(n_class, size=n_object)
    iou = matching.iou_with_default_boxes(coder.default_bbox, bbox)
    mb_loc, _ = matching.encode(
        bbox, label, matching.match_forced(iou, 0.3), coder.default_bbox, coder.variance)
    mb_conf = rng.standard_normal((len(iou), n_class + 1))
    mb_conf[:, 0] += 8.5
    for column, overlap in zip(label + 1, iou.T):
        mb_conf[:, column] += 12 * overlap
    return (mb_loc + 0.5 * rng.standard_normal(mb_loc.shape)).astype('f'), mb_conf.astype('f')


def untrained(rng, n_class=20):
    """Outputs like an untrained SSD300's: each box a candidate of each class."""
    return [(0.3 * rng.standard_normal((8732, n))).astype('f') for n in (4, n_class + 1)]


def outputs(model, dataset):
    """[(mb_loc, mb_conf)], the outputs of a network for images."""
    x = np.stack([model._prepare(dataset[i][0]) for i in range(len(dataset))])
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        return list(zip(*(y.array for y in model(x))))


def compare(found, expected):
    """How many detections, whether they are equal to the last bit, and the share in common."""
    each = [set(zip(label.tolist(), map(tuple, bbox.round(2).tolist())))
            for bbox, label, _ in (found, expected)]
    return {'detections': len(found[0]),
            'equal': all(map(np.array_equal, found, expected)),
            'in_common': len(each[0] & each[1]) / max(len(each[0] | each[1]), 1)}


def measure_decoding(decoders, images, repeat):
    """Seconds of each contestant for one image, how it compares, and what it found."""
    seconds = take_turns({name: lambda decode=decode: [decode(*image) for image in images]
                          for name, decode in decoders.items()}, repeat)
    seconds = {name: [s / len(images) for s in each] for name, each in seconds.items()}
    expected = [decoders['chainercv'](*image) for image in images]
    return {
        'seconds': seconds, 'times_faster': {
            name: ratio(seconds['chainercv'], each) for name, each in seconds.items()},
        'found': {name: [compare(decode(*image), boxes) for image, boxes in zip(images, expected)]
                  for name, decode in decoders.items()}}


def detect_all(model, paths, png_level, batchsize=8):
    """detect.py's work, but for the files it writes."""
    for start in range(0, len(paths), batchsize):
        imgs = [detect.read(path) for path in paths[start:start + batchsize]]
        for img, bbox, label, score in zip(imgs, *model.predict(imgs)):
            picture = draw_boxes(img, bbox, label, [f'{s:.2f}' for s in score])
            picture.save(io.BytesIO(), 'PNG', compress_level=png_level)


def measure_end_to_end(model, dataset, label_names, repeat):
    """Images per second of evaluate.py's and detect.py's loops, before and after."""
    coders = {'before': SlimSSD300(model.n_fg_class).coder, 'after': model.coder}
    png_levels = {'before': 6, 'after': detect.PNG_LEVEL}  # PIL's own is 6

    def evaluating(when):
        model.coder = coders[when]
        model.use_preset('evaluate')
        evaluate(model, dataset, label_names)

    def detecting(when):
        model.coder = coders[when]
        model.score_thresh, model.nms_thresh = 0.5, 0.45  # detect.py's
        detect_all(model, dataset.paths, png_levels[when])

    results = {}
    for name, work in (('evaluate', evaluating), ('detect', detecting)):
        seconds = take_turns({when: lambda work=work, when=when: work(when) for when in coders},
                             repeat)
        results[name] = {
            'images': len(dataset), 'times_faster': ratio(seconds['before'], seconds['after']),
            'images_per_second': {when: len(dataset) / statistics.median(each)
                                  for when, each in seconds.items()}, 'seconds': seconds}
    return results


def report(results):
    print(f'{"ms an image":14}' + ''.join(f'{name:>24}' for name in results['trained']['seconds']))
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


def parse_args(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=pathlib.Path, metavar='FILE',
                        help='slim300 or ssd300 of train.py on the built-in set')
    parser.add_argument('--images', type=int, default=24, metavar='N',
                        help='test images of the built-in set that are evaluated (24)')
    parser.add_argument('--repeat', type=int, default=5, metavar='N', help='turns (5)')
    parser.add_argument('--out', type=pathlib.Path, metavar='FILE',
                        default=pathlib.Path('result/speed/detections.json'),
                        help='(result/speed/detections.json)')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    convolution.install()
    convolution.keep_freed_memory()
    rng = np.random.default_rng(0)
    data = load_voc(drawn_set())
    dataset = type(data.test)(data.test.examples[:args.images])
    if torch is None:
        print('torchvision is not installed: left out')
    if args.model:
        model, _, label_names = load_model(args.model)
        images = outputs(model, dataset)[:4]
    else:
        print('no --model: the scores of a trained network are imitated, no end to end')
        model = make_detector('slim300', n_fg_class=20)
        images = [imitate(model.coder, rng) for _ in range(4)]
    decoders = make_decoders(model)
    results = {
        'trained': measure_decoding(decoders, images, args.repeat),
        # ChainerCV takes half a minute
        'dense': measure_decoding(decoders, [untrained(rng)], min(args.repeat, 2))}
    if args.model:
        results['end to end'] = measure_end_to_end(model, dataset, label_names, min(args.repeat, 2))
    report(results)
    command = f'python -m experiments.speed.detections --images {args.images}'
    save(args.out, command + (f' --model {args.model}' if args.model else ''), results)


if __name__ == '__main__':
    main()
