"""A requirement: a figure that an evaluation has to reach, as a script can state it."""

import operator
from collections.abc import Callable
from typing import Final

import msgspec
import regex

from pipeline.evaluation import Report
from pipeline.evaluation_figures import NAMES, value
from pipeline.labelled import BENIGN, label_named

_FORM: Final = regex.compile(
    r"(?P<label>[^<>=\s]+)\.(?P<figure>\w+)\s*(?P<sign>[<>]=?)\s*(?P<bound>\d+(?:\.\d+)?)"
)
_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class RequirementError(ValueError):
    """A requirement that cannot be read."""


class Requirement(msgspec.Struct, frozen=True):
    """What is asked, such as `gambling.promotion.recall_at_1pct>=0.85`."""

    text: str
    label: str
    figure: str
    sign: str
    bound: float

    @classmethod
    def of(cls, text: str) -> "Requirement":
        """Read a requirement.

        Raises:
            RequirementError: if it has another form, or names no label or no figure.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise RequirementError(f"`{text}`: expected LABEL.FIGURE>=NUMBER (or <=, >, <)")
        label = label_named(form["label"])
        if label in {None, BENIGN}:
            raise RequirementError(f"`{text}`: no label or family `{form['label']}`")
        if form["figure"] not in NAMES:
            raise RequirementError(
                f"`{text}`: no figure `{form['figure']}`; there are {', '.join(NAMES)}"
            )
        return cls(text, str(label), form["figure"], form["sign"], float(form["bound"]))

    def check(self, report: Report) -> "Checked":
        """Say whether a report meets it; a figure that the rows do not define meets nothing."""
        measured = report.labels.get(self.label)
        figure = value(measured.figures, self.figure) if measured else None
        is_met = figure is not None and _SIGNS[self.sign](figure, self.bound)
        return Checked(self.text, figure, is_met)


class Checked(msgspec.Struct, frozen=True):
    """A requirement, what was measured, and whether that is enough."""

    text: str
    value: float | None
    is_met: bool
