"""An explanation: one text through the line, with every step shown, for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from detectors.folding import Folded, fold
from pipeline.line import Line
from pipeline.policy import scores
from schemas import ACTIONS, Event, Finding

STYLES = {"none": "dim", "shadow": "cyan", "review": "yellow", "escalate": "bold red"}
"""How an action looks in a terminal."""


def explanation(event: Event, line: Line) -> RenderableType:
    """Show folding, matches, each finding's arithmetic, and what the policy makes of it."""
    folded = fold(event.text)
    findings = line.chain.findings([event]).get(0, ())
    parts: list[RenderableType] = [
        Text("Text", "bold"),
        highlighted(event.text, findings),
        Text(),
        *_folding(folded),
        Text(),
        *_matches(folded, line),
    ]
    for finding in findings:
        parts += [Text(), *_arithmetic(finding, event.text)]
    return Group(*parts, Text(), *_decision(event, findings, line))


def highlighted(text: str, findings: Sequence[Finding], offset: int = 0) -> Text:
    """Mark the evidence in a text that starts `offset` code points into the original.

    Control characters are shown as dots: a text must not be able to steer the terminal.
    """
    shown = Text("".join(c if c.isprintable() else "·" for c in text))
    for finding in findings:
        pieces = [(e.start, e.end) for e in finding.evidence if e.end > e.start]
        for start, end in pieces or [(finding.start, finding.end)]:
            first, last = max(0, start - offset), max(0, end - offset)
            if last > first:
                shown.stylize("bold reverse", first, last)
    return shown


def _folding(folded: Folded) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2))
    table.add_row("folded", Text(folded.text))
    if folded.squeezed is not None:
        table.add_row("squeezed", Text(folded.squeezed))
    table.add_row("disguised", f"{folded.obfuscation:.0%} of the letters")
    return [Text("Folding", "bold"), table]


def _matches(folded: Folded, line: Line) -> list[RenderableType]:
    hits = line.chain.database.scan([folded]).get(0)
    if hits is None:
        return [Text("Matches", "bold"), Text("none", "dim")]
    table = Table("pattern", "view", "at", "in the original", box=None, header_style="dim")
    for _, match in hits.matches:
        words = highlighted(folded.original[match.start : match.end], ())
        table.add_row(Text(match.pattern.id), match.view, f"{match.start}-{match.end}", words)
    return [Text("Matches", "bold"), table]


def _arithmetic(finding: Finding, text: str) -> list[RenderableType]:
    head = Text.assemble(
        (finding.label, "bold"), f"  {finding.detector} {finding.version}: {finding.reason}"
    )
    table = Table.grid(padding=(0, 2))
    for evidence in finding.evidence:
        words = text[evidence.start : evidence.end]
        table.add_row(f"{evidence.weight:+.2f}", Text(evidence.term), highlighted(words, ()))
    total = sum(evidence.weight for evidence in finding.evidence)
    cut = "" if round(total, 4) == finding.score else f"  ({total:.2f}, cut to 0..1)"
    table.add_row("-----")
    table.add_row(f"{finding.score:5.2f}", f"score{cut}")
    if finding.attributes:
        said = ", ".join(f"{k}: {v}" for k, v in sorted(finding.attributes.items()))
        table.add_row("", highlighted(said, ()))
    return [head, table]


def _decision(event: Event, findings: Sequence[Finding], line: Line) -> list[RenderableType]:
    actions = {verdict.label: verdict.action for verdict in line.policy.decide(event, findings)}
    if not findings:
        return [Text("Decision", "bold"), Text("none: no detector found anything", STYLES["none"])]
    table = Table.grid(padding=(0, 2))
    for label, score in scores(findings).items():
        rule = line.policy.rule(label)
        thresholds = "  ".join(
            f"{action} from {value:.2f}"
            for action in ACTIONS[1:]
            if (value := getattr(rule, action)) is not None
        )
        action = actions.get(label, "none")
        table.add_row(Text(action, STYLES[action]), f"{score:.2f}", label, Text(thresholds, "dim"))
    return [Text("Decision", "bold"), table]
