"""Convert weights of other frameworks, and export networks.

    python -m multibox.weights convert VGG_VOC0712_SSD_300x300.caffemodel --out model.npz
    python -m multibox.weights convert ssd300_mAP_77.43_v2.pth --out model.npz
    python -m multibox.weights export model.npz --out model.onnx
    python -m multibox.weights show model.npz
"""
import argparse
import pathlib

from multibox.detectors import MODELS
from multibox.files import make_out
from multibox.training import ending_together
from multibox.weights.convert import convert
from multibox.weights.export import export
from multibox.weights.sources import read


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        prog='python -m multibox.weights', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    to_npz = commands.add_parser('convert', help='into our .npz')
    to_npz.add_argument('source', metavar='SOURCE', help="imagenet, hed, or a file: ChainerCV's "
                        ".npz, ssd.pytorch's .pth, the .caffemodel of SSD's authors")
    to_npz.add_argument('--model', choices=sorted(MODELS), help='(ssd300; of a .pth of other than '
                        "20 classes ssd300-coco, as in ssd.pytorch's code)")
    to_npz.add_argument('--classes', metavar='X', help='voc, coco, a file with a name a line, or '
                        'their number (voc, if there are 20)')
    to_npz.add_argument('--bgr', action='store_true', help='the .pth is for BGR images, as '
                        "ssd.pytorch's copies of Caffe's weights are")
    to_npz.add_argument('--out', type=pathlib.Path, required=True, metavar='FILE')
    to_onnx = commands.add_parser('export', help='a model.npz into ONNX, without suppression')
    to_onnx.add_argument('model', type=pathlib.Path, metavar='FILE')
    to_onnx.add_argument('--out', type=pathlib.Path, required=True, metavar='FILE')
    show = commands.add_parser('show', help='names and shapes of what SOURCE holds')
    show.add_argument('source', metavar='SOURCE')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.command != 'show':
        make_out(args.out.parent)
    if args.command == 'convert':
        print(convert(args.source, args.model, args.out, args.classes, args.bgr))
    elif args.command == 'export':
        print(export(args.model, args.out))
    else:
        print('\n'.join(f'{name:<32} {array.shape}'
                        for name, array in read(args.source).items()))


if __name__ == '__main__':
    with ending_together('multibox.weights'):
        main()
