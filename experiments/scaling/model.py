"""How SSD300 would scale over 1 to 256 GPUs, computed from stated bandwidths; nothing is measured.

    python -m experiments.scaling.model

A step takes the time of its images, whatever the number of GPUs, and the time of the gradients in a
ring: each GPU sends and receives 2 (N - 1) / N of them over the slowest link in 2 (N - 1) messages.
Double buffering hides the shorter of the two behind the longer.
"""
import argparse
import pathlib

from multibox.detectors import make_detector
from multibox.files import open_whole, write_json

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Bytes a second in one direction, nominal; seconds of a message, assumed; GPUs it can connect.
LINKS = {
    'NVLink 4, 450 GB/s': (450e9, 5e-6, 8),
    'PCIe 4.0 x16, 32 GB/s': (32e9, 10e-6, 8),
    'InfiniBand HDR, 25 GB/s': (25e9, 10e-6, 256),
    '10 Gbit Ethernet, 1.25 GB/s': (1.25e9, 50e-6, 256),
}
N_GPUS = [2 ** i for i in range(9)]


def exchange_seconds(n_gpu, n_byte, bandwidth, latency):
    """Seconds of a ring all-reduce of ``n_byte`` bytes over ``n_gpu`` GPUs."""
    return 2 * (n_gpu - 1) * (n_byte / n_gpu / bandwidth + latency)


def efficiency(n_gpu, compute, exchange, double_buffering):
    """Images a second on ``n_gpu`` GPUs over ``n_gpu`` times those on one."""
    return compute / (max(compute, exchange) if double_buffering else compute + exchange)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images-per-second', type=float, default=100,
                        help='of one GPU, an assumption: replace it by a measured one (100)')
    parser.add_argument('--batchsize', type=int, default=32, help='images of one GPU (32)')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('result/scaling'),
                        metavar='DIR', help='(result/scaling)')
    args = parser.parse_args()
    n_parameter = sum(p.size for p in make_detector('ssd300', 20).params())
    compute = args.batchsize / args.images_per_second
    print(f'SSD300, {n_parameter:,} parameters in float32; {args.batchsize} images a GPU at '
          f'{args.images_per_second:g} images/s (assumed)\nefficiency, and with double buffering:')
    print(f'{"GPUs":>29}' + ''.join(f'{n:>11}' for n in N_GPUS))
    table = {}
    for link, (bandwidth, latency, n_most) in LINKS.items():
        table[link] = []
        for n in [n for n in N_GPUS if n <= n_most]:
            exchange = exchange_seconds(n, 4 * n_parameter, bandwidth, latency)
            table[link].append({
                'gpus': n, 'exchange_seconds': exchange,
                'efficiency': efficiency(n, compute, exchange, False),
                'efficiency_double_buffering': efficiency(n, compute, exchange, True)})
        print(f'{link:>29}' + ''.join(
            f'  {row["efficiency"]:.2f}/{row["efficiency_double_buffering"]:.2f}'
            for row in table[link]))
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / 'computed.json', {
        'computed_not_measured': True, 'n_parameter': n_parameter,
        'assumed_images_per_second': args.images_per_second, 'batchsize_of_a_gpu': args.batchsize,
        'efficiency': table})
    draw(args.out / 'computed.png', table)


def draw(path, table):
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


if __name__ == '__main__':
    main()
