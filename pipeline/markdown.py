"""Markdown: sections and tables that can be read in a terminal, too."""

from collections.abc import Iterable, Sequence
from typing import Final

LISTED: Final = 50
"""Of a long list (changes of a label, rejected lines) Markdown shows so many."""


def section(title: str, content: Sequence[str]) -> tuple[str, ...]:
    """Put a heading above the lines; without any, nothing."""
    return ("", f"## {title}", "", *content) if content else ()


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write a table whose columns line up in a terminal, too; without rows, nothing."""
    cells = [[plain(cell).replace("|", "\\|") for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [header, ["-" * width for width in widths], *cells]
    return [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def plain(text: str) -> str:
    """Show text that comes from a file without letting it steer the terminal."""
    return "".join(c if c.isprintable() else "·" for c in text)


def number(figure: float | None, digits: int = 3) -> str:
    """Write a figure; one that is not defined as a dash."""
    return "–" if figure is None else f"{figure:.{digits}f}"


def more(count: int) -> tuple[str, ...]:
    """Say how many entries of a list are not shown."""
    return (
        ("", f"and {count - LISTED:,} more; `--json` writes all of them") if count > LISTED else ()
    )
