"""Photographs in the size of a network's input."""
from typing import NamedTuple

import cv2
import numpy as np


class Resized(NamedTuple):
    """A photograph of which only the network's input is kept.

    ``predict`` of the networks takes it in the place of an image.

    Attributes:
        pixels: (side, side, 3) float32 array, RGB, 0 to 255.
        shape: (3, H, W), the shape of the photograph.
    """
    pixels: np.ndarray
    shape: tuple[int, int, int]


def resize(img: np.ndarray, side: int) -> Resized:
    """Resize a photograph as ChainerCV does, to the bit.

    Args:
        img: (3, H, W) array, RGB, 0 to 255.
        side: side of the network's input in pixels.
    """
    pixels = img.transpose(1, 2, 0).astype(np.float32)
    return Resized(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR), img.shape)
