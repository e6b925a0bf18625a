"""The flags of ``train.py``."""
import argparse
import pathlib

from multibox import engines
from multibox.boxes import RULES
from multibox.data import AUGMENTATIONS, SPLITS
from multibox.data.images import add_max_pixels
from multibox.flags import add_hardware_flags, make_parser
from multibox.losses import LOSSES
from multibox.networks import MODELS
from multibox.parser import Parser
from multibox.training.folders import DEFAULT
from multibox.training.optimizers import OPTIMIZERS


def make_train_parser(description: str | None, paper: dict, slim: dict, lite: dict) -> Parser:
    """Make the parser of ``train.py``.

    Args:
        description: the text at the top of ``--help``.
        paper, slim, lite: {flag: default}, as for :func:`multibox.training.settings.parse_args`;
            the help lists them.
    """
    parser = make_parser(description)
    data = parser.add_argument_group('data')
    data.add_argument('--data', type=pathlib.Path, metavar='DIR', help='a folder of images and '
                      'annotations: VOC, labelImg, Roboflow, CVAT, COCO, YOLO or a CSV table; see '
                      'docs/data.md (default: the built-in drawn set)')
    data.add_argument('--split', choices=SPLITS, default='07+12', help='the split of a VOCdevkit')
    data.add_argument('--difficult', action='store_true', help='also train on objects marked '
                      'difficult, as the Caffe original does')
    data.add_argument('--strict', action='store_true', help='refuse a data set with bad '
                      'annotations instead of leaving them out')
    data.add_argument('--augmentation', choices=AUGMENTATIONS,
                      help="full as in the starred rows of the paper's tables, filled with noise "
                      'around expanded images, or less')
    add_max_pixels(data)
    data.add_argument('--loader-processes', type=int, metavar='N', help='number of processes that '
                      'load images (default: 1; on a GPU, one less than the cores, at most 8)')
    model = parser.add_argument_group('network')
    model.add_argument('--model', choices=sorted(MODELS),
                       help='architecture (default: slim300; with --data lite300, and on a GPU '
                       'ssd300)')
    model.add_argument('--pretrained', metavar='SOURCE', help='weights of the trunk or of the '
                       'network: imagenet, hed, none, or a file, see docs/weights.md')
    model.add_argument('--reuse', type=pathlib.Path, metavar='FILE', help='start from a model.npz, '
                       'including the class heads of classes that both networks know')
    model.add_argument('--frozen', type=int, metavar='N', help='blocks of the trunk of lite300, '
                       'counted from the image, that do not learn')
    recipe = parser.add_argument_group('recipe', _describe(paper, slim, lite))
    recipe.add_argument('--loss', choices=sorted(LOSSES), default='chainercv',
                        help='published formulation, with its own matching rule')
    recipe.add_argument('--match', choices=RULES,
                        help='matching rule (default: that of the formulation)')
    length = recipe.add_mutually_exclusive_group()
    length.add_argument('--iteration', type=int, metavar='N', help='number of updates')
    length.add_argument('--epochs', type=float, metavar='X',
                        help='passes over the training images, instead of --iteration')
    recipe.add_argument('--batchsize', type=int, metavar='N',
                        help='images per update, over all processes')
    recipe.add_argument('--optimizer', choices=sorted(OPTIMIZERS), help='update rule')
    recipe.add_argument('--lr', type=float, metavar='X', help='learning rate before the first cut')
    recipe.add_argument('--trunk-lr', type=float, metavar='X', help='learning rate of the trunk '
                        'of lite300, as a share of --lr')
    recipe.add_argument('--cuts', type=int, nargs='*', metavar='N', help='iterations at which the '
                        'learning rate is divided by ten (default: 2/3 and 5/6 of all)')
    recipe.add_argument('--warmup', type=int, metavar='N',
                        help='iterations of linear growth of the learning rate (default with '
                        '--pretrained hed: 200, or all if there are fewer)')
    recipe.add_argument('--weight-decay', type=float, metavar='X',
                        help='decay of weights; biases do not decay')
    recipe.add_argument('--momentum', type=float, default=0.9, metavar='X',
                        help='momentum of SGD, and the first decay rate of Adam')
    recipe.add_argument('--bias-scale', type=float, default=2.0, metavar='X',
                        help='factor on the gradients of biases')
    recipe.add_argument('--k', type=float, default=3.0, metavar='X',
                        help='hard negatives per positive')
    recipe.add_argument('--alpha', type=float, default=1.0, metavar='X',
                        help='weight of the localisation loss')
    recipe.add_argument('--seed', type=int, default=0, metavar='N', help='seed of all random draws')
    run = parser.add_argument_group('run')
    add_hardware_flags(run)
    run.add_argument('--precision', choices=engines.PRECISIONS, default='float32',
                     help='numeric type of the products of a GPU, and in 16 bits of its arrays')
    run.add_argument('--graph', action=argparse.BooleanOptionalAction, default=True,
                     help='on a GPU, launch an update as one CUDA graph, or its kernels one by one')
    run.add_argument('--out', type=pathlib.Path, metavar='DIR', help='folder for all results '
                     f'(default: {DEFAULT}, or {DEFAULT}-2 and so on if that holds a run)')
    run.add_argument('--resume', action='store_true', help='continue the run in DIR, or the '
                     'newest one without --out, from its newest good snapshot with its settings')
    run.add_argument('--eval-interval', type=int, metavar='N', help='iterations per evaluation '
                     '(default: a tenth of all); the last iteration is always evaluated')
    run.add_argument('--patience', type=int, default=0, metavar='N', help='end the run after N '
                     'evaluations in a row without a better mAP; 0 for never')
    run.add_argument('--log-interval', type=int, metavar='N', help='iterations per log line')
    run.add_argument('--snapshot-interval', type=int, metavar='N', help='iterations per snapshot')
    return parser


def _describe(paper, slim, lite):
    """The sentence on the defaults that depend on the network."""
    names = dict.fromkeys([*paper, *slim, *lite])
    values = [f'{name.replace("_", "-")} ' + ', '.join(
        '-' if recipe.get(name) is None else str(recipe[name])
        for recipe in (slim, lite, paper)) for name in names]
    return f'Defaults for slim300, for lite300, then for the others: {"; ".join(values)}'
