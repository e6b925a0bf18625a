"""Where the windows of convolution and pooling lie on the image, tap by tap."""


def windows(axis, outputs, size):
    """Yield each kernel tap with the outputs it serves from inside the image, and their inputs.

    Both are slices; the one of outputs counts from ``outputs.start``.
    """
    kernel, stride, pad, dilate = axis
    for tap in range(kernel):
        offset = tap * dilate - pad  # output o reads input o * stride + offset
        first = max(outputs.start, -(offset // stride))
        last = min(outputs.stop - 1, (size - 1 - offset) // stride)
        if first <= last:
            yield (tap, slice(first - outputs.start, last - outputs.start + 1),
                   slice(first * stride + offset, last * stride + offset + 1, stride))


def taps(axes, rows, width, in_size):
    """Pair what each tap of the kernel contributes to with what it reads.

    Args:
        axes: (kernel, stride, pad, dilate) of the vertical and of the horizontal axis.
        rows: slice of output rows.
        width: number of output columns.
        in_size: (H, W) of the image.

    Yields:
        ``((i, j), out, in)``: the tap; indices of outputs (..., rows, width) and of images
        (..., H, W), of one shape. Taps that lie in the padding throughout are left out.
    """
    for i, out_y, in_y in windows(axes[0], rows, in_size[0]):
        for j, out_x, in_x in windows(axes[1], slice(0, width), in_size[1]):
            yield (i, j), (..., out_y, out_x), (..., in_y, in_x)
