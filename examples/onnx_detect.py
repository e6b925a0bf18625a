"""Find objects in a photograph with an exported network: NumPy, Pillow and ONNX Runtime suffice.

    python -m multibox.weights export result/best.npz --out model.onnx --detections
    python examples/onnx_detect.py model.onnx photo.jpg

Prints a line per object: score, y_min, x_min, y_max and x_max in pixels, and class.
"""
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def detect(session, rgb):
    """Find objects in one image, best first.

    Args:
        session: an ``onnxruntime.InferenceSession`` of the exported network.
        rgb: (H, W, 3) uint8 array.

    Returns:
        A list of ``(score, [y_min, x_min, y_max, x_max], class name)``, in pixels.
    """
    names = json.loads(session.get_modelmeta().custom_metadata_map['label_names'])
    images = rgb.transpose(2, 0, 1)[None].astype(np.float32)  # (1, 3, H, W)
    boxes, labels, scores, _ = session.run(None, {'images': images})
    pixels = boxes.clip(0, 1) * np.tile(rgb.shape[:2], 2)  # from shares of height and width
    return [(scores[i], pixels[i], names[labels[i]]) for i in np.argsort(-scores, kind='stable')]


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit('usage: python onnx_detect.py MODEL.onnx PHOTOGRAPH')
    _, model, photo = sys.argv
    upright = ImageOps.exif_transpose(Image.open(photo)).convert('RGB')
    for score, box, name in detect(onnxruntime.InferenceSession(model), np.asarray(upright)):
        print(f'{score:.4f}', *(f'{edge:.2f}' for edge in box), name)
