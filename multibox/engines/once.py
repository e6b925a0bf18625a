"""Gradients that have no derivative of their own, and say so."""
from multibox.typing import Array

import chainer


class Gradient(chainer.FunctionNode):
    """The gradient of a function, computed beforehand.

    Args:
        name: the function, for the message.
        gradients: the arrays of the gradient.
    """

    def __init__(self, name: str, gradients: tuple[Array, ...]):
        self.name, self.gradients = name, gradients

    def forward(self, inputs):
        return self.gradients

    def backward(self, indexes, grad_outputs):
        raise NotImplementedError(
            f'{self.name} has no second derivative: differentiate its result only once')


def differentiable_once(name: str, gradients: tuple[Array, ...], inputs: tuple
                        ) -> tuple[chainer.Variable, ...]:
    """The result of the method ``backward`` of a function without a second derivative.

    A Variable of the bare array would have none either, but silently: Chainer takes it for a
    constant.

    Args:
        name: the function, for the message.
        gradients: the arrays of the gradient.
        inputs: the Variables that the gradient is computed from.

    Returns:
        The Variables of the gradient. If Chainer builds a graph of them, a derivative through it
        raises ``NotImplementedError``.
    """
    if not chainer.config.enable_backprop:  # most backward passes, which this keeps as fast
        return tuple(map(chainer.Variable, gradients))
    return Gradient(name, gradients).apply([each for each in inputs if each is not None])


class Once(chainer.FunctionNode):
    """Return the input, whose gradient then has no derivative.

    It stands before functions of Chainer whose second derivatives fail or are not wanted.

    Args:
        name: the function that it belongs to, for the message.
    """

    def __init__(self, name: str):
        self.name = name

    def forward(self, inputs):
        return inputs

    def backward(self, indexes, grad_outputs):
        return differentiable_once(self.name, (grad_outputs[0].array,), grad_outputs)
