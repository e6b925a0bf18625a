"""Read .safetensors files."""
import pathlib

from multibox.archives import MAX_BYTES
from multibox.errors import UserError
from multibox.files import read_whole
from multibox.kinds import N_BYTE, kind
from multibox.weights.checkpoints import shown
from multibox.weights.pickles import MAX_DIMENSIONS
from multibox.weights.torch_files import to_float32

import numpy as np

# The types that are read, as types of NumPy. NumPy has no bfloat16, so BF16 is read as bits.
TYPES = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': '<u2', 'I64': '<i8', 'I32': '<i4',
         'I16': '<i2', 'I8': 'i1', 'U64': '<u8', 'U32': '<u4', 'U16': '<u2', 'U8': 'u1',
         'BOOL': 'u1'}


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read all tensors of a .safetensors file.

    Returns:
        {name: array} of float32, or of integers.

    Raises:
        UserError: there is no such file, it is damaged, or a tensor has a type that NumPy lacks,
            such as float8.
    """
    from safetensors import SafetensorError, deserialize  # not needed by any other file
    content = read_whole(path, MAX_BYTES)
    try:
        tensors = deserialize(content)
    except SafetensorError:  # its message can hold parts of the file
        known = kind(content[:N_BYTE])
        raise UserError(f'{path}: not a readable .safetensors file{f" ({known})" * bool(known)}; '
                        'download it again, or write it with safetensors.torch.save_file') from None
    for name, tensor in tensors:
        if len(tensor['shape']) > MAX_DIMENSIONS:
            raise UserError(f'{path}: {shown(name)} has {len(tensor["shape"])} dimensions; it is '
                            'no weight of a network')
        if tensor['dtype'] not in TYPES:
            raise UserError(f'{path}: {shown(name)} is of the type {tensor["dtype"]}, which is not '
                            'read; convert it to float32 first')
    try:
        return {name: to_float32(
            np.frombuffer(tensor['data'], TYPES[tensor['dtype']]).reshape(tensor['shape']),
            tensor['dtype'] == 'BF16') for name, tensor in tensors}
    except ValueError:  # without a number in it, a tensor can have sides of any length
        raise UserError(f'{path}: a tensor has too large a shape; it is no weight of a network'
                        ) from None
