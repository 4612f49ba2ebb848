"""Figures of labelled conversations: how many are found, how soon, and how many harmless ones are flagged."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pipeline.conversations import Flagged
from pipeline.evaluation import is_family
from pipeline.labelled import BENIGN, Refused
from pipeline.markdown import LISTED, more, number, plain, section, table

_BETA: Final = 0.5
_HALF: Final = math.log(3.0)
"""From here on the penalty of F-latency, 2 / (1 + e^-x) - 1, is more than a half."""

_DEFINITIONS: Final = """\
- A conversation is *flagged* for a label at the turn at which a message of it, or the memory of the
  conversation, first has a verdict of `review` or `escalate` for that label; for a family, any label of it.
- Precision and recall count conversations; conversations of other labels are left out. F0.5 weighs precision
  twice as much as recall.
- Turns until flagged: the median of those found, of both sides' turns. Early: flagged within the first half.
- F-latency (Sadeque, Xu and Bethard 2018): F1 times 1 minus the median penalty of those found, which grows
  from 0 at the first turn to a half at the median length of the conversations that are to be found.
- `–`: the conversations do not define it."""


class Figures(msgspec.Struct, frozen=True):
    """How a line does on the conversations of one label, and the harmless ones beside them."""

    conversations: int
    harmless: int
    found: int
    flagged: int
    """Harmless ones that were flagged."""
    turns: float | None
    """Until flagged, the median of those found."""
    early: int
    """Found within the first half of the turns."""
    latency: float | None
    """F-latency."""

    @property
    def recall(self) -> float | None:
        """The share that is found."""
        return self.found / self.conversations if self.conversations else None

    @property
    def precision(self) -> float | None:
        """The share of flagged ones that are right."""
        flagged = self.found + self.flagged
        return self.found / flagged if flagged else None

    @property
    def per_thousand(self) -> float | None:
        """False alerts per 1,000 harmless conversations."""
        return 1000 * self.flagged / self.harmless if self.harmless else None

    def f(self, beta: float) -> float | None:
        """Return the F score that weighs recall `beta` times as much as precision."""
        precision, recall = self.precision, self.recall
        if precision is None or recall is None or not precision + recall:
            return None
        square = beta * beta
        return (1 + square) * precision * recall / (square * precision + recall)


class Report(msgspec.Struct, frozen=True):
    """Everything an evaluation of conversations has to tell: by label, then by language, `all` first."""

    configuration: str
    files: tuple[str, ...]
    labels: dict[str, dict[str, Figures]]
    missed: dict[str, tuple[str, ...]]
    """The ids of conversations that were not found, by label."""
    false_alerts: dict[str, tuple[str, ...]]
    rejected: tuple[Refused, ...]


def measure(items: Iterable[Flagged | Refused], configuration: str, files: Sequence[str]) -> Report:
    """Count."""
    conversations: list[Flagged] = []
    rejected: list[Refused] = []
    for item in items:
        if isinstance(item, Refused):
            rejected.append(item)
        else:
            conversations.append(item)
    labels, missed, false_alerts = {}, {}, {}
    for label in sorted({one.truth for one in conversations} - {BENIGN}):
        own = [one for one in conversations if one.truth in (label, BENIGN)]
        languages = sorted({one.language for one in own})
        labels[label] = {"all": figures(own, label)} | {
            language: figures([one for one in own if one.language == language], label)
            for language in languages
        }
        missed[label] = tuple(o.id for o in own if o.truth == label and _turn(o, label) is None)
        false_alerts[label] = tuple(
            o.id for o in own if o.truth == BENIGN and _turn(o, label) is not None
        )
    return Report(configuration, tuple(files), labels, missed, false_alerts, tuple(rejected))


def figures(conversations: Sequence[Flagged], label: str) -> Figures:
    """Count the conversations of one label, and harmless ones."""
    own = [one for one in conversations if one.truth == label]
    harmless = [one for one in conversations if one.truth == BENIGN]
    turns = [(turn, one.turns) for one in own if (turn := _turn(one, label)) is not None]
    counted = Figures(
        len(own),
        len(harmless),
        len(turns),
        sum(_turn(one, label) is not None for one in harmless),
        statistics.median(turn for turn, _ in turns) if turns else None,
        sum(turn <= length / 2 for turn, length in turns),
        None,
    )
    score = counted.f(1.0)
    if score is None:
        return counted
    usual = statistics.median(one.turns for one in own)
    penalties = [_penalty(turn, usual) for turn, _ in turns]
    latency = score * (1.0 - statistics.median(penalties))
    return msgspec.structs.replace(counted, latency=latency)


def _penalty(turn: int, usual: float) -> float:
    rate = _HALF / max(usual - 1.0, 1.0)
    return 2.0 / (1.0 + math.exp(-rate * (turn - 1))) - 1.0


def _turn(one: Flagged, label: str) -> int | None:
    """Return at which turn a conversation was flagged for a label, or any of a family."""
    if not is_family(label):
        return one.at.get(label)
    return min((turn for name, turn in one.at.items() if name.startswith(label[:-1])), default=None)


def markdown(report: Report) -> str:
    """Write the report to read."""
    head = (
        "label", "", "conversations", "found", "recall", "harmless", "flagged", "per 1,000", "precision",
        "F0.5", "turns until flagged", "early", "F-latency",
    )  # fmt: skip
    rows = [
        (
            label, language, f"{f.conversations:,}", f"{f.found:,}", number(f.recall), f"{f.harmless:,}",
            f"{f.flagged:,}", number(f.per_thousand, 1), number(f.precision), number(f.f(_BETA)),
            number(f.turns, 1), f"{f.early:,}", number(f.latency),
        )
        for label, by_language in report.labels.items()
        for language, f in by_language.items()
    ]  # fmt: skip
    lists = [
        (f"{name}: {label}", ids)
        for name, held in (("Missed", report.missed), ("Flagged though harmless", report.false_alerts))
        for label, ids in held.items()
    ]  # fmt: skip
    lines = [
        "# Conversations",
        "",
        f"Configuration {report.configuration}; {', '.join(map(plain, report.files))}.",
        "",
        *table(head, rows),
        "",
        _DEFINITIONS,
        *(
            line
            for title, ids in lists
            for line in section(title, [", ".join(map(plain, ids[:LISTED])), *more(len(ids))] if ids else ())
        ),
        *section(
            "Lines that cannot be used",
            table(
                ("file", "line", "reason", "detail"),
                ((r.file, str(r.number), r.reason, r.detail) for r in report.rejected[:LISTED]),
            ),
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def json(report: Report) -> bytes:
    """Write the report for a script."""
    labels = {
        label: {
            language: {
                **msgspec.structs.asdict(f),
                "recall": f.recall,
                "precision": f.precision,
                "f05": f.f(_BETA),
                "false_alerts_per_1000": f.per_thousand,
            }
            for language, f in by_language.items()
        }
        for label, by_language in report.labels.items()
    }
    whole = msgspec.structs.asdict(report) | {"labels": labels}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
