"""Correlate: subjects over time, from a batch of signals to the levels they cross. Read it downwards.

Pure, like `screen`: no clock (time is that of the events), no store. What counts, and how much, is in rows of
the settings (`pipeline.behaviours`).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import msgspec

from pipeline.behaviours import Behaviour
from pipeline.memory import Memory, Trace
from schemas import ACTIONS, ESCALATIONS, Action
from schemas.event import AudienceKind
from schemas.labels import Taxonomy, is_of
from schemas.signal import Signal, kind_of
from schemas.subject_verdict import Part, SubjectVerdict, subject_verdict_id

Rows = tuple[tuple[str, Behaviour], ...]


class Watch(msgspec.Struct, frozen=True, dict=True):
    """What is watched for, and what verdicts carry."""

    behaviours: Mapping[str, Behaviour]
    taxonomy: Taxonomy
    configuration: str
    floor: float = 0.0
    """Findings with a lower score tell the subjects nothing."""

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Rows]:
        return {}

    @cached_property
    def windows(self) -> dict[str, float]:
        """How far back each kind of subject is remembered, in seconds."""
        windows: dict[str, float] = {}
        for row in self.behaviours.values():
            windows[row.subject] = max(row.window_seconds, windows.get(row.subject, 0.0))
        return windows

    def counts(
        self, kind: str, label: str, score: float, action: Action, audience: AudienceKind
    ) -> bool:
        """Say whether any behaviour of such a subject counts such a signal at all."""
        return any(
            score >= row.least_score
            and (not row.acted_on or action in ESCALATIONS)
            and audience in row.audiences
            for _, row in self.rows(kind, label)
        )

    def rows(self, kind: str, label: str) -> Rows:
        """Return the behaviours that show in such a subject and count such a label."""
        if label not in self.taxonomy:
            return ()
        if (kind, label) not in self._rows:
            self._rows[kind, label] = tuple(
                (name, row)
                for name, row in self.behaviours.items()
                if row.subject == kind and is_of(label, row.labels)
            )
        return self._rows[kind, label]


class Sum(msgspec.Struct, frozen=True):
    """The score of a behaviour, and what adds up to it."""

    score: float
    parts: tuple[Part, ...]
    raised: float
    traces: tuple[Trace, ...]


class Heard(msgspec.Struct, frozen=True):
    """One entry of a batch: a signal, or None to forget the subject."""

    subject: str
    signal: Signal | None
    latest: float = math.inf
    """An event dated after this, in seconds since 1970, counts as of then."""


class Correlation(msgspec.Struct, frozen=True):
    """What became of a batch."""

    changed: dict[str, Memory | None]
    """What is kept now of each subject of which anything changed; None: nothing, it is forgotten."""
    verdicts: tuple[tuple[int, SubjectVerdict], ...]
    """Each with the position of the signal that made the subject cross."""
    counted: int
    """How many signals told something new."""


def correlate_batch(
    remembered: Mapping[str, Memory], batch: Sequence[Heard], watch: Watch
) -> Correlation:
    """Add signals to what is kept of their subjects, in this order; `remembered` has what was before."""
    changed: dict[str, Memory | None] = {}
    verdicts: list[tuple[int, SubjectVerdict]] = []
    counted = 0
    for position, heard in enumerate(batch):
        if heard.signal is None:
            changed[heard.subject] = None
            continue
        held = (
            changed.get(heard.subject)
            if heard.subject in changed
            else remembered.get(heard.subject)
        )
        before = held or _NOTHING
        after, crossed = correlate(before, heard.signal, watch, heard.latest)
        if after is not before:
            counted += 1
            changed[heard.subject] = after
            verdicts += ((position, verdict) for verdict in crossed)
    return Correlation(changed, tuple(verdicts), counted)


_NOTHING = Memory()


def correlate(
    memory: Memory, signal: Signal, watch: Watch, latest: float = math.inf
) -> tuple[Memory, tuple[SubjectVerdict, ...]]:
    """Add a signal to what is kept of its subject; return that, and a verdict for each level crossed."""
    kind = kind_of(signal.subject)
    rows = watch.rows(kind, signal.label)
    if not rows:
        return memory, ()
    after = memory.with_signal(signal, watch.windows[kind], latest)
    if after is memory:
        return memory, ()
    verdicts = []
    crossed = dict(after.crossed)
    for name, row in rows:
        if crossed.get(name) == "escalate":
            continue
        found = score(after, row)
        level = row.rule.action(found.score)
        if ACTIONS.index(level) > ACTIONS.index(crossed.get(name, "none")):
            crossed[name] = level
            verdicts.append(_verdict((signal.subject, name, level), row, found, after, watch))
    if not verdicts:
        return after, ()
    return msgspec.structs.replace(after, crossed=crossed), tuple(verdicts)


def score(memory: Memory, row: Behaviour) -> Sum:
    """Add up what a subject's memory holds of a behaviour."""
    now = memory.traces[-1].at
    traces = [
        t
        for t in memory.traces
        if t.at > now - row.window_seconds
        and t.score >= row.least_score
        and is_of(t.label, row.labels)
        and (not row.acted_on or t.action in ESCALATIONS)
        and (not t.audience or t.audience in row.audiences)
    ]
    nothing = Sum(0.0, (), 1.0, ())
    if len({t.actor_id for t in traces}) < row.least_people:
        return nothing
    if row.counts == "cues" or row.by_one:
        senders = sorted({t.actor_id for t in traces})
        sums = [_of_sender(sender, traces, row, now) for sender in senders]
        return max(sums, key=lambda s: s.score, default=nothing)
    return _added(_keyed(traces, row), row, now)


def _of_sender(sender: str, traces: list[Trace], row: Behaviour, now: float) -> Sum:
    """Add up what one sender did: its events, or its different cues and what the other side replied."""
    own = [t for t in traces if t.actor_id == sender]
    if row.counts != "cues":
        return _added(_keyed(own, row), row, now)
    # Most have shown too little for it to matter how likely any of it is.
    if len({cue for t in own for cue in t.cues} - row.sums.keys()) < row.least:
        return Sum(0.0, (), 1.0, ())
    others = [t for t in traces if t.actor_id != sender]
    seen = _seen(own, row, now, lambda cue: cue not in row.replies)
    if sum(cue.likely >= LIKELY and cue.name not in row.sums for cue in seen) < row.least:
        return Sum(0.0, (), 1.0, ())
    seen += _seen(others, row, now, row.replies.__contains__)
    parts = tuple(
        Part(cue.name, cue.actor_id, round(cue.weight, 4))
        for cue in sorted(seen, key=lambda cue: cue.name)
    )
    return _summed(parts, [t for cue in seen for t in cue.traces], row)


LIKELY: Final = 0.2
"""A cue has to be so likely to be one of the `least` different ones."""


class Seen(msgspec.Struct, frozen=True):
    """One cue of a subject."""

    name: str
    actor_id: str
    """Who showed it last."""
    likely: float
    """How likely it was shown at all, 0 to 1, whenever that was."""
    weight: float
    """What it counts now."""
    traces: tuple[Trace, ...]


def _seen(
    traces: Sequence[Trace], row: Behaviour, now: float, counts: Callable[[str], bool]
) -> list[Seen]:
    """Return the cues that count: each as likely as that one of its sightings is true, or as all together."""
    sightings: dict[str, list[tuple[float, Trace]]] = {}
    for trace in traces:
        for cue, strength in trace.strengths():
            if counts(cue):
                sightings.setdefault(cue, []).append((strength, trace))
    weights = {**row.weights, **row.sums, **row.replies}
    return [
        Seen(
            cue,
            held[-1][1].actor_id,  # traces are in order of time
            _any_of(strength for strength, _ in held),
            weights.get(cue, row.weight)
            * (sum if cue in row.sums else _any_of)(s * _left(t, row, now) for s, t in held),
            tuple(trace for _, trace in held),
        )
        for cue, held in sightings.items()
    ]


def _any_of(likely: Iterable[float]) -> float:
    """Return how likely one of several is, taken as independent."""
    return round(1.0 - math.prod(1.0 - one for one in likely), 9)


def _left(trace: Trace, row: Behaviour, now: float) -> float:
    return float(0.5 ** ((now - trace.at) / row.half_life_seconds))


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
    parts = tuple(
        Part(key, actor, round(row.weight * _left(t, row, now), 4))
        for key, (actor, t) in sorted(newest.items())
    )
    return _summed(parts, [t for _, _, t in items], row)


def _summed(parts: tuple[Part, ...], counted: Iterable[Trace], row: Behaviour) -> Sum:
    traces = {t.id: t for t in counted}
    raised = row.facing_minor if any(t.faces_minor for t in traces.values()) else 1.0
    total = round(min(1.0, raised * sum(part.weight for part in parts)), 4)
    return Sum(total, parts, raised, tuple(sorted(traces.values(), key=lambda t: (t.at, t.id))))


def _verdict(
    crossing: tuple[str, str, Action], row: Behaviour, found: Sum, memory: Memory, watch: Watch
) -> SubjectVerdict:
    subject, name, level = crossing
    label = row.label or _mostly(found.traces)
    return SubjectVerdict(
        id=subject_verdict_id(subject, name, level, memory.lives),
        taxonomy_version=watch.taxonomy.version,
        configuration=watch.configuration,
        subject=subject,
        behaviour=name,
        label=label,
        severity=watch.taxonomy.severity(label),
        level=level,
        action=level,
        score=found.score,
        parts=found.parts,
        raised=found.raised,
        faced=tuple(dict.fromkeys(p for t in found.traces for p in t.people if p != t.actor_id)),
        audiences=tuple(sorted({t.audience for t in found.traces if t.audience})),
        counterparts=memory.counterparts,
        evidence=tuple(dict.fromkeys(t.event_id for t in found.traces)),
    )


def _mostly(traces: Iterable[Trace]) -> str:
    """Return the label with the highest sum of scores; the first by name of equals."""
    sums: dict[str, float] = {}
    for trace in traces:
        sums[trace.label] = sums.get(trace.label, 0.0) + trace.score
    return max(sorted(sums), key=lambda label: sums[label])
