"""Geometry of boxes: IoU, the matching rules, offsets, suppression, and the coder of a network."""
from multibox.boxes.coder import Coder
from multibox.boxes.matching import RULES
from multibox.boxes.suppression import suppress

__all__ = ['RULES', 'Coder', 'suppress']
