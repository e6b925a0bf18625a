"""Convert weights of other frameworks, and export networks.

    python -m multibox.weights convert VGG_VOC0712_SSD_300x300.caffemodel --out model.npz
    python -m multibox.weights convert ssd300_mAP_77.43_v2.pth --out model.npz
    python -m multibox.weights convert result/snapshot_iter_120000 --out model.npz
    python -m multibox.weights export model.npz --out model.onnx --detections
    python -m multibox.weights show model.npz
"""
import pathlib
import sys

from multibox.errors import UserError, ending_together
from multibox.files import make_out
from multibox.flags import check_numbers, make_parser
from multibox.networks import MODELS
from multibox.outputs import check_not_source
from multibox.weights.convert import convert
from multibox.weights.export import export
from multibox.weights.sources import read


def parse_args(argv=None):
    as_module = pathlib.Path(sys.argv[0]).name == '__main__.py'
    parser = make_parser(__doc__, prog='python -m multibox.weights' if as_module else None)
    commands = parser.add_subparsers(dest='command', required=True)
    to_npz = commands.add_parser('convert', help='convert weights to an .npz of this project')
    to_npz.add_argument('source', metavar='SOURCE', help="imagenet, hed, or a file: ChainerCV's "
                        ".npz, a snapshot_iter_N of train.py, the .pth or .safetensors of "
                        "ssd.pytorch or of torchvision's vgg16, the .caffemodel of SSD's authors")
    to_npz.add_argument('--model', choices=sorted(MODELS), help='architecture (default: for a '
                        'snapshot that of its settings.json; for a file of PyTorch ssd300-coco, '
                        "unless it has VOC's 20 classes; else ssd300)")
    to_npz.add_argument('--classes', metavar='X', help='voc, coco, a file with one name per line, '
                        'or the number of classes (default: for a snapshot those of its '
                        'settings.json; else voc, if there are 20)')
    to_npz.add_argument('--bgr', action='store_true', help='the .pth expects BGR images, as '
                        "ssd.pytorch's copies of Caffe's weights do")
    to_npz.add_argument('--out', type=pathlib.Path, required=True, metavar='FILE',
                        help='the .npz file to write')
    to_onnx = commands.add_parser('export', help='export a model.npz to ONNX')
    to_onnx.add_argument('model', type=pathlib.Path, metavar='MODEL', help='a model.npz')
    to_onnx.add_argument('--out', type=pathlib.Path, required=True, metavar='FILE',
                         help='the .onnx file to write')
    to_onnx.add_argument('--detections', action='store_true', help='from photographs to boxes, '
                         'with resizing, decoding and suppression (default: from resized images '
                         'to offsets and logits)')
    to_onnx.add_argument('--score', type=float, metavar='X', help='the lowest score of a detection '
                         'of --detections (default: the threshold of MODEL)')
    show = commands.add_parser('show', help='list the names and shapes of the arrays of SOURCE')
    show.add_argument('source', metavar='SOURCE', help='as for convert')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.command == 'export' and args.score is not None:
        if not args.detections:
            raise UserError('--score is for --detections; give both')
        check_numbers(args, ('score',), lowest=0, highest=1)
    if args.command != 'show':
        check_not_source(args.out, args.source if args.command == 'convert' else args.model)
        make_out(args.out.parent)
    if args.command == 'convert':
        print(convert(args.source, args.model, args.out, args.classes, args.bgr))
    elif args.command == 'export':
        print(export(args.model, args.out, args.detections, args.score))
    else:
        print('\n'.join(f'{name:<32} {array.shape}'
                        for name, array in read(args.source).items()))


def run():
    """The command ``multibox-weights``."""
    with ending_together('multibox.weights'):
        main()


if __name__ == '__main__':
    run()
