"""Photographs, and detect.py with a network whose detections are known."""
import detect
from tests.support.detecting import Detector

import cv2
import numpy as np
import pytest


@pytest.fixture
def detector(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'model.npz').touch()  # its place is taken by the detector
    detector = Detector()
    monkeypatch.setattr(detect, 'load_model', lambda path: (detector, 'slim300', ('cat', 'dog')))
    return detector


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    (folder / 'more').mkdir(parents=True)
    for name, size in (('b.jpg', (40, 60)), ('a.PNG', (160, 200)), ('more/b.jpg', (30, 30))):
        cv2.imwrite(str(folder / name), np.full((*size, 3), 128, np.uint8))
    (folder / 'notes.txt').write_text('no image')
    return folder
