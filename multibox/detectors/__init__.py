"""The networks, and where their weights come from."""
from multibox.detectors.models import MODELS, make_detector
from multibox.detectors.weights import load_model, load_pretrained, save_model

__all__ = ['MODELS', 'load_model', 'load_pretrained', 'make_detector', 'save_model']
