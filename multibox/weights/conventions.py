"""Conversions from the conventions of other frameworks to those of docs/conventions.md."""
import numpy as np

FIRST = 'extractor/conv1_1/W'
# The convolutions of VGG16 in order. Every framework uses these names, or none.
VGG16 = tuple(f'conv{block}_{layer}' for block, n_layer in enumerate((2, 2, 3, 3, 3), start=1)
              for layer in range(1, n_layer + 1))


def swap_red_and_blue(arrays: dict[str, np.ndarray]) -> None:
    """Turn the first convolution of a network for BGR images, (out, 3, h, w), into one for RGB."""
    if FIRST in arrays:
        arrays[FIRST] = np.ascontiguousarray(arrays[FIRST][:, ::-1])


def swap_x_and_y(arrays: dict[str, np.ndarray]) -> None:
    """Reorder the rows of the location heads from (dx, dy, dw, dh) to (dy, dx, dh, dw)."""
    for name, array in arrays.items():
        if name.startswith('multibox/loc/') and array.ndim and len(array) % 4 == 0:
            boxes = array.reshape(-1, 4, *array.shape[1:])
            arrays[name] = boxes[:, [1, 0, 3, 2]].reshape(array.shape)
