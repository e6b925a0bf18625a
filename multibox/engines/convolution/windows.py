"""The positions of the windows of convolution and pooling on the image, tap by tap."""
from collections.abc import Iterator


def windows(axis: tuple, outputs: slice, size: int) -> Iterator[tuple]:
    """Pair outputs with the inputs that each tap of the kernel reads, along one axis.

    Args:
        axis: (kernel, stride, pad, dilate).
        outputs: slice of outputs.
        size: number of inputs.

    Yields:
        ``(tap, out, in)``: the number of the tap, a slice of outputs, which counts from
        ``outputs.start``, and a slice of inputs. A tap that reads only padding is left out.
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
    """Pair outputs with the inputs that each tap of the kernel reads, along both axes.

    Args:
        axes: (kernel, stride, pad, dilate) of the vertical and of the horizontal axis.
        rows: slice of output rows.
        width: number of output columns.
        in_size: (H, W) of the image.

    Yields:
        ``((i, j), out, in)``: the tap, an index into outputs (..., rows, width), and an index into
        images (..., H, W); both select one shape. A tap that reads only padding is left out.
    """
    for i, out_y, in_y in windows(axes[0], rows, in_size[0]):
        for j, out_x, in_x in windows(axes[1], slice(0, width), in_size[1]):
            yield (i, j), (..., out_y, out_x), (..., in_y, in_x)
