"""Read .caffemodel files: SSD300 and SSD512 of SSD's authors, and their VGG16 (fc_reduced)."""
import functools
import re

from multibox.errors import UserError
from multibox.weights.conventions import swap_red_and_blue, swap_x_and_y

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

# What is needed of caffe.proto: name, number and type of fields; protobuf skips all others.
# Chainer's generated caffe_pb2 no longer imports under protobuf 4 and later.
FIELDS = {
    'BlobShape': {'dim': (1, 'int64*')},
    'BlobProto': {'num': (1, 'int32'), 'channels': (2, 'int32'), 'height': (3, 'int32'),
                  'width': (4, 'int32'), 'data': (5, 'float*'), 'shape': (7, 'BlobShape'),
                  'double_data': (8, 'double*')},
    'PriorBox': {'min_size': (1, 'float*'), 'max_size': (2, 'float*')},
    'Layer': {'name': (1, 'string'), 'blobs': (7, 'BlobProto*'), 'prior_box': (203, 'PriorBox')},
    'OldLayer': {'name': (4, 'string'), 'blobs': (6, 'BlobProto*')},
    'Net': {'old_layers': (2, 'OldLayer*'), 'layer': (100, 'Layer*')},
}
# Layers of the head by the layer they look at, in the order of our heads.
SOURCES = 'conv4_3_norm', 'fc7', *(f'conv{n}_2' for n in range(6, 11))


def read(path):
    """Weights of a .caffemodel by our names; a blob we have no name for keeps layer and index.

    Caffe's images are BGR minus (104, 117, 123) and its offsets x first; both are turned round. Its
    Normalize adds 1e-10 to the sum of squares, ours 1e-5 to the norm.

    Returns:
        {name: array}.

    Raises:
        UserError: no such file, or not a .caffemodel.
    """
    arrays = {}
    for layer in _layers(path):
        for index, blob in enumerate(layer.blobs):
            arrays[rename(layer.name, index)] = _array(blob, path, layer.name)
    swap_red_and_blue(arrays)
    swap_x_and_y(arrays)
    return arrays


def sizes(path):
    """Side lengths of the default boxes, if the file says: ``sizes`` of :func:`make_detector`.

    Those of SSD's authors for COCO differ from those for VOC, and Caffe's layer cuts fractions off.

    Returns:
        tuple of int; None in a file without PriorBox layers.

    Raises:
        UserError: boxes that one size for each grid and one more cannot give.
    """
    boxes = [layer.prior_box for layer in _layers(path)
             if 'prior_box' in layer.DESCRIPTOR.fields_by_name and layer.HasField('prior_box')]
    if not boxes:
        return None
    lows, highs = [[[int(size) for size in getattr(box, field)] for box in boxes]
                   for field in ('min_size', 'max_size')]
    if any(len(low) != 1 for low in lows) or lows[1:] != highs[:-1] or len(highs[-1]) != 1:
        raise UserError(f'{path}: default boxes of min_size {lows} and max_size {highs}, where '
                        'the max_size of each grid must be the min_size of the next')
    return tuple(low for low, in lows) + tuple(highs[-1])


def rename(layer, index):
    """Our name of a layer's blob: its weights are blob 0, its biases blob 1."""
    leaf = 'Wb'[index:index + 1]
    if layer == 'conv4_3_norm':
        return 'extractor/norm4/scale'
    if head := re.fullmatch(r'(\w+)_mbox_(loc|conf)', layer):
        if head[1] in SOURCES:
            return f'multibox/{head[2]}/{SOURCES.index(head[1])}/{leaf}'
    elif part := re.fullmatch(r'(conv|fc)(\d+)(_\d)?', layer):
        number = int(part[2])
        if part[1] == 'fc':  # VGG16's fully connected layers, made convolutions
            return f'extractor/conv{number}/{leaf}' if number < 8 else f'{layer}/{index}'
        # the paper's conv6_1 is our conv8_1, since fc6 and fc7 are conv6 and conv7
        return f'extractor/conv{number + 2 * (number > 5)}{part[3]}/{leaf}'
    return f'{layer}/{index}'


def _array(blob, path, name):
    data = np.fromiter(blob.data or blob.double_data, np.float32)
    shape = tuple(blob.shape.dim) if blob.HasField('shape') else (
        blob.num, blob.channels, blob.height, blob.width)
    if data.size != np.prod(shape):
        raise UserError(f'{path}: layer {name} holds {data.size} numbers where its shape is '
                        f'{shape}; the file is damaged')
    # a bias of old files is (1, 1, 1, out)
    return data if shape[:-1] == (1, 1, 1) else data.reshape(shape)


def _layers(path):
    net = _message_class()()
    try:
        with open(path, 'rb') as file:
            net.ParseFromString(file.read())
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror})') from None
    except message.DecodeError:
        raise UserError(f'{path}: not a readable .caffemodel file') from None
    if not net.layer and not net.old_layers:
        raise UserError(f'{path}: not a .caffemodel file, or one without layers')
    return [*net.old_layers, *net.layer]


@functools.lru_cache
def _message_class():
    file = descriptor_pb2.FileDescriptorProto(name='caffemodel', package='caffemodel')
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in FIELDS.items():
        described = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = described.field.add(name=field_name, number=number, label=(
                kinds.LABEL_REPEATED if kind.endswith('*') else kinds.LABEL_OPTIONAL))
            kind = kind.rstrip('*')
            if kind in FIELDS:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f'.caffemodel.{kind}'
            else:
                field.type = kinds.Type.Value(f'TYPE_{kind.upper()}')
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('caffemodel.Net'))
