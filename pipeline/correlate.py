"""Correlate: a subject over time, from one more signal to the levels it crosses. Read it downwards.

Pure, like `screen`: no clock (time is that of the events), no store. What counts, and how much, is in rows of
the settings (`pipeline.behaviours`).
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from pipeline.behaviours import Behaviour
from pipeline.memory import Memory, Trace
from schemas import ACTIONS, Action
from schemas.labels import Taxonomy
from schemas.signal import Signal, kind_of
from schemas.subject_verdict import Part, SubjectVerdict, subject_verdict_id


class Watch(msgspec.Struct, frozen=True):
    """What is watched for, and what verdicts carry."""

    behaviours: Mapping[str, Behaviour]
    taxonomy: Taxonomy
    configuration: str

    def of(self, subject: str) -> Iterator[tuple[str, Behaviour]]:
        """Yield the behaviours that show in such a subject."""
        kind = kind_of(subject)
        return ((n, b) for n, b in self.behaviours.items() if b.subject == kind)


class Sum(msgspec.Struct, frozen=True):
    """The score of a behaviour, and what adds up to it."""

    score: float
    parts: tuple[Part, ...]
    raised: float
    traces: tuple[Trace, ...]


def correlate(
    memory: Memory, signal: Signal, watch: Watch
) -> tuple[Memory, tuple[SubjectVerdict, ...]]:
    """Add a signal to what is kept of its subject; return that, and a verdict for each level crossed."""
    rows = [
        (name, row) for name, row in watch.of(signal.subject) if _is_of(signal.label, row.labels)
    ]
    if not rows:
        return memory, ()
    window = max(row.window_seconds for _, row in watch.of(signal.subject))
    after = memory.with_signal(signal, window)
    if after is memory:
        return memory, ()
    verdicts = []
    crossed = dict(after.crossed)
    for name, row in rows:
        found = score(after, row)
        level = row.rule.action(found.score)
        if ACTIONS.index(level) > ACTIONS.index(crossed.get(name, "none")):
            crossed[name] = level
            verdicts.append(_verdict((signal.subject, name, level), row, found, after, watch))
    return msgspec.structs.replace(after, crossed=crossed), tuple(verdicts)


def score(memory: Memory, row: Behaviour) -> Sum:
    """Add up what a subject's memory holds of a behaviour."""
    now = memory.traces[-1].at
    traces = [
        t
        for t in memory.traces
        if t.at > now - row.window_seconds
        and t.score >= row.least_score
        and _is_of(t.label, row.labels)
        and (not row.acted_on or t.action in ("review", "escalate"))
    ]
    nothing = Sum(0.0, (), 1.0, ())
    if len({t.actor_id for t in traces}) < row.least_people:
        return nothing
    if row.counts == "cues":
        senders = sorted({t.actor_id for t in traces})
        sums = [_of_sender(sender, traces, row, now) for sender in senders]
        return max(sums, key=lambda s: s.score, default=nothing)
    return _added(_keyed(traces, row), row, now)


def _of_sender(sender: str, traces: list[Trace], row: Behaviour, now: float) -> Sum:
    """Add up one sender's different cues, and what the other side replied."""
    own = [(cue, t.actor_id, t) for t in traces if t.actor_id == sender for cue in t.cues]
    own = [item for item in own if item[0] not in row.replies]
    replies = [
        (cue, t.actor_id, t)
        for t in traces
        if t.actor_id != sender
        for cue in t.cues
        if cue in row.replies
    ]
    if len({cue for cue, *_ in own}) < row.least:
        return Sum(0.0, (), 1.0, ())
    return _added([*own, *replies], row, now)


def _keyed(traces: list[Trace], row: Behaviour) -> list[tuple[str, str, Trace]]:
    if row.counts == "events":
        return [(t.event_id, t.actor_id, t) for t in traces]
    if row.people == "actors":
        return [(t.actor_id, t.actor_id, t) for t in traces]
    return [(person, t.actor_id, t) for t in traces for person in t.people]


def _added(items: list[tuple[str, str, Trace]], row: Behaviour, now: float) -> Sum:
    """Count each key once, with the weight it has left since it was last seen."""
    newest: dict[str, tuple[str, Trace]] = {}
    for key, actor, trace in items:
        newest[key] = (actor, trace)  # traces are in order of time
    if len(newest) < row.least:
        return Sum(0.0, (), 1.0, ())
    weights = {**row.weights, **row.replies} if row.counts == "cues" else {}
    parts = tuple(
        Part(
            key,
            actor,
            round(weights.get(key, row.weight) * 0.5 ** ((now - t.at) / row.half_life_seconds), 4),
        )
        for key, (actor, t) in sorted(newest.items())
    )
    traces = {t.id: t for _, _, t in items}
    raised = row.facing_minor if any(t.faces_minor for t in traces.values()) else 1.0
    total = round(min(1.0, raised * sum(part.weight for part in parts)), 4)
    return Sum(total, parts, raised, tuple(sorted(traces.values(), key=lambda t: (t.at, t.id))))


def _verdict(
    crossing: tuple[str, str, Action], row: Behaviour, found: Sum, memory: Memory, watch: Watch
) -> SubjectVerdict:
    subject, name, level = crossing
    label = row.label or _mostly(found.traces)
    return SubjectVerdict(
        id=subject_verdict_id(subject, name, level),
        taxonomy_version=watch.taxonomy.version,
        configuration=watch.configuration,
        subject=subject,
        behaviour=name,
        label=label,
        severity=watch.taxonomy.severity(label),
        level=level,
        score=found.score,
        parts=found.parts,
        raised=found.raised,
        counterparts=memory.counterparts,
        evidence=tuple(dict.fromkeys(t.event_id for t in found.traces)),
    )


def _mostly(traces: Iterable[Trace]) -> str:
    """Return the label with the highest sum of scores; the first by name of equals."""
    sums: dict[str, float] = {}
    for trace in traces:
        sums[trace.label] = sums.get(trace.label, 0.0) + trace.score
    return max(sorted(sums), key=lambda label: sums[label])


def _is_of(label: str, wanted: Iterable[str]) -> bool:
    family = label.partition(".")[0] + ".*"
    return any(one in (label, family) for one in wanted)
