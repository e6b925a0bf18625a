"""The networks and their default boxes."""
from multibox.detectors.models import MODELS, box_sizes, make_detector

__all__ = ['MODELS', 'box_sizes', 'make_detector']
