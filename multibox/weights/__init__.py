"""Weights: model.npz, the files of other frameworks, the start of a network, export to ONNX."""
from multibox.weights.model_file import load_model, save_model
from multibox.weights.sources import read
from multibox.weights.start import start

__all__ = ['load_model', 'read', 'save_model', 'start']
