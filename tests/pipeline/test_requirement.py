"""A requirement: how it is written, and when it is met."""

import pytest

pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline.evaluation import measure
from pipeline.labelled import Row, Said
from pipeline.requirement import Checked, Requirement, RequirementError

FOUND = Said({"fraud.phishing": 0.9}, frozenset({"fraud.phishing"}))
REPORT = measure(
    [
        Row("f", 1, "e1", "fraud.phishing", said=FOUND),
        Row("f", 2, "e2", "fraud.phishing"),
        Row("f", 3, "e3", "benign"),
    ],
    ("fraud.*", "fraud.phishing"),
)


@pytest.mark.parametrize(
    ("text", "value", "is_met"),
    [
        ("fraud.phishing.recall>=0.5", 0.5, True),
        ("fraud.phishing.recall>0.5", 0.5, False),
        ("fraud.phishing.recall <= 0.5", 0.5, True),
        ("fraud.phishing.recall<0.5", 0.5, False),
        ("fraud.recall_at_0_1pct>=0.6", 0.5, False),
        ("fraud.*.false_alerts<=0", 0, True),
        ("fraud.phishing.support>=2", 2, True),
        ("csea.grooming.recall>=0", None, False),
    ],
)
def test_a_requirement_is_met_or_not(text: str, value: float | None, *, is_met: bool) -> None:
    """By the figure of a label or family; one that is not defined meets nothing."""
    assert Checked(text, value, is_met) == Requirement.of(text).check(REPORT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected LABEL.FIGURE>=NUMBER"),
        ("recall>=0.5", "expected LABEL.FIGURE>=NUMBER"),
        ("fraud.recall=0.5", "expected LABEL.FIGURE>=NUMBER"),
        ("fraud.recall>=much", "expected LABEL.FIGURE>=NUMBER"),
        ("fraud.nothing.recall>=0.5", "no label or family `fraud.nothing`"),
        ("benign.recall>=0.5", "no label or family `benign`"),
        ("fraud.recal>=0.5", "no figure `recal`; there are support, "),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, problem: str) -> None:
    """It says what was expected."""
    with pytest.raises(RequirementError) as refused:
        Requirement.of(text)

    assert problem in str(refused.value)
