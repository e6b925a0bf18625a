"""An SSD with random weights as Caffe's two files, deploy.prototxt and .caffemodel.

The files are written byte by byte, without Caffe.
"""
import struct

import numpy as np


def varint(n):
    """Protobuf's varint: seven bits per byte, lowest first. The eighth bit: more bytes follow."""
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)


def field(number, payload):
    """Field of a protobuf message: a whole number as a varint, or bytes after their length."""
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(array, old=False):
    """A BlobProto: field 7 is its shape and field 5 its packed floats.

    Old blobs have the fields num 1, channels 2, height 3 and width 4 instead of a shape.
    """
    if old:
        shape = b''.join(field(4 - i, n) for i, n in enumerate(reversed(array.shape)))
        shape = b''.join(field(i, 1) for i in range(1, 5 - array.ndim)) + shape
    else:
        shape = field(7, field(1, b''.join(map(varint, array.shape))))
    return shape + field(5, array.astype('<f4').tobytes())


def layer(name, kind, *arrays, prior_box=None):
    """A layer of a NetParameter. Fields: name 1, type 2, blobs 7, prior_box_param 203."""
    message = field(1, name.encode()) + field(2, kind.encode())
    message += b''.join(field(7, blob(array)) for array in arrays)
    if prior_box is not None:
        message += field(203, prior_box_param(prior_box))
    return field(100, message)


PRIOR_BOX = {'min_size': 1, 'max_size': 2, 'aspect_ratio': 3, 'flip': 4, 'clip': 5, 'variance': 6,
             'step': 10, 'offset': 13}
VARIANCE = .1, .1, .2, .2


def prior_box_param(settings):
    """A PriorBoxParameter: booleans are varints, other values are 32-bit floats, not packed."""
    message = b''
    for name, value in settings.items():
        for element in value if isinstance(value, tuple) else (value,):
            number = PRIOR_BOX[name]
            message += field(number, int(element)) if isinstance(element, bool) else (
                varint(number << 3 | 5) + struct.pack('<f', element))
    return message


def old_layer(name, *arrays):
    """A layer as Caffe wrote it until 2014. Fields: name 4, type 5, blobs 6."""
    blobs = b''.join(field(6, blob(array, old=True)) for array in arrays)
    return field(2, field(4, name.encode()) + field(5, 4) + blobs)


class SSD:
    """SSD300 or SSD512 with the layer names of SSD's authors.

    The attribute ``text`` is deploy.prototxt. The attribute ``caffemodel`` holds the weights.

    Args:
        insize: side of the image in pixels, 300 or 512.
        sizes: sizes of the default boxes in pixels, one more than there are source layers.
        n_class: number of classes, including the background.
        seed: seed of the weights.
    """

    def __init__(self, insize, sizes, n_class, seed=0):
        self.rng = np.random.default_rng(seed)
        self.text = f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {insize} dim: {insize} }}\n'
        self.channels = {'data': 3}
        self.layers = []
        self._vgg()
        extras = [(6, 512, 3, 1, 2), (7, 256, 3, 1, 2), (8, 256, 3, 0, 1), (9, 256, 3, 0, 1)]
        steps = [8, 16, 32, 64, 100, 300]
        if insize == 512:
            extras[2:] = (8, 256, 3, 1, 2), (9, 256, 3, 1, 2), (10, 256, 4, 1, 1)
            steps = [8, 16, 32, 64, 128, 256, 512]
        x, sources = 'fc7', ['conv4_3_norm', 'fc7']
        for n, n_out, kernel, pad, stride in extras:
            self._conv(f'conv{n}_1', x, n_out // 2, 1, 0)
            x = self._conv(f'conv{n}_2', f'conv{n}_1', n_out, kernel, pad, stride)
            sources.append(x)
        for i, source in enumerate(sources):
            ratios = (2, 3) if 0 < i < len(sources) - 2 else (2,)
            n_box = 2 + 2 * len(ratios)
            self._head(f'{source}_mbox_loc', source, 4 * n_box)
            self._head(f'{source}_mbox_conf', source, n_class * n_box)
            self._prior_box(source, sizes[i:i + 2], ratios, steps[i])
        for head, axis in (('loc_flat', 1), ('conf_flat', 1), ('priorbox', 2)):
            bottoms = [f'{source}_mbox_{head}' for source in sources]
            self._add(f'mbox_{head[:-5] if axis == 1 else head}', 'Concat', bottoms,
                      f'concat_param {{ axis: {axis} }}')

        self.caffemodel = b''.join(self.layers)

    def _vgg(self):
        x = 'data'
        for block, (n_layer, n_out) in enumerate(
                ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
            for n in range(1, n_layer + 1):
                x = self._conv(f'conv{block}_{n}', x, n_out, 3, 1)
            if block == 4:
                scale = self.rng.uniform(10, 30, 512).astype('f')
                self._add('conv4_3_norm', 'Normalize', [x], 'norm_param { across_spatial: false '
                          'channel_shared: false }', scale)
            kernel, stride, pad = (3, 1, 1) if block == 5 else (2, 2, 0)
            x = self._add(f'pool{block}', 'Pooling', [x], f'pooling_param {{ pool: MAX kernel_size:'
                          f' {kernel} stride: {stride} pad: {pad} }}')
        self._conv('fc6', x, 1024, 3, 6, dilation=6)
        self._conv('fc7', 'fc6', 1024, 1, 0)

    def _add(self, name, kind, bottoms, text='', *arrays, prior_box=None):
        self.text += (f'layer {{ name: "{name}" type: "{kind}" top: "{name}" '
                      + ' '.join(f'bottom: "{bottom}"' for bottom in bottoms) + f' {text} }}\n')
        self.layers.append(layer(name, kind, *arrays, prior_box=prior_box))
        self.channels[name] = self.channels.get(bottoms[0])
        return name

    def _conv(self, name, x, n_out, kernel, pad, stride=1, dilation=1, relu=True):
        n_in = self.channels[x]
        scale = (2 / n_in) ** .5 / kernel / (70 if x == 'data' else 1)  # outputs of order 1
        W = self.rng.standard_normal((n_out, n_in, kernel, kernel), 'f') * np.float32(scale)
        b = self.rng.standard_normal(n_out, 'f') / 10
        self._add(name, 'Convolution', [x], f'convolution_param {{ num_output: {n_out} kernel_size:'
                  f' {kernel} pad: {pad} stride: {stride} dilation: {dilation} }}', W, b)
        self.channels[name] = n_out
        if relu:
            self.text += (f'layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" '
                          f'top: "{name}" }}\n')
        return name

    def _head(self, name, source, n_out):
        self._conv(name, source, n_out, 3, 1, relu=False)
        self._add(f'{name}_perm', 'Permute', [name],
                  'permute_param { order: 0 order: 2 order: 3 order: 1 }')
        self._add(f'{name}_flat', 'Flatten', [f'{name}_perm'], 'flatten_param { axis: 1 }')

    def _prior_box(self, source, sizes, ratios, step):
        settings = {'min_size': sizes[0], 'max_size': sizes[1], 'aspect_ratio': ratios,
                    'flip': True, 'clip': False, 'step': step, 'offset': .5, 'variance': VARIANCE}
        self._add(f'{source}_mbox_priorbox', 'PriorBox', [source, 'data'],
                  f'prior_box_param {{ {prototxt(settings)} }}', prior_box=settings)


def prototxt(settings):
    """Settings in the syntax of a prototxt. A tuple becomes one field per element."""
    return ' '.join(f'{name}: {str(element).lower()}' for name, value in settings.items()
                    for element in (value if isinstance(value, tuple) else (value,)))
