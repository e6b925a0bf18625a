"""Read .caffemodel files: SSD300 and SSD512 of SSD's authors, and their VGG16 (fc_reduced)."""
import functools
import math
import pathlib
import re
from typing import Any

from multibox.archives import MAX_BYTES, MAX_DIMENSIONS, MAX_MEMBERS
from multibox.boxes.geometry import to_center, to_corners
from multibox.errors import UserError
from multibox.files import read_whole
from multibox.kinds import N_BYTE, kind
from multibox.weights.conventions import swap_red_and_blue, swap_x_and_y

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

# The fields of caffe.proto that are read: name, number, type, and the default unless it is zero.
# protobuf skips the others. Chainer's generated caffe_pb2 does not import under protobuf 4.
FIELDS = {
    'BlobShape': {'dim': (1, 'int64*')},
    'BlobProto': {'num': (1, 'int32'), 'channels': (2, 'int32'), 'height': (3, 'int32'),
                  'width': (4, 'int32'), 'data': (5, 'float*'), 'shape': (7, 'BlobShape'),
                  'double_data': (8, 'double*')},
    'PriorBox': {'min_size': (1, 'float*'), 'max_size': (2, 'float*'),
                 'aspect_ratio': (3, 'float*'), 'flip': (4, 'bool', 'true'), 'clip': (5, 'bool'),
                 'variance': (6, 'float*'), 'step': (10, 'float'), 'offset': (13, 'float', '0.5')},
    'Layer': {'name': (1, 'bytes'), 'blobs': (7, 'BlobProto*'), 'prior_box': (203, 'PriorBox')},
    'OldLayer': {'name': (4, 'bytes'), 'blobs': (6, 'BlobProto*')},
    'Net': {'old_layers': (2, 'OldLayer*'), 'layer': (100, 'Layer*')},
}
MAX_PRIORS = 100  # numbers in a list of a PriorBox layer
VARIANCE = 0.1, 0.1, 0.2, 0.2  # for x, y, width and height, in every network of SSD's authors
# The layers whose outputs the heads read, in the order of the feature maps.
SOURCES = 'conv4_3_norm', 'fc7', *(f'conv{n}_2' for n in range(6, 11))


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights of a .caffemodel, under the names of this project.

    A blob without a counterpart is named by its layer and index. Caffe takes images as BGR minus
    (104, 117, 123) and gives offsets with x first. The returned weights are converted to RGB and to
    y first. Caffe's Normalize adds 1e-10 to the sum of squares; this project adds 1e-5 to the norm.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: there is no such file, or it is not a .caffemodel.
    """
    arrays = {}
    for layer in _layers(path):
        name = layer.name.decode(errors='replace')
        for index, blob in enumerate(layer.blobs):
            arrays[rename(name, index)] = _array(blob, path, name)
    swap_red_and_blue(arrays)
    swap_x_and_y(arrays)
    return arrays


def default_bbox(path: str | pathlib.Path, model: Any) -> np.ndarray:
    """Compute the default boxes of a .caffemodel as Caffe's prior_box_layer.cpp does.

    Args:
        path: the file.
        model: a network of :func:`multibox.networks.make_detector` that the weights fit.

    Returns:
        (K, 4) float64, see docs/conventions.md; the boxes of the network if the file has no
        PriorBox layers.

    Raises:
        UserError: the variances differ from :data:`VARIANCE`, the number of boxes differs from
            that of the network, or a number is not above zero.
    """
    priors = [layer.prior_box for layer in _layers(path)
              if 'prior_box' in layer.DESCRIPTOR.fields_by_name and layer.HasField('prior_box')]
    if not priors:
        return model.coder.default_bbox
    boxes = np.concatenate([_boxes(prior, path, model.insize, grid)
                            for prior, grid in zip(priors, model.extractor.grids)])
    if len(priors) != len(model.extractor.grids) or boxes.shape != model.coder.default_bbox.shape:
        raise UserError(f'{path}: {len(priors)} PriorBox layers give {len(boxes)} default boxes, '
                        f'and the heads have {len(model.coder.default_bbox)}; is --model right?')
    return boxes


def _boxes(prior, path, insize, grid):
    if not np.array_equal(prior.variance, np.array(VARIANCE, np.float32)):
        raise UserError(f'{path}: its default boxes have the variances {list(prior.variance)}; '
                        f'only {VARIANCE} can be converted')
    numbers = *prior.min_size, *prior.max_size, *prior.aspect_ratio
    if len(numbers) > MAX_PRIORS or not all(0 < number < math.inf for number in numbers):
        raise UserError(f'{path}: the sizes and ratios of its default boxes must be up to '
                        f'{MAX_PRIORS} numbers above 0, got {str([*numbers[:9]])[1:-1]}; the file '
                        'is damaged, so give another copy of it')
    ratios = [1.]
    for ratio in prior.aspect_ratio:
        if min(abs(ratio - other) for other in ratios) > 1e-6:
            ratios += [ratio, 1 / ratio] if prior.flip else [ratio]
    shapes = []
    for i, low in enumerate(map(int, prior.min_size)):  # Caffe cuts off fractions, too
        shapes.append((low, low))
        shapes += [(math.sqrt(low * int(high)),) * 2 for high in prior.max_size[i:i + 1]]
        shapes += [(low / math.sqrt(ratio), low * math.sqrt(ratio)) for ratio in ratios[1:]]
    centres = (np.arange(grid) + prior.offset) * (prior.step or insize / grid)
    boxes = np.array([(y, x, *shape) for y in centres for x in centres for shape in shapes],
                     float).reshape(-1, 4)  # also without a size
    return to_center(to_corners(boxes).clip(0, insize)) if prior.clip else boxes


def rename(layer: str, index: int) -> str:
    """The name of a blob in this project; weights are blob 0 of a layer, and biases are blob 1."""
    leaf = 'Wb'[index:index + 1]
    if layer == 'conv4_3_norm':
        return 'extractor/norm4/scale'
    if head := re.fullmatch(r'(\w+)_mbox_(loc|conf)', layer):
        if head[1] in SOURCES:
            return f'multibox/{head[2]}/{SOURCES.index(head[1])}/{leaf}'
    elif layer in ('fc6', 'fc7'):  # the fully connected layers of VGG16, as convolutions
        return f'extractor/conv{layer[2]}/{leaf}'
    elif part := re.fullmatch(r'conv(\d+)(_\d)', layer):
        # conv6_1 becomes conv8_1, because this project names fc6 and fc7 conv6 and conv7.
        number = int(part[1])
        return f'extractor/conv{number + 2 * (number > 5)}{part[2]}/{leaf}'
    return f'{layer}/{index}'


def _array(blob, path, name):
    with np.errstate(over='ignore'):
        data = np.array(blob.data or blob.double_data, float).astype(np.float32)
    shape = tuple(blob.shape.dim) if blob.HasField('shape') else (
        blob.num, blob.channels, blob.height, blob.width)
    if data.size != math.prod(shape) or min(shape, default=0) < 0 or len(shape) > MAX_DIMENSIONS:
        raise UserError(f'{path}: layer {name} holds {data.size} numbers where its shape is '
                        f'{shape[:MAX_DIMENSIONS]}; the file is damaged')
    # In old files a bias has the shape (1, 1, 1, out).
    return data if shape[:-1] == (1, 1, 1) else data.reshape(shape)


def _layers(path):
    net, content = _message_class()(), read_whole(path, MAX_BYTES)
    known = kind(content[:N_BYTE])
    reason = f' ({known})' * bool(known)
    try:
        net.ParseFromString(content)
    except message.DecodeError:
        raise UserError(f'{path}: not a readable .caffemodel file{reason}; give another copy of it'
                        ) from None
    n_layer = len(net.layer) + len(net.old_layers)
    if not 0 < n_layer <= MAX_MEMBERS:
        raise UserError(f'{path}: not a .caffemodel file, or one '
                        f'{"with too many" if n_layer else "without"} layers{reason}; give another '
                        'copy of it')
    return [*net.old_layers, *net.layer]


@functools.lru_cache
def _message_class():
    file = descriptor_pb2.FileDescriptorProto(name='caffemodel', package='caffemodel')
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in FIELDS.items():
        described = file.message_type.add(name=name)
        for field_name, (number, type_name, *default) in fields.items():
            field = described.field.add(name=field_name, number=number, label=(
                kinds.LABEL_REPEATED if type_name.endswith('*') else kinds.LABEL_OPTIONAL))
            if default:
                field.default_value, = default
            type_name = type_name.rstrip('*')
            if type_name in FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f'.caffemodel.{type_name}'
            else:
                field.type = kinds.Type.Value(f'TYPE_{type_name.upper()}')
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('caffemodel.Net'))
