"""The memory of a backward pass: maps are freed as soon as no function needs them."""
from typing import Any

import chainer


class Release(chainer.FunctionHook):
    """A hook for training, under which each graph is differentiated once.

    Chainer keeps all maps until the last reference to the loss is gone. Functions run backward
    after all functions that take their outputs, so the outputs of a function are free when it is
    done. They then leave the graph. Arrays that Variables hold stay.
    """

    name = 'Release'

    def backward_postprocess(self, function: Any, in_data: tuple, out_grad: tuple) -> None:
        """Free the outputs of a function that has run backward."""
        function._retained_output_data = None
        for reference in function.outputs:
            output = reference()
            if output is not None:
                output.data = None
