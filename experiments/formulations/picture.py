"""Pictures of one batch under each loss: the negatives mined, and the weights of all boxes."""
import textwrap
from pathlib import Path

from multibox.boxes.geometry import to_corners
from multibox.files import open_whole

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

N_ROW = 3  # of panels in the figure of weights
MANY = 1000  # boxes that would cover the image


def draw_mined(path: Path, imgs: np.ndarray, mined: dict[str, np.ndarray],
               default_bbox: np.ndarray) -> None:
    """Draw the image with the most disputed boxes, which some losses mine and others do not.

    Losses that mine the same boxes share a panel.

    Args:
        path: the PNG file.
        imgs: (B, 3, H, W) float32 array, RGB, 0 to 255.
        mined: {loss: (B, K) bool array}.
        default_bbox: (K, 4) float array (center_y, center_x, height, width) in pixels.

    Raises:
        UserError: the picture cannot be written.
    """
    masks = np.stack(list(mined.values()))  # (losses, B, K)
    disputed = masks.any(axis=0) & ~masks.all(axis=0)
    i = disputed.sum(axis=1).argmax()
    panels = {}
    for name, mask in mined.items():
        panels.setdefault(mask[i].tobytes(), (mask[i], []))[1].append(name)
    figure = Figure(figsize=(4.2 * len(panels), 4.9), layout='constrained')
    FigureCanvasAgg(figure)
    corners = to_corners(default_bbox)
    for n, (mask, names) in enumerate(panels.values()):
        axes = figure.add_subplot(1, len(panels), n + 1, xticks=[], yticks=[])
        drawn = mask & (mask.sum() <= MANY)
        title = f'{mask.sum()} negatives, ' + (
            f'{(mask & disputed[i]).sum()} of them disputed' if drawn.any() == mask.any()
            else 'too many to be drawn')
        axes.set_title(f'{textwrap.fill(", ".join(names), 60)}\n{title}', fontsize=8)
        axes.imshow(imgs[i].transpose(1, 2, 0).clip(0, 255).astype(np.uint8), alpha=0.6)
        for boxes, colour, width in ((drawn & ~disputed[i], 'black', 0.7),
                                     (drawn & disputed[i], 'crimson', 1.2)):
            axes.add_collection(PatchCollection(
                [Rectangle((x, y), right - x, bottom - y)
                 for y, x, bottom, right in corners[boxes]],
                facecolor='none', edgecolor=colour, linewidth=width))
        axes.set(xlim=(0, imgs.shape[3]), ylim=(imgs.shape[2], 0))
    figure.suptitle('black: mined by every loss; red: mined by some losses', fontsize=10)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=80)


def draw_weights(path: Path, weights: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw a panel per loss: the boxes that count, image by image, each as high as its weight.

    Within an image the positives come first, and then the negatives. All panels share the axis of
    weights, which are multiples of 1 / N for N positives of the batch.

    Args:
        path: the PNG file.
        weights: {loss: ((B, K) float weights, 0 for a box that does not count; (B, K) int labels)}.

    Raises:
        UserError: the picture cannot be written.
    """
    n_column = -(-len(weights) // N_ROW)
    figure = Figure(figsize=(2.9 * n_column, 1.9 * N_ROW), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(N_ROW, n_column, sharey=True).ravel()
    for axes, (name, (weight, labels)) in zip(panels, weights.items()):
        start, ends = 0, []
        for row, label in zip(weight * max(1, (labels > 0).sum()), labels):
            for mask, colour in ((label > 0, 'tab:green'), (label == 0, 'tab:red')):
                values = np.sort(row[mask & (row != 0)])[::-1]
                axes.fill_between([start, *range(start, start + len(values))],
                                  [*values[:1], *values], color=colour, linewidth=0)
                start += len(values)
            ends.append(start)
        axes.set(title=f'{name}, {start} boxes', xticks=[0, *ends], xticklabels=[],
                 xlim=(0, max(1, start)), yscale='log', ylim=(.001, 100))
    for axes in panels[len(weights):]:
        axes.set_axis_off()
    figure.supxlabel('boxes that count, image by image: positives green, negatives red')
    figure.supylabel('weight of the cross entropy, times N')
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=80)
