"""Harm that nobody looked at who chose terms or fitted weights: how much of it is found.

The corpora in `tests/corpus/unseen` were written before the terms, by others; half of what was written is
here, the other half was open to whoever chose terms. Harmless rows are mostly written to be mistaken. Floors
are a little below what was measured: a change that falls through one has made detection worse.
"""

import json
from pathlib import Path

import pytest

from pipeline.line import Line, line
from pipeline.options import cache_folder
from pipeline.settings import load

CORPUS = Path(__file__).parents[1] / "corpus" / "unseen"

FLOORS = {
    ("gambling", "en"): (0.79, 0.035),
    ("gambling", "ms"): (0.88, 0.045),
    ("gambling", "ta"): (0.75, 0.04),
    ("gambling", "zh"): (0.82, 0.02),
    ("fraud", "id"): (0.82, 0.07),
    ("fraud", "ms"): (0.73, 0.04),
    ("fraud", "ta"): (0.75, 0.055),
    ("fraud", "zh"): (0.68, 0.03),
    ("bullying", "en"): (0.27, 0.02),
    ("bullying", "id"): (0.33, 0.015),
    ("bullying", "ms"): (0.39, 0.03),
    ("bullying", "ta"): (0.33, 0.015),
    ("bullying", "zh"): (0.38, 0.015),
}
"""For each family and language: the share found at least, and the harmless flagged at most."""


@pytest.fixture(scope="module")
def built() -> Line:
    """Return the line as it ships."""
    return line(load(None, {}), cache_folder())


@pytest.mark.parametrize(("family", "language"), FLOORS)
def test_what_nobody_looked_at_is_found(built: Line, family: str, language: str) -> None:
    """At the shipped threshold, at least so many are found and at most so many harmless rows flagged."""
    lines = (CORPUS / f"{family}.{language}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(one) for one in lines]
    source = next(iter(built.mappings))
    screening = built.screen(
        source, [event(number, row["text"]) for number, row in enumerate(rows)]
    )
    flagged = {
        position
        for position, verdicts in screening.verdicts.items()
        if any(v.label.startswith(family) and v.action != "shadow" for v in verdicts)
    }
    harmful = {n for n, row in enumerate(rows) if row["label"] != "benign"}
    harmless = set(range(len(rows))) - harmful
    found, most = FLOORS[family, language]

    assert not screening.rejected
    assert len(harmful) > 70
    assert len(harmless) > 150
    assert len(flagged & harmful) / len(harmful) >= found
    assert len(flagged & harmless) / len(harmless) <= most


def event(number: int, text: str) -> bytes:
    """Return a public message of that text."""
    return json.dumps(
        {
            "id": str(number),
            "platform": "test",
            "kind": "message",
            "occurred_at": "2026-01-01T00:00:00Z",
            "text": text,
            "actor": {"id": "a"},
            "audience": {"kind": "public"},
            "conversation": {"id": "c"},
        }
    ).encode()
