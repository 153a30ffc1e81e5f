"""Rows of text under each other, for plans and lists. Pure, and without rich: quick to import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> Iterator[str]:
    """Give a line for each row, its cells as wide as the widest of their column."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{indent}{'  '.join(cells)}".rstrip()
