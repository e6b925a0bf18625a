"""The memory of a backward pass: maps are freed as soon as no function needs them."""
from typing import Any

import chainer


class Release(chainer.FunctionHook):
    """A hook for a training that differentiates each graph once.

    Chainer keeps all maps until the last reference to the loss is gone. When a function has run
    backward, every function that takes its outputs has done so before, so its outputs can be freed.
    Arrays that Variables hold stay.
    """

    name = 'Release'

    def backward_postprocess(self, function: Any, in_data: tuple, out_grad: tuple) -> None:
        """Free the outputs of a function that has run backward."""
        function._retained_output_data = None
        for reference in function.outputs:
            output = reference()
            if output is not None:
                output.data = None
