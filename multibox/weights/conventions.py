"""Conversions from the conventions of other frameworks to those of docs/conventions.md."""
import numpy as np

FIRST_WEIGHTS = 'extractor/conv1_1/W'
# The convolutions of VGG16 in order. The other frameworks use these names, or only numbers.
VGG16 = tuple(f'conv{block}_{layer}' for block, n_layer in enumerate((2, 2, 3, 3, 3), start=1)
              for layer in range(1, n_layer + 1))


def swap_red_and_blue(arrays: dict[str, np.ndarray]) -> None:
    """Convert the first weights of a network, (out, 3, h, w), from BGR images to RGB, in place."""
    if FIRST_WEIGHTS in arrays and arrays[FIRST_WEIGHTS].ndim == 4:
        arrays[FIRST_WEIGHTS] = np.ascontiguousarray(arrays[FIRST_WEIGHTS][:, ::-1])


def swap_x_and_y(arrays: dict[str, np.ndarray]) -> None:
    """Reorder the location heads from (dx, dy, dw, dh) to (dy, dx, dh, dw), in place."""
    for name, array in arrays.items():
        if name.startswith('multibox/loc/') and array.ndim and array.size and len(array) % 4 == 0:
            boxes = array.reshape(-1, 4, *array.shape[1:])
            arrays[name] = boxes[:, [1, 0, 3, 2]].reshape(array.shape)
