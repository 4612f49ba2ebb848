"""A run of an evaluation: labelled lines through the line, and everything there is to tell of it."""

from collections.abc import Iterable

import msgspec

from pipeline.evaluation import labels_in, measure
from pipeline.evaluation_comparison import compare
from pipeline.evaluation_report import Outcome
from pipeline.labelled import Labelled, Refused, Row, screened
from pipeline.line import Line
from pipeline.requirement import Requirement
from schemas.record import Limits


class Asked(msgspec.Struct, frozen=True):
    """What to tell besides the figures: requirements, another line to compare with, mistakes of each kind."""

    requirements: tuple[Requirement, ...] = ()
    before: Line | None = None
    mistakes: int = 0


def evaluation(
    items: Iterable[Labelled | Refused], line: Line, limits: Limits, asked: Asked
) -> Outcome:
    """Measure a line on labelled lines within the limits of a record."""
    lines = (line,) if asked.before is None else (line, asked.before)
    columns: tuple[list[Row], ...] = tuple([] for _ in lines)
    rejected: list[Refused] = []
    for item in screened(items, lines, limits, show=asked.mistakes > 0):
        if isinstance(item, Refused):
            rejected.append(item)
            continue
        for column, row in zip(columns, item, strict=True):
            column.append(row)
    labels = {label for column in columns for label in labels_in(column)}
    labels |= {requirement.label for requirement in asked.requirements}
    reports = [measure(column, sorted(labels), asked.mistakes) for column in columns]
    comparison = None
    if asked.before is not None:
        comparison = compare(
            (asked.before.configuration, line.configuration),
            (reports[1], reports[0]),
            (columns[1], columns[0]),
        )
    checked = tuple(requirement.check(reports[0]) for requirement in asked.requirements)
    files = dict.fromkeys([*(row.file for row in columns[0]), *(one.file for one in rejected)])
    return Outcome(
        line.configuration, tuple(files), reports[0], comparison, checked, tuple(rejected)
    )
