"""The loss of NVIDIA's SSD in PyTorch (DeepLearningExamples): super-gradients', counted once."""
from functools import partial

from multibox.losses import super_gradients
from multibox.losses.super_gradients import match
from multibox.losses.terms import weigh

__all__ = ['match', 'multibox_loss', 'weigh']

# The original adds two masks. Where they are bool, as in today's PyTorch, the sum is an "or".
multibox_loss = partial(super_gradients.multibox_loss, count_twice=False)
