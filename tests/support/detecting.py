"""A network whose detections are known, for detect.py."""
import detect

import numpy as np


class Detector:
    """Finds a dog with score 0.9 in the upper left quarter, and a cat with score 0.4 below it."""
    threshold = coder = None
    insize = 300

    def predict(self, imgs):
        boxes = [np.array([[h / 2, 0, h, w / 2], [0, 0, h / 2, w / 2]], 'f')
                 for _, h, w in (img.shape for img in imgs)]
        scores = np.array([.4, .9], 'f')
        keep = [scores >= self.score_thresh] * len(imgs)
        return ([box[k] for box, k in zip(boxes, keep)],
                [np.array([0, 1], 'i')[k] for k in keep], [scores[k] for k in keep])

    def to_device(self, device):
        pass


def run(*flags):
    detect.main([*map(str, flags), '--model', 'model.npz'])
