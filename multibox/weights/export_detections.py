"""The ONNX nodes around an exported network that make it a function from photographs to boxes.

The nodes before the network resize the photographs and subtract the mean. The nodes behind it
decode the offsets, take the softmax of the logits and suppress within each class. They compute in
float32 the detections of the network's ``predict``.
"""
import json
from typing import Any

import chainer
import numpy as np


def add_detections(onnx_model: Any, model: Any, label_names: tuple) -> None:
    """Replace the input and the outputs of an exported network by photographs and detections.

    The input ``images`` then is (B, 3, H, W) float32, RGB from 0 to 255, of any size. The outputs
    describe the N detections of all images together, in the order of the images, then of the
    classes, then of falling scores:

    - ``boxes``, (N, 4) float32: y_min, x_min, y_max, x_max as shares of the image's height and
      width. A box may reach beyond the image, as those of ``predict`` do.
    - ``labels``, (N,) int64: classes from 0.
    - ``scores``, (N,) float32: probabilities.
    - ``image_index``, (N,) int64: the image of the detection within the batch.

    ``score_thresh`` and ``nms_thresh`` of the network become constants. The metadata name them,
    beside ``label_names``, as JSON.

    Args:
        onnx_model: an ``onnx.ModelProto`` of :func:`multibox.weights.export.to_onnx`, which is
            changed.
        model: the network on the host.
        label_names: class names in the order of the labels.
    """
    import onnx
    graph = onnx_model.graph
    for node in graph.node:
        node.input[:] = ['prepared' if name == 'images' else name for name in node.input]
    nodes = [*_nodes_before(), *graph.node, *_nodes_behind()]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name)
                             for name, value in _constants(model).items())
    array, float32, int64 = (
        onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64)
    graph.input.append(array('images', float32, ['B', 3, 'H', 'W']))
    graph.output.extend([array('boxes', float32, ['N', 4]), array('labels', int64, ['N']),
                         array('scores', float32, ['N']), array('image_index', int64, ['N'])])
    metadata = {'label_names': list(label_names), 'score_threshold': model.score_thresh,
                'nms_threshold': model.nms_thresh, 'images': 'RGB, 0 to 255, of any size',
                'boxes': 'y_min, x_min, y_max, x_max as shares of the height and width'}
    onnx.helper.set_model_props(
        onnx_model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(onnx_model)


def _nodes_before():
    """From images of any size to the input of the network, resized as by OpenCV's INTER_LINEAR."""
    from onnx.helper import make_node as node
    return [
        node('Shape', ['images'], ['shape']),
        node('Slice', ['shape', 'zero', 'two'], ['batch_and_channels']),
        node('Concat', ['batch_and_channels', 'insize'], ['sizes'], axis=0),
        node('Resize', ['images', 'none', 'none', 'sizes'], ['resized'], mode='linear',
             coordinate_transformation_mode='half_pixel'),
        node('Sub', ['resized', 'mean'], ['prepared'])]


def _nodes_behind():
    from onnx.helper import make_node as node
    return [
        # As multibox.boxes.offsets.decode: (B, K, 4) offsets to (B, K, 4) corners in pixels.
        node('Split', ['mb_locs'], ['shift', 'growth'], axis=2, split=[2, 2]),
        node('Mul', ['shift', 'shift_unit'], ['shift_in_pixels']),
        node('Add', ['shift_in_pixels', 'default_centre'], ['centre']),
        node('Mul', ['growth', 'growth_unit'], ['log_growth']),
        node('Exp', ['log_growth'], ['factor']),
        node('Mul', ['factor', 'default_size'], ['size']),
        node('Mul', ['size', 'half'], ['half_size']),
        node('Sub', ['centre', 'half_size'], ['lowest']),
        node('Add', ['lowest', 'size'], ['highest']),
        node('Concat', ['lowest', 'highest'], ['corners'], axis=2),
        # (B, K, C) logits to (B, C - 1, K) probabilities.
        node('Softmax', ['mb_confs'], ['probability'], axis=2),
        node('Transpose', ['probability'], ['probability_by_class'], perm=[0, 2, 1]),
        node('Slice', ['probability_by_class', 'one', 'last', 'one'], ['class_scores']),
        # (N, 3): image, class and default box of each detection.
        node('NonMaxSuppression', ['corners', 'class_scores', 'max_boxes', 'below_nms_thresh',
                                   'below_score_thresh'], ['selected']),
        node('Gather', ['selected', 'image_and_box'], ['selected_box'], axis=1),
        node('GatherND', ['corners', 'selected_box'], ['boxes_in_pixels']),
        node('Div', ['boxes_in_pixels', 'side'], ['boxes']),
        node('GatherND', ['class_scores', 'selected'], ['scores']),
        node('Gather', ['selected', 'second'], ['labels'], axis=1),
        node('Gather', ['selected', 'first'], ['image_index'], axis=1)]


def _constants(model):
    default_bbox = chainer.backends.cuda.to_cpu(model.coder.default_bbox)
    centre, size = default_bbox[:, :2], default_bbox[:, 2:]
    v_centre, v_size = model.coder.variance
    floats = {'none': [], 'mean': np.reshape(model.mean, (1, 3, 1, 1)),
              'default_centre': centre, 'default_size': size, 'shift_unit': v_centre * size,
              'growth_unit': v_size, 'half': 0.5, 'side': model.insize,
              'below_nms_thresh': [_below(model.nms_thresh)],
              'below_score_thresh': [_below(model.score_thresh)]}
    integers = {'zero': [0], 'one': [1], 'two': [2], 'last': [np.iinfo(np.int64).max],
                'insize': [model.insize] * 2, 'max_boxes': [len(default_bbox)],
                'image_and_box': [0, 2], 'first': 0, 'second': 1}
    return {**{name: np.array(value, np.float32) for name, value in floats.items()},
            **{name: np.array(value, np.int64) for name, value in integers.items()}}


def _below(threshold):
    """The next lower float32: ONNX tests ``x > threshold``, and ``predict`` ``x >= threshold``."""
    return np.nextafter(np.float32(threshold), np.float32(-1))
