"""Pieces of HTML: everything is escaped that is not marked as HTML already."""
import base64
import html
from pathlib import Path


class Markup(str):
    """A string that is HTML."""


def escape(value):
    """HTML that shows ``str(value)``; :class:`Markup` stays as it is, None is a dash."""
    if isinstance(value, Markup):
        return value
    return Markup('–' if value is None else html.escape(str(value)))  # noqa: RUF001


def fill(template, **values):
    """``template.format`` with every value escaped; returns :class:`Markup`."""
    return Markup(template.format(**{name: escape(value) for name, value in values.items()}))


def join(parts, separator=''):
    """All parts in a row, escaped; returns :class:`Markup`."""
    return Markup(separator.join(map(escape, parts)))


def table(header, rows, footer=None):
    """A table that scrolls by itself where the page is too narrow for it.

    Args:
        header: cells of the first row.
        rows: lists of as many cells; the first of each is the row's heading. Numbers are written
            with separators, floats with four decimals.
        footer: cells of a last row, or None.

    Returns:
        :class:`Markup`.
    """
    head = join(fill('<th scope="col">{cell}</th>', cell=cell) for cell in header)
    return fill('<div class="wide"><table><thead><tr>{head}</tr></thead>'
                '<tbody>{body}</tbody><tfoot>{foot}</tfoot></table></div>', head=head,
                body=join(map(_row, rows)), foot=_row(footer) if footer else '')


def _row(cells):
    first, *rest = cells
    return fill('<tr><th scope="row">{first}</th>{rest}</tr>', first=first,
                rest=join(fill('<td>{cell}</td>', cell=number(cell)) for cell in rest))


def number(value):
    """A float with four decimals, an int with separators, anything else as it is."""
    if isinstance(value, float):
        return f'{value:.4f}'
    return f'{value:,}' if isinstance(value, int) else value


def bar(share, text):
    """A bar of ``share`` (0 to 1) of its cell's width, and the text behind it."""
    return fill('<span class="bar"><i style="width:{percent}%"></i></span><b>{text}</b>',
                percent=f'{100 * share:.1f}', text=text)


def image(data, kind, alt):
    """An image within the page itself.

    Args:
        data: bytes of the file.
        kind: 'png' or 'jpeg'.
        alt: text for those who cannot see it.
    """
    return fill('<img src="data:image/{kind};base64,{data}" alt="{alt}">', kind=kind, alt=alt,
                data=base64.b64encode(data).decode())


def plot(path, alt):
    """The PNG file at ``path`` within the page; '' where there is none."""
    path = Path(path)
    return fill('<p class="plot">{image}</p>', image=image(path.read_bytes(), 'png', alt)) \
        if path.exists() else ''
