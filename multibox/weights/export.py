"""Export of a network to ONNX, up to its raw outputs. This code runs the file and decodes them:

    session = onnxruntime.InferenceSession('model.onnx')
    metadata = session.get_modelmeta().custom_metadata_map
    boxes, mean, (v_centre, v_size), names = [np.array(json.loads(metadata[key])) for key in (
        'default_bbox', 'mean', 'variance', 'label_names')]
    images = (rgb - mean[:, None, None]).astype('float32')[None]      # rgb: (3, insize, insize)
    mb_locs, mb_confs = session.run(None, {'images': images})
    centre = boxes[:, :2] + mb_locs[0][:, :2] * v_centre * boxes[:, 2:]     # y, x
    size = boxes[:, 2:] * np.exp(mb_locs[0][:, 2:] * v_size)                # height, width
    corners = np.hstack((centre - size / 2, centre + size / 2))             # in (insize, insize)
    scores = softmax(mb_confs[0])[:, 1:]                                    # (K, classes)

It leaves out two steps: a threshold on the scores, and suppression within each class. A file of
``--detections`` holds all steps, from the photograph to the boxes:
:mod:`multibox.weights.export_detections` describes its input and its outputs.
"""
import json
import pathlib
import warnings
from typing import Any

from multibox import engines
from multibox.engines.convolution.graphs import padding_after
from multibox.errors import UserError
from multibox.files import open_whole
from multibox.weights.export_detections import add_detections
from multibox.weights.model_file import load_model

import chainer
import numpy as np

OPSET = 11  # the newest that onnx_chainer writes


def export(path: str | pathlib.Path, out: pathlib.Path, detections: bool = False,
           score: float | None = None) -> str:
    """Write a model.npz as ONNX, with the input ``images`` and outputs ``mb_locs``, ``mb_confs``.

    Shapes and conventions are those of :func:`multibox.networks.make_detector`, for any number of
    images. The metadata hold ``label_names``, ``mean`` (RGB), ``default_bbox`` and ``variance`` as
    JSON.

    Args:
        path: a model.npz.
        out: the .onnx file to write.
        detections: whether the file takes photographs and gives boxes, with the input, the outputs
            and the metadata of :func:`multibox.weights.export_detections.add_detections`.
        score: the lowest score of a detection; None for the threshold of the weights.

    Returns:
        A sentence that describes the file.

    Raises:
        UserError: onnx is missing, the model cannot be read, or the file cannot be written.
    """
    if out.suffix != '.onnx':
        raise UserError(f'--out {out}: must end in .onnx; give another name')
    model, name, label_names = load_model(path)
    onnx_model = to_onnx(model, label_names)
    if detections:
        model.score_thresh = model.score_thresh if score is None else score
        add_detections(onnx_model, model, label_names)
    with open_whole(out) as file:
        file.write(onnx_model.SerializeToString())
    images, outputs = _shapes(onnx_model.graph.input), _shapes(onnx_model.graph.output)
    return (f'{out}: {name} for {len(label_names)} classes, ONNX opset {OPSET}; {images} -> '
            f'{outputs}' + f'; scores from {model.score_thresh:g}' * detections)


def to_onnx(model: Any, label_names: tuple) -> Any:
    """Convert a network on the host; see :func:`export`.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        UserError: onnx is missing or too new.
    """
    try:
        import onnx
        import onnx.mapping  # onnx_chainer needs it; onnx 1.19 dropped it
    except ImportError:
        raise UserError('export needs onnx 1.18 or older; run '
                        'python -m pip install -r requirements-onnx.txt, or without a checkout '
                        'pip install "multibox[onnx]"') from None
    import onnx_chainer
    example = np.zeros((1, 3, model.insize, model.insize), np.float32)
    with warnings.catch_warnings(), engines.using('chainer'):  # onnx_chainer knows its functions
        warnings.simplefilter('ignore')  # onnx warns about names that onnx_chainer uses
        graph = onnx_chainer.export(model, example, opset_version=OPSET, input_names=['images'],
                                    output_names=['mb_locs', 'mb_confs'],
                                    external_converters={'Convolution2DFunction': _convolution})
    _keep_only_images_as_input(graph.graph)
    _free_batchsize(graph.graph)
    metadata = {'label_names': list(label_names), 'mean': np.ravel(model.mean).tolist(),
                'threshold': model.threshold,
                'variance': list(model.coder.variance),
                'default_bbox': chainer.backends.cuda.to_cpu(model.coder.default_bbox).tolist()}
    onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(graph)
    return graph


def _convolution(parameters):
    """Convert a convolution as onnx_chainer does, with the padding that ``cover_all`` may add."""
    from onnx.helper import make_node
    function = parameters.func
    x, W = (node.shape for node in function.inputs[:2])
    shapes = {'x': x, 'W': W, 'y': function.outputs[0]().shape}
    geometry = stride, pad, dilate = (
        (function.sy, function.sx), (function.ph, function.pw), (function.dy, function.dx))
    return make_node(
        'Conv', parameters.input_names, parameters.output_names, kernel_shape=W[2:],
        strides=stride, pads=(*pad, *padding_after(shapes, geometry)), dilations=dilate,
        group=function.groups),


def _shapes(values):
    return ', '.join(
        f'{value.name} ({", ".join(dim.dim_param or str(dim.dim_value) for dim in dims)})'
        for value in values for dims in [value.type.tensor_type.shape.dim])


def _keep_only_images_as_input(graph):
    """Remove the weights from the inputs, because runtimes do not fold weights that are inputs."""
    images, = (value for value in graph.input if value.name == 'images')
    del graph.input[:]
    graph.input.append(images)


def _free_batchsize(graph):
    """Replace the one image of the example by a symbol for any number of images."""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = 'B'
    shapes = {node.output[0]: node.attribute[0].t for node in graph.node
              if node.op_type == 'Constant'}
    for node in graph.node:
        if node.op_type == 'Reshape':
            shapes[node.input[1]].int64_data[0] = 0  # ONNX's 0: the size of the input
