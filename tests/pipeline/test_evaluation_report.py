"""The report of an evaluation: what stands in Markdown, in JSON and in the picture."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("sklearn", reason="the extra `evaluate` brings scikit-learn")

from pipeline import evaluation_report
from pipeline.evaluation import labels_in, measure
from pipeline.evaluation_comparison import compare
from pipeline.evaluation_report import Outcome, distinct, markdown
from pipeline.labelled import NOTHING, Refused, Row, Said, Shown
from pipeline.markdown import LISTED, number, plain, table
from pipeline.requirement import Checked


def row(truth: str, score: float = 0.0, *, at: int = 1, label: str = "gambling.promotion") -> Row:
    """Make a row with one score, an alert from 0.5 on."""
    said = Said({label: score}, frozenset({label} if score >= 0.5 else ())) if score else NOTHING
    shown = Shown(f"text\x1b[2J of {at}", ())
    detectors = {"texts": said} if score else {}
    return Row("f", at, f"e{at}", truth, "ms", ("slice: a",), said, detectors, shown)


ROWS = (
    row("gambling.promotion", 0.9, at=1),
    row("gambling.promotion", at=2),
    row("benign", 0.6, at=3),
    row("benign", at=4),
    row("benign", 0.3, at=5, label="fraud.phishing"),
)


def outcome(rows: tuple[Row, ...] = ROWS, mistakes: int = 0, **more: Any) -> Outcome:
    """Make an outcome without anything that was not asked for."""
    empty = {"comparison": None, "requirements": (), "rejected": ()}
    report = measure(rows, labels_in(rows), mistakes)
    return Outcome(configuration="abc", files=("f",), report=report, **(empty | more))


def cells(text: str, title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, its header first."""
    part = text.split(f"# {title}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line
    ]


def headings(text: str) -> list[str]:
    """Return the headings of the second level."""
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_a_plain_report_has_no_section_without_content() -> None:
    """One language and one slice are not told apart."""
    assert [
        "By label",
        "By detector",
        "Alerts for another label than the row's",
        "Calibration",
    ] == headings(markdown(outcome()))


def test_the_summary_has_the_figures() -> None:
    """One row for each label with a row or an alert; the others are named."""
    text = markdown(outcome())
    header, *lines = cells(text, "By label")

    assert 1 == len(lines)
    assert {
        "label": "gambling.promotion",
        "support": "2",
        "precision": "0.500 (0.09–0.91)",
        "recall": "0.500 (0.09–0.91)",
        "F1": "0.500",
        "ROC-AUC": "0.667",
        "recall at 1 %": "0.500 (0.09–0.91) from 0.9",
        "recall at 0.1 %": "0.500 (0.09–0.91) from 0.9",
        "false alerts": "1",
        "per 1,000 benign": "333.33",
        "Brier": "0.2740",
        "calibration error": "0.3400",
    } == dict(zip(header, lines[0], strict=True))
    assert "5 rows, 2 labelled and 3 benign, of which 1 have an alert of any label" in text
    assert "Neither a row nor an alert: fraud.phishing." in text


def test_a_rate_that_no_score_keeps_is_told() -> None:
    """Where a benign row has the highest score."""
    rows = (row("gambling.promotion", 0.6), row("benign", 0.9))
    header, line = cells(markdown(outcome(rows)), "By label")

    assert "0.000 (0.00–0.79): no score" == line[header.index("recall at 1 %")]


def test_a_family_with_one_label_is_told_once() -> None:
    """Unless rows are labelled by the family alone, which only its own figures count."""
    once = measure(ROWS, labels_in(ROWS))
    rows = (*ROWS, row("gambling.*"))
    twice = measure(rows, labels_in(rows))

    assert ["fraud.phishing", "gambling.promotion"] == list(distinct(once))
    assert ["fraud.phishing", "gambling.*", "gambling.promotion"] == list(distinct(twice))


def test_a_label_that_was_asked_for_needs_no_family() -> None:
    """Whatever is measured can be told."""
    assert ["csea.grooming"] == list(distinct(measure(ROWS, ("csea.grooming",))))


def test_mistakes_are_shown_when_asked_for_and_steer_no_terminal() -> None:
    """With their place, score and text."""
    text = markdown(outcome(mistakes=2))

    assert "- `f:3` `e3`, benign, score 0.60: nothing found" in text
    assert "      text·[2J of 3" in text
    assert "- `f:2` `e2`, gambling.promotion, score 0.00: nothing found" in text
    assert "\x1b" not in text
    assert "text" not in markdown(outcome()).replace("texts", "")


def test_failures_stand_at_the_top() -> None:
    """So that nobody trusts a figure with findings missing."""
    failed = Said({"detector.failed": 1.0}, frozenset())
    one = Row("f", 1, "e", "benign", said=failed, by_detector={"texts": failed})

    assert "**Detector `texts` failed on 1 rows**" in markdown(outcome((one,)))


def test_a_comparison_shows_what_differs() -> None:
    """Figures, the test, and the lines that changed sides."""
    before = tuple(msgspec.structs.replace(one, said=NOTHING, by_detector={}) for one in ROWS)
    reports = tuple(measure(rows, labels_in(ROWS)) for rows in (before, ROWS))
    comparison = compare(("old", "abc"), (reports[0], reports[1]), (before, ROWS))
    text = markdown(outcome(comparison=comparison))
    header, *lines = cells(text, "Compared with configuration `old`")
    told = {(line[0], line[1]): line[2:] for line in lines if len(line) == len(header)}

    assert ["0", "0.5", "+0.5"] == told["gambling.promotion", "recall"]
    assert ["–", "0.5", "–"] == told["gambling.promotion", "precision"]
    assert ("gambling.promotion", "support") not in told
    assert "| gambling.promotion | 1      | 1     | 1 " in text
    changed = cells(text, "gambling.promotion: rows that changed sides")
    assert ["f:1", "e1", "gambling.promotion", "0.00", "0.90", "alert, right"] == changed[1]
    assert ["f:3", "e3", "benign", "0.00", "0.60", "alert, wrong"] == changed[2]


def test_equal_configurations_are_called_so() -> None:
    """Rather than showing an empty table."""
    report = measure(ROWS, labels_in(ROWS))
    text = markdown(outcome(comparison=compare(("a", "a"), (report, report), (ROWS, ROWS))))

    assert "No figure differs." in text
    assert "No row changed sides." in text


def test_requirements_and_rejected_lines_stand_at_the_end() -> None:
    """Counted by reason; of a long list the first are shown."""
    rejected = tuple(Refused("f", n, "unknown_label", "why") for n in range(LISTED + 2))
    checked = (Checked("a>=1", 0.5, is_met=False), Checked("b>=1", None, is_met=False))
    told = outcome(requirements=checked, rejected=(*rejected, Refused("g", 1, "not_json", "no")))
    text = markdown(told)

    assert ["Requirements", "Rejected lines"] == headings(text)[-2:]
    assert ["a>=1", "0.5000", "NOT MET"] == cells(text, "Requirements")[1]
    assert [["unknown_label", "52"], ["not_json", "1"]] == cells(text, "Rejected lines")[1:]
    assert LISTED == text.count("unknown_label: why")
    assert "and 3 more" in text
    assert [
        "not met: a>=1: measured 0.5000",
        "not met: b>=1: measured –",
        "53 rejected, the first at f:0: unknown_label: why",
    ] == list(told.problems())


def test_json_holds_everything() -> None:
    """It reads back, with null for what is not defined and for a score that nothing reaches."""
    found = json.loads(evaluation_report.json(outcome(mistakes=1)))
    label = found["report"]["labels"]["gambling.promotion"]

    assert 0.5 == label["figures"]["recall"]["value"]
    assert 0.9 == label["thresholds"]["recall_at_1pct"]
    assert 3 == label["mistakes"]["wrong_alerts"][0]["number"]
    assert found["report"]["labels"]["fraud.phishing"]["figures"]["recall"] is None
    rows = (row("gambling.promotion", 0.6), row("benign", 0.9))
    unreached = json.loads(evaluation_report.json(outcome(rows)))["report"]["labels"]
    assert unreached["gambling.promotion"]["thresholds"]["recall_at_1pct"] is None


def test_a_table_lines_up_and_keeps_its_columns() -> None:
    """A bar or a control character in a cell does neither harm; without rows there is no table."""
    assert [
        "| a       | b |",
        "| ------- | - |",
        "| x\\|y·   | 1 |",
        "| long as | 2 |",
    ] == table(("a", "b"), [("x|y\n", "1"), ("long as", "2")])
    assert [] == table(("a",), [])
    assert ("–", "0.50") == (number(None), number(0.5, 2))
    assert "a·b" == plain("a\x00b")


def test_a_picture_is_drawn_where_there_is_something_to_draw(tmp_path: Path) -> None:
    """Without a row of any label there is not."""
    pytest.importorskip("matplotlib", reason="the extra `evaluate` brings matplotlib")
    from pipeline.evaluation_plot import draw  # noqa: PLC0415

    path, none = tmp_path / "a.png", tmp_path / "none.png"
    silent = (row("gambling.promotion"), row("benign"))

    assert draw(measure(ROWS, labels_in(ROWS)), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert draw(measure(silent, labels_in(silent)), path)
    assert not draw(measure((row("benign"),), ("fraud.*",)), none)
    assert not none.exists()
