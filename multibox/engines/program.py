"""The set-up of a whole program: engine, precision, memory and cores."""
import os
from typing import Any

from multibox.devices import available_cores, use_cores
from multibox.engines import choice
from multibox.engines.memory import keep_freed_memory
from multibox.errors import UserError

import numpy as np


def set_up(device: Any, conv: str | None = None, precision: str = 'float32',
           spare_cores: int = 0) -> None:
    """Prepare this process to compute with the networks of this package.

    Args:
        device: a ``chainer.backend.Device``.
        conv: a key of :data:`multibox.engines.ENGINES`; None means the fastest on the device.
        precision: one of :data:`multibox.engines.PRECISIONS`, in which a GPU multiplies.
        spare_cores: cores that matrix products and convolutions leave to other work.

    Raises:
        UserError: there is no such engine, this machine cannot use it, or the precision does not
            fit the device or the engine.
    """
    on_gpu = device.xp is not np
    if not on_gpu and precision != 'float32':
        raise UserError(f'--precision {precision} is for GPUs; give --device 0, or leave it out '
                        '(bfloat16 on a CPU: --conv onednn-bf16)')
    if on_gpu:  # CuPy reads this before its first matrix product
        os.environ['CUPY_TF32'] = str(int(precision == 'tf32'))
    choice.choose_for_program(conv or choice.fastest(on_gpu), precision)
    keep_freed_memory()
    use_cores(available_cores() - spare_cores)
