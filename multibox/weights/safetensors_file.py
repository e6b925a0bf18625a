"""Read .safetensors files."""
import pathlib

from multibox.errors import UserError
from multibox.files import reading
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
        {name: float32 array}.

    Raises:
        UserError: there is no such file, it is damaged, or a tensor has a type that NumPy lacks,
            such as float8.
    """
    from safetensors import SafetensorError, deserialize  # not needed by any other file
    try:
        with reading(path):
            tensors = deserialize(pathlib.Path(path).read_bytes())
    except SafetensorError:  # its message can hold parts of the file
        raise UserError(f'{path}: not a readable .safetensors file; download it again, or write it '
                        'with safetensors.torch.save_file') from None
    for name, tensor in tensors:
        if len(tensor['shape']) > MAX_DIMENSIONS:
            raise UserError(f'{path}: {shown(name)} has {len(tensor["shape"])} dimensions; it is '
                            'no weight of a network')
        if tensor['dtype'] not in TYPES:
            raise UserError(f'{path}: {shown(name)} is of the type {tensor["dtype"]}, which is not '
                            'read; convert it to float32 first')
    return {name: to_float32(
        np.frombuffer(tensor['data'], TYPES[tensor['dtype']]).reshape(tensor['shape']),
        tensor['dtype'] == 'BF16') for name, tensor in tensors}
