"""Objects whose class and corners a file has as texts: those of VOC's files and of tables."""
from multibox.data.annotations import Entry
from multibox.data.classes import fault_of_name
from multibox.data.listing import normal
from multibox.data.reading import number

MAX_WRITTEN = 60  # characters of a coordinate that messages show


def read_entry(position: int, name: str | None, written: tuple, difficult: bool = False) -> Entry:
    """Read one object.

    Args:
        position: the position of the object in its file, from 1.
        name: its class.
        written: (xmin, ymin, xmax, ymax) as texts; an element is None if it is absent.
        difficult: VOC's mark.

    Returns:
        :class:`Entry`, with a fault if the class or the coordinates cannot be used.
    """
    box, name = None, normal(name or '')
    fault = fault_of_name(name)
    try:
        box = tuple(map(number, written))
    except (TypeError, ValueError):
        fault = fault or 'box coordinates are missing or not numbers'
    return Entry(position, None if fault else name, None if fault else box,
                 tuple(text and text[:MAX_WRITTEN] for text in written), difficult, fault)
