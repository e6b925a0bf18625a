"""Markdown tables for the pages of this project."""
from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = False) -> str:
    """Lay out a table, without padding: a change of one cell then changes one line of a page.

    Args:
        header: titles of the columns.
        rows: cells, row by row.
        numbers: whether all columns but the first are aligned to the right.
    """
    rule = ['---', *['---:' if numbers else '---'] * (len(header) - 1)]
    # tabulate's Markdown formats pad every column; the rows of an Org table without header do not.
    return tabulate([header, rule, *rows], tablefmt='orgtbl', stralign=None, disable_numparse=True)
