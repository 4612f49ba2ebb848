"""Signals: findings, also those far below review, told to every subject they concern. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.correlate import Watch
from pipeline.policy import scores
from schemas import Action, Event, Finding, Verdict
from schemas.signal import Signal, SubjectKind, signal_id, subject

CUES = "processes"
"""The attribute of a finding that names what of its label was seen, separated by commas.

`secrecy=0.7` is seen with a likelihood, `secrecy` for certain.
"""
MOST_COUNTERPARTS = 16
"""Of whom something was written to, so many are told."""
WAYS = "ways"
"""The attribute that names where a finding's text leads: domains, handles, numbers; separated by blanks."""


def signals(
    event: Event, findings: Sequence[Finding], verdicts: Sequence[Verdict], watch: Watch
) -> tuple[Signal, ...]:
    """Return what an event's findings say of each subject in which anything is watched for.

    One signal for each label, and none for a label below the floor, or below what any behaviour of such a
    subject counts.
    """
    actions: Mapping[str, Action] = {verdict.label: verdict.action for verdict in verdicts}
    out = []
    for label, score in scores(findings).items():
        if score < watch.floor:
            continue
        action = actions.get(label, "none")
        own = [finding for finding in findings if finding.label == label]
        cues = _cues(own)
        certain = all(strength == 1.0 for strength in cues.values())
        for kind, name, counterparts in _subjects(event, own):
            if not watch.counts(kind, label, score, action, event.audience.kind):
                continue
            of = subject(kind, event.platform, name)
            out.append(
                Signal(
                    id=signal_id(event.platform, event.id, label, of),
                    subject=of,
                    label=label,
                    score=score,
                    action=action,
                    cues=tuple(cues),
                    strengths=() if certain else tuple(cues.values()),
                    event_id=event.id,
                    platform=event.platform,
                    occurred_at=event.occurred_at,
                    actor_id=event.actor.id,
                    actor_age_band=event.actor.age_band,
                    counterparts=counterparts,
                    counterpart_age_band=event.audience.recipient_age_band,
                    audience=event.audience.kind,
                )
            )
    return tuple(out)


def _subjects(
    event: Event, findings: Sequence[Finding]
) -> Iterator[tuple[SubjectKind, str, tuple[str, ...]]]:
    """Yield each subject, and whom the sender faces there."""
    recipients = event.audience.recipient_ids if event.audience.kind == "dm" else ()
    everybody = dict.fromkeys((*((event.target.id,) if event.target else ()), *recipients))
    met = tuple(everybody)[:MOST_COUNTERPARTS]
    if event.conversation:
        yield "conversation", event.conversation.id, met
    yield "actor", event.actor.id, met
    for target in met[:1]:
        yield "target", target, met[:1]
    if event.space:
        yield "space", event.space.id, met
    for way in sorted(_listed(findings, WAYS, " ")):
        yield "link", way, met


def _cues(findings: Sequence[Finding]) -> dict[str, float]:
    """Return how likely each cue is, the likeliest first. What is no likelihood counts as certain."""
    likely: dict[str, float] = {}
    for one in _listed(findings, CUES, ","):
        name, _, strength = one.partition("=")
        likely[name] = max(_likelihood(strength), likely.get(name, 0.0))
    return dict(sorted(likely.items(), key=lambda cue: (-cue[1], cue[0])))


def _likelihood(text: str) -> float:
    try:
        held = float(text)
    except ValueError:
        return 1.0
    return held if 0.0 <= held <= 1.0 else 1.0


def _listed(findings: Sequence[Finding], attribute: str, separator: str) -> set[str]:
    return {
        one
        for finding in findings
        for one in finding.attributes.get(attribute, "").split(separator)
        if one
    }
