"""What the frameworks hold in another order than we do (README, "Data conventions")."""
import numpy as np

FIRST = 'extractor/conv1_1/W'
# VGG16's convolutions in order, in every framework under these names or without any.
VGG16 = tuple(f'conv{block}_{layer}' for block, n_layer in enumerate((2, 2, 3, 3, 3), start=1)
              for layer in range(1, n_layer + 1))


def swap_red_and_blue(arrays):
    """Make the first convolution of a network for BGR images, (out, 3, h, w), one for RGB."""
    if FIRST in arrays:
        arrays[FIRST] = np.ascontiguousarray(arrays[FIRST][:, ::-1])


def swap_x_and_y(arrays):
    """Order the rows of the location heads (dy, dx, dh, dw), where they are (dx, dy, dw, dh)."""
    for name, array in arrays.items():
        if name.startswith('multibox/loc/') and array.ndim and len(array) % 4 == 0:
            boxes = array.reshape(-1, 4, *array.shape[1:])
            arrays[name] = boxes[:, [1, 0, 3, 2]].reshape(array.shape)
