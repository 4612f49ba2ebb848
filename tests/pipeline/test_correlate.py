"""Subjects over time: what adds up, what does not, and that order and repetition change nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.behaviours import Behaviour, shipped
from pipeline.correlate import LIKELY, Heard, Watch, correlate, correlate_batch, score
from pipeline.memory import (
    BYTES,
    MOST_FORMER,
    MOST_TRACES,
    VERSION,
    Memory,
    MemoryVersionError,
    decoded,
    encoded,
)
from schemas import Action
from schemas.event import AgeBand, AudienceKind
from schemas.labels import taxonomy
from schemas.signal import Signal, kind_of, signal_id
from schemas.subject_verdict import SubjectVerdict

GROOMING_ROW = msgspec.structs.replace(
    shipped()["grooming_conversation"],
    weight=0.25,
    sums={},
    replies={"stated_age": 0.25, "refusal": 0.25, "discomfort": 0.25},
    least=3,
)
"""With round numbers, whatever the shipped ones are tuned to."""
WATCH = Watch({**shipped(), "grooming_conversation": GROOMING_ROW}, taxonomy(), "0123456789abcdef")
START = datetime(2026, 3, 1, tzinfo=UTC)
GROOMING = "csea.grooming"
BULLYING = "bullying.harassment"


def signal(  # noqa: PLR0913  # what tests differ in
    number: int,
    *,
    subject: str = "conversation:chat:c",
    label: str = GROOMING,
    cues: Sequence[str] = (),
    likely: float = 1.0,
    actor: str = "a",
    minutes: float | None = None,
    met: Sequence[str] = ("b",),
    score: float = 0.4,
    action: Action = "none",
    facing: AgeBand = "unknown",
    band: AgeBand = "unknown",
    audience: AudienceKind = "dm",
) -> Signal:
    """Return one signal; its event is as many minutes old as its number unless told otherwise."""
    event = f"e{number}"
    return Signal(
        id=signal_id("chat", event, label, subject),
        subject=subject,
        label=label,
        score=score,
        action=action,
        cues=tuple(cues),
        strengths=() if likely == 1.0 else (likely,) * len(cues),
        event_id=event,
        platform="chat",
        occurred_at=START + timedelta(minutes=number if minutes is None else minutes),
        actor_id=actor,
        actor_age_band=band,
        counterparts=tuple(met),
        counterpart_age_band=facing,
        audience=audience,
    )


def played(signals: Sequence[Signal]) -> tuple[Memory, list[SubjectVerdict]]:
    """Take signals of one subject in this order."""
    memory, verdicts = Memory(), []
    for one in signals:
        memory, crossed = correlate(memory, one, WATCH)
        verdicts += crossed
    return memory, verdicts


PROCESSES = ["age_access", "isolation_secrecy", "platform_move", "picture_request"]
CONVERSATION = [signal(n, cues=[cue]) for n, cue in enumerate(PROCESSES)]


def test_different_processes_of_one_sender_cross_each_level_once() -> None:
    """The verdict names the events and re-adds to its score; the level is crossed early."""
    memory, verdicts = played([*CONVERSATION, *(signal(n, cues=["gifts"]) for n in range(9, 14))])

    assert ["review", "escalate"] == [v.level for v in verdicts]
    assert ("e0", "e1", "e2") == verdicts[0].evidence
    assert verdicts[0].score == pytest.approx(sum(p.weight for p in verdicts[0].parts), abs=1e-3)
    assert {("age_access", "a"), ("isolation_secrecy", "a"), ("platform_move", "a")} == {
        (part.key, part.actor_id) for part in verdicts[0].parts
    }
    assert {GROOMING} == {v.label for v in verdicts}
    assert {"SEV0"} == {v.severity for v in verdicts}
    assert "escalate" == memory.crossed["grooming_conversation"]


@pytest.mark.parametrize("cue", PROCESSES)
def test_one_cue_alone_never_alerts(cue: str) -> None:
    """However often, by whomever, and whoever is faced."""
    memory, verdicts = played(
        [signal(n, cues=[cue], facing="minor", band="adult", score=0.55) for n in range(40)]
    )

    assert [] == verdicts
    assert 0 < len(memory.traces) <= MOST_TRACES


def test_two_people_who_each_show_a_little_are_no_sender_who_shows_much() -> None:
    """Cues of different senders do not add up."""
    halves = [signal(n, cues=[c], actor="ab"[n % 2]) for n, c in enumerate(PROCESSES)]

    assert [] == played(halves)[1]


def test_what_the_other_side_says_counts() -> None:
    """A stated age and a refusal by the recipient raise what the sender shows."""
    own = [signal(n, cues=[cue]) for n, cue in enumerate(["age_access", "meeting", "gifts"])]
    replies = [
        signal(7 + n, cues=[cue], actor="b", met=["a"])
        for n, cue in enumerate(["stated_age", "refusal", "discomfort"])
    ]
    with_replies = played([*own, *replies])[1]

    assert "review" == played(own)[1][-1].level
    assert "escalate" == with_replies[-1].level
    assert {"b"} == {p.actor_id for p in with_replies[-1].parts if p.key == "stated_age"}
    assert [] == played(replies)[1]


def test_a_cue_that_is_not_certain_counts_its_share_and_more_each_time_it_is_seen() -> None:
    """Seen twice with 0.4, it is as likely as 1 - 0.6 x 0.6, however often that is repeated to no end."""

    def weights(times: int) -> dict[str, float]:
        cues = [cue for cue in PROCESSES for _ in range(times)]
        memory, _ = played(
            [signal(n, cues=[cue], likely=0.4, minutes=0) for n, cue in enumerate(cues)]
        )
        found = score(memory, WATCH.behaviours["grooming_conversation"])
        return {part.key: part.weight for part in found.parts}

    weight = WATCH.behaviours["grooming_conversation"].weight

    assert dict.fromkeys(PROCESSES, pytest.approx(weight * 0.4)) == weights(1)
    assert dict.fromkeys(PROCESSES, pytest.approx(weight * 0.64)) == weights(2)
    assert all(0.64 * weight < one < weight for one in weights(3).values())


def test_some_cues_count_each_time_they_are_shown() -> None:
    """As likely as they are, with what they have left; they are none of the different ones."""
    row = msgspec.structs.replace(GROOMING_ROW, sums={"drawing_in": 0.1}, least=2)
    often = [signal(n, cues=["drawing_in"], likely=0.5, minutes=0) for n in range(9)]
    others = [signal(20 + n, cues=[cue], minutes=0) for n, cue in enumerate(PROCESSES[:2])]

    def weight(times: int) -> float:
        found = score(played([*often[:times], *others])[0], row)
        return {part.key: part.weight for part in found.parts}["drawing_in"]

    assert [0.05, 0.1, 0.45] == pytest.approx([weight(1), weight(2), weight(9)])
    assert 0.0 == score(played([*often, others[0]])[0], row).score
    faint = signal(30, cues=["meeting"], likely=0.1, minutes=0)
    assert 0.0 == score(played([*often, others[0], faint])[0], row).score
    assert 0.45 == pytest.approx(
        score(played([*often, *others])[0], row).score - 2 * GROOMING_ROW.weight
    )


def test_the_shipped_row_needs_two_different_cues() -> None:
    """A single one of the ten, told with however much drawing in, never alerts."""
    watch = Watch(shipped(), taxonomy(), "0123456789abcdef")
    memory = Memory()
    for n in range(14):
        memory, crossed = correlate(
            memory, signal(n, cues=["gifts", "drawing_in"], facing="minor"), watch
        )
        assert () == crossed
    _, crossed = correlate(memory, signal(20, cues=["meeting"], facing="minor"), watch)

    assert {"grooming_conversation"} == {verdict.behaviour for verdict in crossed}


def test_cues_that_are_hardly_likely_are_none_of_the_different_ones() -> None:
    """Many faint ones never cross, nor do two that are sure with them."""
    faint = [signal(9 + n, cues=[cue], likely=0.1) for n, cue in enumerate(PROCESSES[2:])]
    sure = [signal(n, cues=[cue]) for n, cue in enumerate(PROCESSES[:2])]
    row = WATCH.behaviours["grooming_conversation"]

    assert 0.0 == score(played([*sure, *faint])[0], row).score
    assert (
        0.0 < score(played([*sure, signal(8, cues=["gifts"], likely=LIKELY), *faint])[0], row).score
    )


def test_sightings_of_a_cue_that_is_not_certain_are_kept_and_certain_ones_make_room() -> None:
    """The last certain sighting is kept, however many faint ones of another cue come after it."""
    certain = [signal(n, cues=["gifts"]) for n in range(8)]
    faint = [signal(20 + n, cues=["meeting"], likely=0.3) for n in range(8)]
    memory, _ = played([*certain, *faint])
    assert ["gifts"] * 6 + ["meeting"] * 8 == [c for t in memory.traces for c in t.cues]

    more, _ = played(
        [*certain, *faint, *(signal(40 + n, cues=["meeting"], likely=0.3) for n in range(9))]
    )
    first = [signal(n, cues=["meeting"], likely=0.3) for n in range(3)]
    later, _ = played([*first, *(signal(10 + n, cues=["gifts"]) for n in range(14))])
    kept = [trace.event_id for trace in more.traces]

    assert ["meeting"] * 3 == [cue for t in later.traces[:3] for cue in t.cues]

    assert MOST_TRACES == len(kept)
    assert ["e7"] == [event for event in kept if int(event[1:]) < 20]
    assert [f"e{n}" for n in range(40, 49)] == kept[-9:]


def test_strengths_survive_being_written() -> None:
    """In hundredths; a certain cue takes no room."""
    memory, _ = played([signal(1, cues=["gifts"], likely=0.37), signal(2, cues=["meeting"])])

    assert memory == decoded(encoded(memory))
    assert [(("gifts", 0.37),), (("meeting", 1.0),)] == [t.strengths() for t in memory.traces]
    assert () == memory.traces[1].percents


def test_a_minor_faced_raises_and_an_unknown_age_silences_nothing() -> None:
    """Bands only ever add; between two minors nothing is added."""

    def last(facing: AgeBand, band: AgeBand) -> float:
        cues = ["age_access", "meeting", "gifts"]
        signals = [signal(n, cues=[c], facing=facing, band=band) for n, c in enumerate(cues)]
        return played(signals)[1][-1].score

    assert last("unknown", "unknown") == last("minor", "minor") == last("adult", "adult")
    assert last("minor", "adult") == last("minor", "unknown") > last("unknown", "unknown")


def test_what_is_long_ago_weighs_less() -> None:
    """The same processes spread over six weeks, all within the window, say little."""
    spread = [signal(n, cues=[cue], minutes=n * 15 * 1440) for n, cue in enumerate(PROCESSES)]

    assert [] == played(spread)[1]
    assert [] != played(CONVERSATION)[1]


@pytest.mark.parametrize(
    ("behaviour", "signals"),
    [
        (
            "grooming_fan_out",
            [
                signal(n, subject="actor:chat:a", cues=["age_access"], met=[f"b{n}"])
                for n in range(4)
            ],
        ),
        (
            "pile_on",
            [
                signal(n, subject="target:chat:t", label=BULLYING, actor=f"a{n}", met=["t"])
                for n in range(6)
            ],
        ),
        (
            "persistent_harassment",
            [signal(n, label=BULLYING) for n in range(5)],
        ),
        (
            "link_campaign",
            [
                signal(n, subject="link:chat:x.example", label="gambling.promotion", actor=f"a{n}")
                for n in range(6)
            ],
        ),
        (
            "unsafe_space",
            [
                signal(n, subject="space:chat:s", actor=f"a{n % 4}", score=0.6, label=BULLYING)
                for n in range(9)
            ],
        ),
        (
            "repeat_offender",
            [
                signal(
                    n,
                    subject="actor:chat:a",
                    label=("fraud.phishing", "gambling.promotion")[n % 2],
                    action="review",
                    met=[],
                )
                for n in range(3)
            ],
        ),
    ],
)
def test_each_behaviour_shows_in_its_subject(behaviour: str, signals: list[Signal]) -> None:
    """One signal fewer than crosses, and nothing is said."""
    crossing = played(signals)[1]

    assert {behaviour} == {v.behaviour for v in crossing}
    assert kind_of(signals[0].subject) == WATCH.behaviours[behaviour].subject
    assert "review" == crossing[0].level
    assert crossing[0].evidence[-1] == next(
        s.event_id for n, s in enumerate(signals) if played(signals[: n + 1])[1]
    )
    assert [] == played(signals[:2])[1]


def test_many_who_write_once_are_nobody_who_repeats() -> None:
    """In a thread that many are cruel in, only who goes on and on is told as such."""
    crowd = [signal(n, label=BULLYING, actor=f"a{n}") for n in range(12)]
    one = [signal(20 + n, label=BULLYING, actor="x") for n in range(4)]

    assert [] == played(crowd)[1]
    assert [("persistent_harassment", {"x"})] == [
        (v.behaviour, {p.actor_id for p in v.parts}) for v in played([*crowd, *one])[1]
    ]


def test_one_sender_who_repeats_is_no_campaign_and_no_pile_on() -> None:
    """Different people count, each once."""
    link = [signal(n, subject="link:chat:x", label="gambling.promotion") for n in range(30)]
    target = [signal(n, subject="target:chat:t", label=BULLYING) for n in range(30)]

    assert [] == played(link)[1]
    assert [] == played(target)[1]


SIGNALS = st.lists(
    st.builds(
        signal,
        st.integers(0, 60),
        cues=st.lists(st.sampled_from([*PROCESSES, "stated_age"]), max_size=2),
        likely=st.sampled_from([0.4, 1.0, 1.0, 1.0]),
        actor=st.sampled_from("abc"),
        met=st.lists(st.sampled_from("bcdef"), max_size=3),
        label=st.sampled_from([GROOMING, BULLYING]),
    ),
    max_size=40,
    unique_by=lambda s: s.id,
)


def test_a_redelivery_changes_nothing() -> None:
    """Every signal three times, in any mixture after the first, gives the same verdicts and memory."""
    crossed = 0

    @given(SIGNALS)
    def check(signals: list[Signal]) -> None:
        nonlocal crossed
        memory, verdicts = played(signals)
        tripled = [again for n, s in enumerate(signals) for again in (s, s, signals[n // 2], s)]
        crossed += len(verdicts)

        assert (memory, verdicts) == played(tripled)

    check()

    assert crossed > 5


def test_what_is_kept_does_not_depend_on_the_order() -> None:
    """Late signals end where they would have been, as long as nothing had to be dropped."""

    @given(SIGNALS.filter(lambda s: len(s) <= MOST_TRACES), st.randoms(use_true_random=False))
    def check(signals: list[Signal], random: object) -> None:
        shuffled = list(signals)
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        one, other = played(signals)[0], played(shuffled)[0]

        assert one.traces == other.traces
        assert one.met == other.met

    check()


def test_a_subject_stays_small() -> None:
    """However much is told of it: below 4 KB, with ids as long as a UUID."""
    long = "123e4567-e89b-12d3-a456-4266141"
    told = [
        msgspec.structs.replace(
            signal(
                n,
                cues=PROCESSES[:2],
                actor=f"{long}{n:05}",
                met=[f"{long}{n:05}", f"{long}x{n:04}"],
            ),
            event_id=f"{long}{n:05}",
        )
        for n in range(500)
    ]
    memory, _ = played(told)

    assert 12 == len(memory.traces)
    assert 3500 < len(encoded(memory)) <= BYTES


def test_people_are_counted_exactly_while_few_and_about_when_many() -> None:
    """The sketch is off by less than a third of ten thousand people."""

    def counted(people: int) -> int:
        memory = Memory()
        for n in range(people):
            one = signal(
                n, subject="link:chat:x", label="gambling.promotion", actor=f"a{n}", met=[]
            )
            memory = correlate(memory, one, WATCH)[0]
        return memory.counterparts

    assert [1, 20, 63] == [counted(n) for n in (1, 20, 63)]
    assert counted(5000) == pytest.approx(5000, rel=0.34)


def test_levels_are_forgotten_with_what_made_them() -> None:
    """After the window a subject begins anew, and may cross again."""
    later = [signal(100 + n, cues=[c], minutes=n + 200 * 1440) for n, c in enumerate(PROCESSES)]
    _, verdicts = played([*CONVERSATION, *later])

    assert ["review", "escalate"] * 2 == [v.level for v in verdicts]


def test_memory_is_read_back_and_older_ones_too() -> None:
    """Fields are added at the end; what an older release wrote lacks them, a newer one is refused."""
    memory, _ = played(CONVERSATION)
    oldest = msgspec.msgpack.encode([VERSION])

    assert memory == decoded(encoded(memory))
    assert Memory() == decoded(oldest)
    with pytest.raises(MemoryVersionError, match="run the newer one"):
        decoded(msgspec.msgpack.encode([VERSION + 1]))


def test_a_label_outside_the_rows_is_not_remembered() -> None:
    """What nobody watches for takes no room."""
    memory, verdicts = played([signal(1, label="canary.seen")])

    assert (Memory(), []) == (memory, verdicts)


def test_a_row_may_be_changed() -> None:
    """Levels, weights and counts are the settings'."""
    row = Behaviour(
        subject="conversation", labels=("csea.*",), counts="events", least=1, review=0.2
    )
    watch = Watch({"any": row}, taxonomy(), "x")
    _, (verdict,) = correlate(Memory(), signal(1), watch)

    assert ("any", "review", GROOMING) == (verdict.behaviour, verdict.level, verdict.label)


def test_a_subject_stays_small_whatever_its_ids() -> None:
    """The longest ids that an event may have, cues without end, and levels crossed: below 4 KB."""
    told = [
        msgspec.structs.replace(
            signal(
                n,
                cues=[
                    *PROCESSES,
                    *(f"{c}{n}" * 9 for c in "abc"),
                    *(f"c{m}-{n}" for m in range(30)),
                ],
                actor="ā" * 507 + f"{n:05}",
                met=["ā" * 500 + f"{n:05}", "x" * 512],
            ),
            event_id="e" * 500 + f"{n:05}",
        )
        for n in range(60)
    ]
    memory, verdicts = played(told)

    assert len(encoded(memory)) <= BYTES
    assert 3 <= len(memory.traces)
    assert [] == [v for v in verdicts if len(msgspec.json.encode(v)) > 2 * BYTES]


def test_a_signal_that_made_room_is_known_again() -> None:
    """Its trace is gone, and still it does not count twice, nor push out another."""
    told = [signal(n, cues=[c]) for n, c in enumerate(PROCESSES * 6)]
    memory, _ = played(told)
    gone = [s for s in told if s.id not in {t.id for t in memory.traces}]
    again = memory
    for one in gone[-MOST_FORMER:]:
        again, verdicts = correlate(again, one, WATCH)
        assert () == verdicts

    assert len(gone) == len(told) - MOST_TRACES
    assert memory is again


def test_a_date_in_the_future_makes_nothing_old() -> None:
    """One message from a phone whose clock is years ahead neither erases a subject nor silences it."""
    latest = (START + timedelta(days=1)).timestamp()
    ahead = signal(50, cues=["gifts"], minutes=10 * 525_600)
    memory, verdicts = Memory(), []
    for one in (*CONVERSATION[:2], ahead, *CONVERSATION[2:]):
        memory, crossed = correlate(memory, one, WATCH, latest)
        verdicts += crossed

    assert ["review", "escalate"] == [v.level for v in verdicts]
    assert {"e0", "e1", "e50"} <= set(verdicts[-1].evidence)


def test_who_crosses_again_after_all_was_forgotten_has_new_ids() -> None:
    """It is no redelivery of what was escalated long ago."""
    later = [signal(100 + n, cues=[c], minutes=n + 200 * 1440) for n, c in enumerate(PROCESSES)]
    memory, verdicts = played([*CONVERSATION, *later])

    assert 1 == memory.lives
    assert 4 == len({v.id for v in verdicts})
    assert played(CONVERSATION)[1][0].id == verdicts[0].id


def test_an_audience_may_be_left_alone() -> None:
    """A row for groups and public writing counts no direct message; the verdict says before whom it was."""
    row = msgspec.structs.replace(
        WATCH.behaviours["grooming_conversation"], audiences=("group", "public")
    )
    watch = Watch({"public": row}, taxonomy(), "x")
    seen = {}
    for audience in ("dm", "group"):
        memory, verdicts = Memory(), []
        for number, cue in enumerate(PROCESSES):
            one = signal(number, cues=[cue], audience=audience)  # type: ignore[arg-type]
            memory, crossed = correlate(memory, one, watch)
            verdicts += crossed
        seen[audience] = [v.audiences for v in verdicts]

    assert {"dm": [], "group": [("group",), ("group",)]} == seen


def test_a_verdict_says_who_was_written_to() -> None:
    """Roles are in it: who showed what, and whom it faced."""
    verdict = played(CONVERSATION)[1][0]

    assert ("b",) == verdict.faced
    assert {"a"} == {part.actor_id for part in verdict.parts}


def test_memory_of_the_first_version_is_read() -> None:
    """It lacks audiences; its traces still count, and what is written back is of this version."""
    oldest = [
        1,
        [
            [
                1772323200.0,
                "0" * 15 + str(n),
                f"m{n}",
                GROOMING,
                0.4,
                "none",
                [cue],
                "a",
                ["b"],
                False,
            ]
            for n, cue in enumerate(PROCESSES[:2])
        ],
        [1, 2],
        {},
    ]
    memory = decoded(msgspec.msgpack.encode(oldest))
    after, verdicts = correlate(memory, signal(7, cues=PROCESSES[2:3]), WATCH)

    assert ("m0", "m1", "e7") == verdicts[0].evidence
    assert (VERSION, 0) == (after.version, after.lives)
    assert after == decoded(encoded(after))


def test_a_batch_is_taken_in_its_order() -> None:
    """Subjects apart, and what is forgotten in between is gone: the rest begins anew."""
    other = [msgspec.structs.replace(s, subject="conversation:chat:d") for s in CONVERSATION]
    mixed = [Heard(s.subject, s) for pair in zip(CONVERSATION, other, strict=True) for s in pair]
    forget = Heard("conversation:chat:c", None)
    plain = correlate_batch({}, mixed, WATCH)
    half = correlate_batch({}, [*mixed[:4], forget, *mixed[4:]], WATCH)
    last = correlate_batch({}, [*mixed, forget], WATCH)

    assert (8, 4) == (plain.counted, len(plain.verdicts))
    assert [mixed[n].subject for n, _ in plain.verdicts] == [v.subject for _, v in plain.verdicts]
    assert {"conversation:chat:d"} == {v.subject for _, v in half.verdicts}
    assert last.changed["conversation:chat:c"] is None
    assert plain.verdicts == last.verdicts


def test_a_batch_may_be_cut_anywhere() -> None:
    """Verdicts and memory are the same whichever signals come together, and when all come again."""
    cut = 0

    @given(SIGNALS, st.integers(1, 9))
    def check(signals: list[Signal], size: int) -> None:
        nonlocal cut
        heard = [Heard(s.subject, s) for s in signals]
        whole = correlate_batch({}, heard, WATCH)
        held: dict[str, Memory] = {}
        verdicts: list[SubjectVerdict] = []
        for start in [*range(0, len(heard), size)]:
            part = correlate_batch(held, heard[start : start + size], WATCH)
            held |= {s: m for s, m in part.changed.items() if m}
            verdicts += (v for _, v in part.verdicts)
            cut += 1
        again = correlate_batch(held, heard, WATCH)

        assert [v for _, v in whole.verdicts] == verdicts
        assert whole.changed == held
        assert ({}, (), 0) == (again.changed, again.verdicts, again.counted)

    check()

    assert cut > 50
