"""The result that every layout gives, before boxes are placed in their images."""
from typing import NamedTuple


class Found(NamedTuple):
    """The annotations of a data set.

    Attributes:
        train: list of :class:`multibox.data.annotations.Annotation`.
        test: the same for the test set.
        label_names: the class names if a file lists them; None if the annotations tell them.
        notes: list of str, remarks for the user.
        divided: whether the data come with a split; if not, all annotations are in ``train``.
        problems: list of :class:`multibox.data.annotations.Problem` of no image in particular.
        crowds: whether difficult objects are COCO's crowds, which nobody trains on.
    """
    train: list
    test: list
    label_names: tuple | None
    notes: list
    divided: bool = True
    problems: list = []  # noqa: RUF012  never changed
    crowds: bool = False

