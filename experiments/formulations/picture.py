"""Where the losses disagree: the negatives each mined on one image."""
from multibox.files import open_whole
from multibox.matching import to_corners

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw_mined(path, imgs, mined, default_bbox):
    """Draw the image of the batch on which most boxes are mined by some losses but not by all.

    Args:
        path: the PNG file to write.
        imgs: (B, 3, H, W) float32 array; see README "Data conventions".
        mined: {name of the loss: (B, K) bool array}. Losses that mine the same share a panel.
        default_bbox: (K, 4) float array.

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
        axes.set_title(f'{", ".join(names)}\n{mask.sum()} negatives, '
                       f'{(mask & disputed[i]).sum()} of them disputed', fontsize=9)
        axes.imshow(imgs[i].transpose(1, 2, 0).clip(0, 255).astype(np.uint8), alpha=0.6)
        for boxes, colour, width in ((mask & ~disputed[i], 'black', 0.7),
                                     (mask & disputed[i], 'crimson', 1.2)):
            axes.add_collection(PatchCollection(
                [Rectangle((x, y), right - x, bottom - y)
                 for y, x, bottom, right in corners[boxes]],
                facecolor='none', edgecolor=colour, linewidth=width))
        axes.set(xlim=(0, imgs.shape[3]), ylim=(imgs.shape[2], 0))
    figure.suptitle('mined by every loss in black, by some in red', fontsize=10)
    with open_whole(path) as file:
        figure.savefig(file, format='png', dpi=80)
