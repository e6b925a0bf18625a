"""Do converted weights give the outputs of the original code of ssd.pytorch?

    git clone https://github.com/amdegroot/ssd.pytorch
    python -m experiments.weights.compare --ssd-pytorch ssd.pytorch

Needs torch. The original network gets random weights whose outputs are of order 1, sees one random
image in double and in single precision, and is saved, converted and run here, by Chainer's own
convolutions and by the engine that train.py and detect.py choose on this machine.
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile
from unittest import mock

from multibox import convolution
from multibox.files import make_out, write_json
from multibox.training import ending_together, versions
from multibox.weights import load_model
from multibox.weights.convert import convert

import chainer
import numpy as np


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ssd-pytorch', type=pathlib.Path, required=True, metavar='DIR',
                        help='a checkout of amdegroot/ssd.pytorch')
    parser.add_argument('--weights', type=pathlib.Path, metavar='FILE',
                        help='a .pth of 21 classes to compare with (default: random weights)')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result/weights'),
                        metavar='DIR', help='(result/weights)')
    return parser.parse_args(argv)


def original(folder, weights):
    """ssd.pytorch's SSD300 for 21 classes, in its training phase: raw outputs."""
    import torch
    sys.path.insert(0, str(folder))
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, HOME=home):
        # on import it looks for COCO's labels below ~, and has them itself
        shutil.copytree(folder / 'data', pathlib.Path(home, 'data', 'coco'))
        import ssd
    torch.manual_seed(0)
    network = ssd.build_ssd('train', 300, 21)
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location='cpu', weights_only=True))
        return network.eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter)
            elif name == 'L2Norm.weight':
                parameter.uniform_(10, 30)
            else:
                parameter.normal_(0, .1)
        network.vgg[0].weight /= 70  # the size of the input
    return network.eval()


def compare(network, x):
    """Run both on images ``x``, (B, 3, 300, 300) float32; see :func:`deviation`."""
    import torch
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, 'ssd.pth')
        torch.save(network.state_dict(), path)
        print(convert(str(path), 'ssd300', path.with_name('model.npz')))
        model = load_model(path.with_name('model.npz'))[0]
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        ours = [y.array for y in model(x)]
    with torch.no_grad():
        loc, conf, priors = network(torch.from_numpy(x))
        exact_loc, exact_conf, _ = network.double()(torch.from_numpy(x).double())
    yx = [1, 0, 3, 2]  # theirs is x first
    theirs, exact = [[head[0][..., yx].numpy(), head[1].numpy()]
                     for head in ((loc, conf), (exact_loc, exact_conf))]
    boxes = model.coder.default_bbox / model.insize
    return {'network': {name: {'ours to ssd.pytorch': deviation(a, b),
                               'ours to ssd.pytorch in double precision': deviation(a, c),
                               'ssd.pytorch to itself in double precision': deviation(b, c)}
                        for name, a, b, c in zip(('mb_locs', 'mb_confs'), ours, theirs, exact)},
            'default boxes': deviation(boxes, priors.numpy()[:, yx])}


def deviation(a, b):
    """Largest absolute deviation: itself, and over the largest and the mean magnitude of b."""
    largest = float(abs(a - b).max())
    return {'largest': largest, 'over the largest': largest / float(abs(b).max()),
            'over the mean': largest / float(abs(b).mean()),
            'within rtol 1e-4 and atol 2e-5': bool(np.allclose(a, b, rtol=1e-4, atol=2e-5))}


def main(argv=None):
    args = parse_args(argv)
    x = np.random.RandomState(0).uniform(-120, 130, (1, 3, 300, 300)).astype('f')
    results = {}
    for engine in dict.fromkeys(['chainer', convolution.fastest()]):
        convolution.install(engine)
        results[engine] = compare(original(args.ssd_pytorch, args.weights), x)
    import torch
    make_out(args.out)
    write_json(args.out / 'ssd_pytorch.json', {
        'command': ' '.join(['python -m experiments.weights.compare',
                             *(sys.argv[1:] if argv is None else argv)]),
        'versions': {**versions(), 'torch': torch.__version__}, **results})
    for engine, result in results.items():
        print(f'--conv {engine}, default boxes: {result["default boxes"]["over the largest"]:.1e}')
        for name, figures in result['network'].items():
            for pair, numbers in figures.items():
                print(f'{name:<9} {pair:<42} {numbers["over the largest"]:.1e} of the largest')
    print(f'written to {args.out / "ssd_pytorch.json"}')


if __name__ == '__main__':
    with ending_together('compare'):
        main()
