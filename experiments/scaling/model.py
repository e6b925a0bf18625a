"""The scaling of SSD300 over 1 to 256 GPUs, computed from stated bandwidths; nothing is measured.

    python -m experiments.scaling.model

A step consists of the work on the images, which takes the same time on any number of GPUs, and of
the exchange of the gradients in a ring. Each of N GPUs sends and receives 2 (N - 1) / N of the
gradients over the slowest link, in 2 (N - 1) messages. Double buffering hides the shorter of the
two behind the longer.
"""
from pathlib import Path

from multibox.errors import ending_together
from multibox.files import make_out, open_whole, write_json
from multibox.flags import make_parser
from multibox.networks import make_detector

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Nominal bytes per second in one direction, assumed seconds per message, and most GPUs.
LINKS = {
    'NVLink 4, 450 GB/s': (450e9, 5e-6, 8),
    'PCIe 4.0 x16, 32 GB/s': (32e9, 10e-6, 8),
    'InfiniBand HDR, 25 GB/s': (25e9, 10e-6, 256),
    '10 Gbit Ethernet, 1.25 GB/s': (1.25e9, 50e-6, 256),
}
N_GPUS = [2 ** i for i in range(9)]


def exchange_seconds(n_gpu: int, n_byte: float, bandwidth: float, latency: float) -> float:
    """Seconds of a ring all-reduce of ``n_byte`` bytes over ``n_gpu`` GPUs.

    The bandwidth is in bytes per second in one direction, and the latency in seconds per message.
    """
    return 2 * (n_gpu - 1) * (n_byte / n_gpu / bandwidth + latency)


def efficiency(n_gpu: int, compute: float, exchange: float, double_buffering: bool) -> float:
    """Images per second on ``n_gpu`` GPUs, over ``n_gpu`` times those on one GPU.

    ``compute`` and ``exchange`` are the seconds of the two parts of a step.
    """
    return compute / (max(compute, exchange) if double_buffering else compute + exchange)


def _efficiencies(n_parameter, compute):
    """The efficiency over each link, by number of GPUs."""
    table = {}
    for link, (bandwidth, latency, n_most) in LINKS.items():
        table[link] = []
        for n in [n for n in N_GPUS if n <= n_most]:
            exchange = exchange_seconds(n, 4 * n_parameter, bandwidth, latency)
            table[link].append({
                'gpus': n, 'exchange_seconds': exchange,
                'efficiency': efficiency(n, compute, exchange, False),
                'efficiency_double_buffering': efficiency(n, compute, exchange, True)})
    return table


def _plot(path, table):
    figure = Figure(figsize=(7, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel='GPUs', ylabel='efficiency', xscale='log', ylim=(0, 1.05),
                              title='SSD300, computed from stated bandwidths')
    for i, (link, rows) in enumerate(table.items()):
        for name, style in (('efficiency', '-'), ('efficiency_double_buffering', ':')):
            axes.plot([row['gpus'] for row in rows], [row[name] for row in rows], style,
                      color=f'C{i}', label=link if style == '-' else None)
    axes.set_xticks(N_GPUS, N_GPUS)
    axes.minorticks_off()
    axes.plot([], [], 'k:', label='with double buffering')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=90)


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__)
    parser.add_argument('--images-per-second', type=float, default=100, metavar='X',
                        help='speed of one GPU, an assumption; replace it by a measured speed')
    parser.add_argument('--batchsize', type=int, default=32, metavar='N', help='images per GPU')
    parser.add_argument('--out', type=Path, default=Path('result/scaling'), metavar='DIR',
                        help='folder of the results')
    args = parser.parse_args(argv)
    n_parameter = sum(p.size for p in make_detector('ssd300', 20).params())
    table = _efficiencies(n_parameter, args.batchsize / args.images_per_second)
    print(f'SSD300, {n_parameter:,} parameters in float32; {args.batchsize} images per GPU at '
          f'{args.images_per_second:g} images/s (assumed)\nefficiency, and with double buffering:')
    print(f'{"GPUs":>29}' + ''.join(f'{n:>11}' for n in N_GPUS))
    for link, rows in table.items():
        print(f'{link:>29}' + ''.join(
            f'  {row["efficiency"]:.2f}/{row["efficiency_double_buffering"]:.2f}' for row in rows))
    make_out(args.out)
    write_json(args.out / 'computed.json', {
        'computed_not_measured': True, 'n_parameter': n_parameter,
        'assumed_images_per_second': args.images_per_second, 'batchsize_of_a_gpu': args.batchsize,
        'efficiency': table})
    _plot(args.out / 'computed.png', table)


if __name__ == '__main__':
    with ending_together('experiments.scaling.model'):
        main()
