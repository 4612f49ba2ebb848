"""Figures of conversations: found, how soon, and what it costs in false alerts."""

import gzip
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.conversation_figures import figures, markdown, measure
from pipeline.conversations import Flagged, Talk, events, flagged, read
from pipeline.labelled import BENIGN, Reading, Refused
from pipeline.line import line
from pipeline.options import cache_folder
from pipeline.settings import load
from schemas.record import Limits
from tests.pipeline.events import CANARY

SEEN = "canary.seen"


def one(number: int, truth: str = SEEN, turns: int = 11, **at: int) -> Flagged:
    """Return a conversation, flagged for `seen` at a turn."""
    return Flagged(f"c{number}", truth, "en", turns, {SEEN: at["seen"]} if at else {})


def test_what_is_found_and_how_soon() -> None:
    """Two of three found, at turns 1 and 11 of 11; one of four harmless ones flagged."""
    talks = [one(1, seen=1), one(2, seen=11), one(3), one(4, BENIGN, seen=2)]
    talks += [one(n, BENIGN) for n in range(5, 8)]
    counted = figures(talks, SEEN)

    assert (3, 4, 2, 1) == (
        counted.conversations,
        counted.harmless,
        counted.found,
        counted.flagged,
    )
    assert counted.recall == counted.precision == pytest.approx(2 / 3)
    assert counted.f(0.5) == pytest.approx(2 / 3)
    assert (6.0, 1, 250.0) == (counted.turns, counted.early, counted.per_thousand)
    # No penalty at the first turn, and a half at the eleventh, which is the median length.
    assert counted.latency == pytest.approx(2 / 3 * (1 - 0.25))


def test_precision_weighs_twice() -> None:
    """F0.5 of precision 1 and recall 1/4, and of the reverse."""
    sure = figures([one(0, seen=1), *(one(n) for n in range(1, 4))], SEEN)

    assert sure.f(0.5) == pytest.approx(1.25 * 0.25 / (0.25 + 0.25))
    assert sure.f(1.0) == pytest.approx(0.4)


def test_what_is_not_defined_is_no_zero() -> None:
    """Nothing to find, nothing found."""
    nothing = figures([one(1, BENIGN)], SEEN)

    assert (None, None, None, None) == (
        nothing.recall,
        nothing.precision,
        nothing.turns,
        nothing.latency,
    )
    assert 0.0 == nothing.per_thousand
    assert not math.isnan(figures([one(1)], SEEN).recall or 0.0)


def test_a_family_is_flagged_by_any_of_its_labels() -> None:
    """At the first turn of any of them; other families are no alerts."""
    talk = Flagged("c", "csea.*", "ms", 8, {"csea.grooming": 5, "csea.x": 3, "fraud.phishing": 1})

    assert 3.0 == figures([talk], "csea.*").turns


def talk(number: int, label: str, *texts: str, **fields: object) -> str:
    """Return a line of a file."""
    turns = [{"actor": "ab"[n % 2], "text": t, "minutes": n} for n, t in enumerate(texts)]
    return json.dumps({"id": f"t{number}", "label": label, "turns": turns, **fields})


LINES = (
    talk(1, "seen", "hello", "hi", CANARY, CANARY, language="en"),
    talk(2, "benign", "jom", "ok", language="ms"),
    talk(3, "benign", "see", CANARY, language="ms"),
    "no json",
    talk(4, "nonsense", "a"),
    talk(5, "benign"),
)


def test_conversations_are_played_through_the_line() -> None:
    """Flagged at the turn that shows it; lines that cannot be used are named, with the reason."""
    settings = load(None, {})
    reading = Reading.of(["seen=canary.seen"])
    stream = io.BytesIO("\n".join(LINES).encode())
    talks = list(read(stream, "talks.jsonl", Limits(), reading))
    played = list(flagged(talks, line(settings, cache_folder()), settings.limits))

    assert [3, None, 2] == [p.at.get(SEEN) for p in played if isinstance(p, Flagged)]
    assert [(4, "wrong_type"), (5, "unknown_label"), (6, "wrong_type")] == [
        (p.number, p.reason) for p in played if isinstance(p, Refused)
    ]
    assert "nonsense" not in str(played)


def test_what_cannot_be_read_or_screened_is_named_by_file_and_line() -> None:
    """A damaged file ends there; a turn that is too long refuses its conversation. No exception."""
    settings = load(None, {})
    built = line(settings, cache_folder())
    damaged = gzip.compress("\n".join(LINES[:2]).encode())[:-9]
    held = list(read(io.BytesIO(damaged), "t.jsonl.gz", Limits(), Reading.of(["seen=canary.seen"])))
    long = talk(7, "benign", "ok", "x" * (settings.limits.text_characters + 1))
    talks = read(io.BytesIO(f"\n{long}".encode()), "t.jsonl", Limits(), Reading())
    *_, refused = flagged(talks, built, settings.limits)

    assert isinstance(held[-1], Refused)
    assert ("t.jsonl.gz", "unreadable") == (held[-1].file, held[-1].reason)
    assert isinstance(refused, Refused)
    assert ("t.jsonl", 2, "text_too_long") == (refused.file, refused.number, refused.reason)
    assert refused.detail.startswith("turn 2: ")


def test_a_group_is_no_direct_message_and_bands_are_told() -> None:
    """Of two people each writes to the other; a third makes it a group. Who faces a minor is known."""
    stream = io.BytesIO(talk(1, "benign", "x", "y", bands={"b": "minor", "a": "adult"}).encode())
    [held] = read(stream, "f", Limits(), Reading())
    assert isinstance(held, Talk)
    first, second = events(held)

    assert ("dm", ("b",), "minor") == (
        first.audience.kind,
        first.audience.recipient_ids,
        first.audience.recipient_age_band,
    )
    assert ("minor", "unknown") == (second.actor.age_band, second.audience.recipient_age_band)


def test_the_report_tells_each_language_and_whom_to_look_at() -> None:
    """A table with `all` first; ids, never texts."""
    talks = [one(1, seen=1), one(2), one(3, BENIGN, seen=2), Refused("f", 4, "wrong_type", "x|y")]
    report = measure(talks, "0123456789abcdef", ["talks.jsonl"])
    text = markdown(report)

    assert ["all", "en"] == list(report.labels[SEEN])
    assert "## Missed: canary.seen\n\nc2" in text
    assert "## Flagged though harmless: canary.seen\n\nc3" in text
    assert "x\\|y" in text


def test_the_command_writes_it_and_says_what_it_could_not_use(tmp_path: Path, cache: Path) -> None:
    """Markdown and JSON; exit status 1 for lines that cannot be used; other options do not go with it."""
    (tmp_path / "talks.jsonl").write_text("\n".join(LINES), encoding="utf-8")
    common = [sys.executable, "-m", "pipeline", "evaluate", "talks.jsonl", "--conversations"]
    environment = {"PENJAGA_CACHE_DIR": str(cache), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*common, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--map", "seen=canary.seen", "--json", "out.json")
    written = json.loads((tmp_path / "out.json").read_text())

    assert (1, 1) == (done.returncode, written["labels"][SEEN]["all"]["found"])
    assert "| canary.seen | all" in done.stdout
    assert "3 lines cannot be used" in done.stderr
    assert 2 == run("--errors", "3").returncode
