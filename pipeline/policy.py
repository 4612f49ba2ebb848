"""The policy: scores to actions. Detectors say, only this acts."""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from schemas import (
    ACTIONS,
    ESCALATIONS,
    Action,
    Event,
    EventReference,
    Excerpt,
    Finding,
    Verdict,
    verdict_id,
)
from schemas.labels import Taxonomy, entry, is_of

Threshold = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]


Carry = Literal["full", "excerpt", "reference"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The score from which each action applies to a label; an action left out never applies.

    `audiences` narrows a rule to where the platform's duty lies: a private message outside it gets `none`.
    `carry` says how much of the text a verdict takes along: an excerpt around the evidence, the `full` text,
    or with `reference` nothing of it, and no evidence either.
    """

    shadow: Threshold | None = None
    review: Threshold | None = None
    escalate: Threshold | None = None
    audiences: tuple[Literal["dm", "group", "public"], ...] = ("dm", "group", "public")
    carry: Carry = "excerpt"

    def action(self, score: float) -> Action:
        """Return the strongest action whose threshold the score reaches."""
        for action in reversed(ACTIONS[1:]):
            threshold = getattr(self, action)
            if threshold is not None and score >= threshold:
                return action
        return "none"


class Policy:
    """Rules per label, and what an escalation may carry."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        default: Rule,
        taxonomy: Taxonomy,
        *,
        excerpt_characters: int,
        configuration: str,
    ) -> None:
        """Take the rules; `configuration` is the digest that every verdict carries."""
        self._rules = dict(rules)
        self._default = default
        self._taxonomy = taxonomy
        self._excerpt_characters = excerpt_characters
        self._configuration = configuration
        self._stopped: frozenset[str] = frozenset()
        self._spared: tuple[str, ...] = ()

    def rule(self, label: str) -> Rule:
        """Return the label's own rule, else its family's (`fraud.*`), else the default."""
        return entry(self._rules, label) or self._default

    def would_escalate(self, finding: Finding) -> bool:
        """Say whether a finding by itself brings its event to people."""
        return self.rule(finding.label).action(finding.score) in ESCALATIONS

    def stopping(self, detectors: frozenset[str], spared: tuple[str, ...]) -> "Policy":
        """Return a policy that escalates nothing for these detectors alone, but for labels that are spared.

        What it would have escalated is `shadow`.
        """
        policy = copy.copy(self)
        policy._stopped, policy._spared = detectors, spared  # noqa: SLF001  # its own copy
        return policy

    def decide(self, event: Event, findings: Sequence[Finding]) -> tuple[Verdict, ...]:
        """Return one verdict for each label that calls for an action, in the order of the labels."""
        verdicts = []
        for label, score in scores(findings).items():
            rule = self.rule(label)
            action = rule.action(score) if event.audience.kind in rule.audiences else "none"
            if action != "none":
                own = tuple(f for f in findings if f.label == label)
                if self._stopped and action in ESCALATIONS and not is_of(label, self._spared):
                    action = self._without_stopped(rule, own)
                verdicts.append(self._verdict(event, label, action, score, own, rule.carry))
        return tuple(verdicts)

    def _without_stopped(self, rule: Rule, findings: Sequence[Finding]) -> Action:
        trusted = (f.score for f in findings if f.detector not in self._stopped)
        action = rule.action(max(trusted, default=0.0))
        return action if action in ESCALATIONS else "shadow"

    def _verdict(  # noqa: PLR0913, PLR0917  # all of it is in a verdict
        self,
        event: Event,
        label: str,
        action: Action,
        score: float,
        findings: tuple[Finding, ...],
        carry: Carry,
    ) -> Verdict:
        return Verdict(
            id=verdict_id(event.platform, event.id, label),
            taxonomy_version=self._taxonomy.version,
            configuration=self._configuration,
            event=_reference(event),
            label=label,
            severity=self._taxonomy.severity(label),
            action=action,
            score=score,
            findings=tuple(bare(f) for f in findings) if carry == "reference" else findings,
            excerpt=self._carried(event.text, findings, carry),
        )

    def _carried(self, text: str, findings: Sequence[Finding], carry: Carry) -> Excerpt | None:
        if carry == "full":
            return Excerpt(text, 0)
        return _excerpt(text, findings, 0 if carry == "reference" else self._excerpt_characters)


def bare(finding: Finding) -> Finding:
    """Return a finding without what it knows of the text."""
    return msgspec.structs.replace(finding, evidence=(), attributes={})


def scores(findings: Sequence[Finding]) -> dict[str, float]:
    """Return the highest score of each label, labels in order."""
    highest: dict[str, float] = {}
    for finding in findings:
        highest[finding.label] = max(finding.score, highest.get(finding.label, 0.0))
    return dict(sorted(highest.items()))


def strongest(verdicts: Sequence[Verdict]) -> Action:
    """Return the strongest action of an event's verdicts."""
    return max((v.action for v in verdicts), key=ACTIONS.index, default="none")


def _reference(event: Event) -> EventReference:
    return EventReference(
        id=event.id,
        platform=event.platform,
        kind=event.kind,
        occurred_at=event.occurred_at,
        actor_id=event.actor.id,
        actor_age_band=event.actor.age_band,
        audience=event.audience.kind,
        recipient_age_band=event.audience.recipient_age_band,
        conversation_id=event.conversation.id if event.conversation else None,
        space_id=event.space.id if event.space else None,
        target_id=event.target.id if event.target else None,
        language=event.language,
        is_ad=event.is_ad,
    )


def _excerpt(text: str, findings: Sequence[Finding], characters: int) -> Excerpt | None:
    """Cut at most `characters` of the original text around the first evidence."""
    placed = [f for f in findings if f.end > f.start]
    if not characters or not placed:
        return None
    start = min(f.start for f in placed)
    end = max(f.end for f in placed)
    margin = max(0, characters - (end - start)) // 2
    first = max(0, start - margin)
    return Excerpt(text[first : first + characters], first)
