"""How long does each formulation of the loss take on this machine's CPU, forward and backward?

    python -m experiments.speed.formulations

The formulations of multibox.losses take turns with ChainerCV's own code at the size of the paper:
32 images, 8732 boxes, 21 classes. The boxes are matched beforehand.
"""
import functools
import statistics

from experiments.timing.arrays import random_case
from experiments.timing.steps import chainer_step
from experiments.timing.turns import make_parser, ratio, save, take_turns
from multibox.devices import select_device
from multibox.engines import set_up
from multibox.errors import ending_together
from multibox.flags import check_numbers
from multibox.losses import LOSSES
from multibox.networks import make_detector

import chainer.functions as F
import chainercv.links.model.ssd

SHAPE = 32, 8732, 21, .001  # B, K, C, share of positive boxes


def _losses():
    """{name: loss with ChainerCV's signature, of two scalar terms}."""
    losses = {'original': chainercv.links.model.ssd.multibox_loss}
    for name, formulation in LOSSES.items():
        loss = formulation.multibox_loss
        if name == 'tf_od':
            priors = make_detector('slim300', n_fg_class=20).coder.default_bbox[:SHAPE[1]]
            loss = functools.partial(loss, priors=priors)
        losses[name] = functools.partial(_summed, loss)
    return losses


def _summed(loss, *args):
    return map(F.sum, loss(*args))  # some formulations give a loss per image


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    args = make_parser(__doc__, 'result/speed/formulations.json', 15).parse_args(argv)
    check_numbers(args, ('repeat',), lowest=1)
    set_up(select_device('-1'))
    case = random_case(*SHAPE)
    seconds = take_turns({name: chainer_step(loss, *case) for name, loss in _losses().items()},
                         args.repeat)
    times = {name: ratio(each, seconds['original']) for name, each in seconds.items()}
    for name, each in seconds.items():
        print(f'{name:16}{1e3 * statistics.median(each):9.2f} ms{times[name]["median"]:8.2f} times '
              "ChainerCV's code")
    save(args.out, f'python -m experiments.speed.formulations --repeat {args.repeat}',
         {'seconds': seconds, 'times_chainercv': times})


if __name__ == '__main__':
    with ending_together('experiments.speed.formulations'):
        main()
