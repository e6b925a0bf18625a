"""The networks and their default boxes."""
from multibox.networks.models import MODELS, make_detector

__all__ = ['MODELS', 'make_detector']
