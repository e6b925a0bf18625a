"""The device a run uses, from Chainer's specifier on the command line."""
from multibox.errors import UserError

import chainer
from chainer.backends import cuda


def select_device(name):
    """Find a device and make it the current one.

    Args:
        name: -1 or '@numpy' for the CPU, a GPU's number such as 0, or '@cupy:0'.

    Returns:
        A ``chainer.backend.Device``.

    Raises:
        UserError: not a device, no CuPy, or no such GPU.
    """
    name = {'-1': '@numpy'}.get(name, f'@cupy:{name}' if name.isdigit() else name)
    if name.startswith('@cupy') and not cuda.available:
        raise UserError(f'--device {name}: CuPy finds no GPU here ({_reason()}); use --device -1, '
                        'or see "GPUs" in the README')
    try:
        device = chainer.get_device(name)
        device.use()
    except Exception as error:  # CUDA's own errors have no common class
        raise UserError(f'--device {name}: {error}; give -1, 0, @numpy or @cupy:0') from None
    return device


def _reason():
    try:
        import cupy
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return error
    return 'no reason given'
