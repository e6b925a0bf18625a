"""The positions of the windows of convolution and pooling on the image, tap by tap."""
from collections.abc import Iterator


def windows(axis: tuple, outputs: slice, size: int) -> Iterator[tuple]:
    """Yield each kernel tap with the outputs it serves from inside the image, and their inputs.

    Both are slices; the slice of outputs counts from ``outputs.start``.
    """
    kernel, stride, pad, dilate = axis
    for tap in range(kernel):
        offset = tap * dilate - pad  # output o reads input o * stride + offset
        first = max(outputs.start, -(offset // stride))
        last = min(outputs.stop - 1, (size - 1 - offset) // stride)
        if first <= last:
            yield (tap, slice(first - outputs.start, last - outputs.start + 1),
                   slice(first * stride + offset, last * stride + offset + 1, stride))


def taps(axes: tuple, rows: slice, width: int, in_size: tuple) -> Iterator[tuple]:
    """Pair the outputs of each tap of the kernel with the inputs that the tap reads.

    Args:
        axes: (kernel, stride, pad, dilate) of the vertical and of the horizontal axis.
        rows: slice of output rows.
        width: number of output columns.
        in_size: (H, W) of the image.

    Yields:
        ``((i, j), out, in)``: the tap; indices into outputs (..., rows, width) and into images
        (..., H, W), of one shape. A tap that lies entirely in the padding is left out.
    """
    for i, out_y, in_y in windows(axes[0], rows, in_size[0]):
        for j, out_x, in_x in windows(axes[1], slice(0, width), in_size[1]):
            yield (i, j), (..., out_y, out_x), (..., in_y, in_x)
