"""Do converted weights give the outputs of the original code of ssd.pytorch?

    git clone https://github.com/amdegroot/ssd.pytorch
    python -m experiments.weights.compare --ssd-pytorch ssd.pytorch

This program needs torch. The original network gets random weights whose outputs are of order 1, and
sees one random image in double and in single precision. Then its weights are saved and converted,
and the converted network sees the same image: by Chainer's own convolutions, and by the engine that
train.py and detect.py choose on this machine.
"""
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

from multibox import engines
from multibox.errors import UserError, ending_together
from multibox.files import make_out, write_json
from multibox.flags import make_parser
from multibox.report.metrics import versions
from multibox.weights import load_model
from multibox.weights.convert import convert

import chainer
import numpy as np


def _original_network(folder, weights):
    """The SSD300 of ssd.pytorch for 21 classes, in its training phase, whose outputs are raw."""
    import torch
    if not (folder / 'ssd.py').is_file():
        raise UserError(f'--ssd-pytorch {folder}: holds no ssd.py; give a checkout of '
                        'amdegroot/ssd.pytorch')
    sys.path.insert(0, str(folder))
    with tempfile.TemporaryDirectory() as home, mock.patch.dict(os.environ, HOME=home):
        # The import looks for COCO's labels below ~, and the checkout has them.
        shutil.copytree(folder / 'data', Path(home, 'data', 'coco'))
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
        network.vgg[0].weight /= 70  # the scale of the image
    return network.eval()


def _compare(network, x):
    """Compare an original network with its conversion on (B, 3, 300, 300) float32 images."""
    import torch
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'ssd.pth')
        torch.save(network.state_dict(), path)
        print(convert(str(path), 'ssd300', path.with_name('model.npz')))
        model = load_model(path.with_name('model.npz'))[0]
    with chainer.using_config('train', False), chainer.no_backprop_mode():
        converted = [y.array for y in model(x)]
    with torch.no_grad():
        loc, conf, priors = network(torch.from_numpy(x))
        exact_loc, exact_conf, _ = network.double()(torch.from_numpy(x).double())
    yx = [1, 0, 3, 2]  # ssd.pytorch has x first
    original, exact = [[heads[0][..., yx].numpy(), heads[1].numpy()]
                       for heads in ((loc, conf), (exact_loc, exact_conf))]
    boxes = model.coder.default_bbox / model.insize
    return {'network': {name: {'ours to ssd.pytorch': _deviation(a, b),
                               'ours to ssd.pytorch in double precision': _deviation(a, c),
                               'ssd.pytorch to itself in double precision': _deviation(b, c)}
                        for name, a, b, c in zip(('mb_locs', 'mb_confs'), converted, original,
                                                 exact)},
            'default boxes': _deviation(boxes, priors.numpy()[:, yx])}


def _deviation(a, b):
    """The largest difference: itself, and over the largest and the mean magnitude of b."""
    largest = float(abs(a - b).max())
    return {'largest': largest, 'over the largest': largest / float(abs(b).max()),
            'over the mean': largest / float(abs(b).mean()),
            'within rtol 1e-4 and atol 2e-5': bool(np.allclose(a, b, rtol=1e-4, atol=2e-5))}


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__)
    parser.add_argument('--ssd-pytorch', type=Path, required=True, metavar='DIR',
                        help='a checkout of amdegroot/ssd.pytorch')
    parser.add_argument('--weights', type=Path, metavar='FILE',
                        help='a .pth file of 21 classes (default: random weights)')
    parser.add_argument('--out', type=Path, default=Path('result/weights'), metavar='DIR',
                        help='folder of the results')
    args = parser.parse_args(argv)
    x = np.random.RandomState(0).uniform(-120, 130, (1, 3, 300, 300)).astype('f')
    results = {}
    for engine in dict.fromkeys(['chainer', engines.fastest()]):
        with engines.using(engine):
            results[engine] = _compare(_original_network(args.ssd_pytorch, args.weights), x)
    import torch
    make_out(args.out)
    write_json(args.out / 'ssd_pytorch.json', {
        'command': ' '.join(['python -m experiments.weights.compare',
                             *(sys.argv[1:] if argv is None else argv)]),
        'versions': {**versions(), 'torch': torch.__version__}, **results})
    for engine, result in results.items():
        print(f'--conv {engine}, default boxes: {result["default boxes"]["over the largest"]:.1e}')
        for name, numbers in result['network'].items():
            for pair, number in numbers.items():
                print(f'{name:<9} {pair.replace("ours", "multibox"):<46} '
                      f'{number["over the largest"]:.1e} of the largest')
    print(f'written to {args.out / "ssd_pytorch.json"}')


if __name__ == '__main__':
    with ending_together('experiments.weights.compare'):
        main()
