"""Writes: what a batch puts on which topic."""

from base64 import b64encode

import msgspec
import orjson

from pipeline.line import Line
from pipeline.seal import Quoting, Seal
from pipeline.settings import Escalations, Memory, Quota, Settings, Topics
from pipeline.writes import Record, Write, dead_letter, subject_verdict, topics_of, writes
from schemas import Reason, Rejected, Verdict
from schemas.signal import Signal
from schemas.subject_verdict import Part, SubjectVerdict
from tests.pipeline.events import CANARY, record

SOURCE = "platform.events"
TOPICS = Topics(escalations="out", shadow="quiet", dead_letters="bin")
ADVERT = "slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789"


def written(built: Line, *values: bytes | None) -> list[Write]:
    """Screen values as the records of one partition and return the writes."""
    records = [
        Record(SOURCE, 3, 100 + n, f"key{n}".encode(), value, (("trace", b"t1"),))
        for n, value in enumerate(values)
    ]
    return writes(records.__getitem__, built.screen(SOURCE, values), TOPICS)


def test_a_clean_record_causes_no_write(built: Line) -> None:
    """Almost every message ends here."""
    assert [] == written(built, record("hello"), record("selamat pagi"))


def test_an_escalation_is_keyed_by_its_id(built: Line) -> None:
    """Its value is the verdict, its headers say where the record stands."""
    [write] = written(built, record("hello"), record(CANARY, "e9"))
    verdict = msgspec.json.decode(write.value or b"", type=Verdict)

    assert "out" == write.topic
    assert verdict.id.encode() == write.key
    assert ("e9", "canary.seen", "review") == (verdict.event.id, verdict.label, verdict.action)
    assert {
        "penjaga-source-topic": SOURCE.encode(),
        "penjaga-source-partition": b"3",
        "penjaga-source-offset": b"101",
    } == dict(write.headers)


def test_an_escalation_stays_in_the_trace_of_its_message(built: Line) -> None:
    """W3C Trace Context goes along; other headers, and more of it than anybody has to pass on, do not."""
    parent, long = ("traceparent", b"00-4bf92f35-00f067aa-01"), ("tracestate", b"a=" + b"b" * 511)
    headers = (("cookie", b"secret"), parent, long)
    source = Record(SOURCE, 0, 0, None, record(CANARY), headers)
    [write] = writes([source].__getitem__, built.screen(SOURCE, [source.value]), TOPICS)

    assert parent in write.headers
    assert write.fallback is not None
    assert parent in write.fallback.headers
    assert {"cookie", "tracestate"}.isdisjoint(dict(write.headers))


def test_a_shadow_verdict_goes_to_the_shadow_topic(built: Line) -> None:
    """What is only measured never reaches the escalations."""
    screening = built.screen(SOURCE, [record(CANARY)])
    [verdict] = screening.verdicts[0]
    shadow = msgspec.structs.replace(
        screening, verdicts={0: (msgspec.structs.replace(verdict, action="shadow"),)}
    )
    [write] = writes([Record(SOURCE, 0, 0, None, b"x")].__getitem__, shadow, TOPICS)

    assert "quiet" == write.topic


def test_a_rejected_record_keeps_its_bytes_key_and_headers(built: Line) -> None:
    """The dead letter is the record untouched; reason, detail and place are headers."""
    bad = b"\xff\x00 not json"
    [write] = written(built, bad)

    assert ("bin", b"platform.events/3/100", bad) == (write.topic, write.key, write.value)
    headers = dict(write.headers)
    assert [
        "trace",
        "penjaga-reason",
        "penjaga-detail",
        "penjaga-source-topic",
        "penjaga-source-partition",
        "penjaga-source-offset",
        "penjaga-source-key",
    ] == list(headers)
    assert (b"t1", b"invalid_unicode", b"key0") == (
        headers["trace"],
        headers["penjaga-reason"],
        headers["penjaga-source-key"],
    )
    assert write.fallback is None


def test_a_tombstone_is_a_dead_letter_without_a_value(built: Line) -> None:
    """Nothing is made up where nothing was."""
    [write] = written(built, None)

    assert write.value is None
    assert b"tombstone" == dict(write.headers)["penjaga-reason"]


def test_a_record_without_a_key_gets_none() -> None:
    """An absent key is not an empty one."""
    letter = dead_letter(
        Record("t", 0, 0, None, b"x"), Rejected(reason=Reason.NOT_JSON, detail="d"), TOPICS
    )

    assert "penjaga-source-key" not in dict(letter.headers)


def test_a_dead_letter_of_a_dead_letter_names_its_last_reason() -> None:
    """Our own headers of an earlier round are replaced, the platform's stay."""
    old = (("penjaga-reason", b"not_json"), ("trace", b"t"), ("penjaga-source-topic", b"first"))
    letter = dead_letter(
        Record("t", 0, 0, None, b"x", old), Rejected(reason=Reason.TOO_DEEP, detail="d"), TOPICS
    )

    assert [b"too_deep"] == [v for k, v in letter.headers if k == "penjaga-reason"]
    assert [b"t"] == [v for k, v in letter.headers if k == "penjaga-source-topic"]
    assert ("trace", b"t") in letter.headers


def test_writes_come_in_the_order_of_the_records(built: Line) -> None:
    """Several verdicts of one event stay together, between those of its neighbours."""
    found = written(built, record(CANARY, "a"), b"bad", record(f"{ADVERT} {CANARY}", "b"))
    offsets = [dict(write.headers)["penjaga-source-offset"] for write in found if write.headers]

    assert offsets == sorted(offsets)
    assert {b"100": 1, b"101": 1} == {o: offsets.count(o) for o in (b"100", b"101")}
    assert offsets.count(b"102") >= 2


def test_what_is_too_large_for_its_topic_has_a_smaller_form_then_a_dead_letter(built: Line) -> None:
    """The smaller form keeps id, label, score and event; it holds neither text nor evidence."""
    [write] = [
        w
        for w in written(built, record(ADVERT))
        if w.topic == "out" and b'"gambling.promotion"' in (w.value or b"")
    ]
    full = msgspec.json.decode(write.value or b"", type=Verdict)
    assert write.fallback
    reduced = msgspec.json.decode(write.fallback.value or b"", type=Verdict)
    last = write.fallback.fallback

    assert (write.topic, write.key) == (write.fallback.topic, write.fallback.key)
    assert (full.id, full.label, full.score, full.event) == (
        reduced.id,
        reduced.label,
        reduced.score,
        reduced.event,
    )
    assert full.excerpt
    assert full.findings[0].evidence
    assert reduced.excerpt is None
    assert all(not f.evidence and not f.attributes for f in reduced.findings)
    assert len(write.fallback.value or b"") < len(write.value or b"")
    assert last
    assert ("bin", record(ADVERT), None) == (last.topic, last.value, last.fallback)
    assert b"escalation_too_large" == dict(last.headers)["penjaga-reason"]


def test_an_escalation_is_json_that_any_consumer_reads(built: Line) -> None:
    """Text of every script, and half an emoji, is valid UTF-8 JSON."""
    raw = record(f"கா 中文 \U0001f600 X {CANARY} \x00").replace(b" X ", rb" \ud83d ")
    [write] = [w for w in written(built, raw) if b"canary.seen" in (w.value or b"")]

    assert "canary.seen" == orjson.loads(write.value or b"")["label"]


def test_signals_go_to_their_subjects(built: Line) -> None:
    """The key is the subject, so that all of a subject is in one partition; they can be left out."""
    screening = built.screen(SOURCE, [record("hello"), record(ADVERT)])
    records = [Record(SOURCE, 3, n, None, None) for n in range(2)]
    told = [w for w in writes(records.__getitem__, screening, TOPICS) if w.topic == TOPICS.signals]
    without = writes(records.__getitem__, screening, TOPICS, with_signals=False)
    signals = [msgspec.json.decode(w.value or b"", type=Signal) for w in told]

    assert "gambling.promotion" in {signal.label for signal in signals}
    assert [w.key for w in told] == [signal.subject.encode() for signal in signals]
    assert {"out"} == {w.topic for w in without}


def test_a_subject_verdict_shrinks_then_becomes_a_dead_letter() -> None:
    """The smaller form keeps the events; the last one is the signal's own record."""
    verdict = SubjectVerdict(
        id="0" * 32,
        taxonomy_version="1",
        configuration="c",
        subject="actor:chat:a",
        behaviour="b",
        label="csea.grooming",
        severity="SEV0",
        level="review",
        action="review",
        score=0.7,
        parts=(Part("age_access", "a", 0.7),),
        faced=("b",),
        evidence=("e1", "e2"),
    )
    signal = Record("signals", 1, 7, b"actor:chat:a", b"{}")
    write = subject_verdict(signal, verdict, TOPICS)
    assert write.fallback
    reduced = msgspec.json.decode(write.fallback.value or b"", type=SubjectVerdict)
    last = write.fallback.fallback
    assert last

    assert verdict == msgspec.json.decode(write.value or b"", type=SubjectVerdict)
    assert ("out", verdict.id.encode()) == (write.topic, write.key)
    assert ((), (), ("e1", "e2")) == (reduced.parts, reduced.faced, reduced.evidence)
    assert ("bin", b"signals/1/7", b"{}") == (last.topic, last.key, last.value)


def test_every_topic_written_to_is_named() -> None:
    """What is checked at start is what is written to."""
    written = ("out", "quiet", "bin")
    without = Settings(topics=TOPICS, memory=Memory(store="off"))
    quotas = {"fraud.*": Quota(escalations_a_minute=1)}

    assert written == tuple(topics_of(without))
    assert (*written, "penjaga.overflow") == tuple(
        topics_of(msgspec.structs.replace(without, quotas=quotas))
    )
    assert (*written, "penjaga.signals", "penjaga.memory") == tuple(
        topics_of(Settings(topics=TOPICS))
    )
    assert (*written, "penjaga.quotations") == tuple(
        topics_of(msgspec.structs.replace(without, escalations=Escalations(quotations="apart")))
    )


def test_what_is_quoted_is_written_before_its_verdict_and_sealed_in_none_of_its_forms(
    built: Line,
) -> None:
    """Apart under the same key, or in the verdict; what stands in for a verdict too large quotes nothing."""
    seal = Seal(b64encode(bytes(32)).decode())
    screening = built.screen(SOURCE, [record(CANARY)])
    records = [Record(SOURCE, 3, 7, None, b"x")]
    quotation, apart = writes(
        records.__getitem__, screening, TOPICS, quoting=Quoting(seal, apart=True)
    )
    [inline] = writes(records.__getitem__, screening, TOPICS, quoting=Quoting(seal))

    assert ("penjaga.quotations", "out", "out") == (quotation.topic, apart.topic, inline.topic)
    assert quotation.key == apart.key
    assert dict(quotation.headers)["penjaga-source-offset"] == b"7"
    assert quotation.fallback is not None
    assert (quotation.fallback.topic, quotation.fallback.value) == ("bin", b"x")
    for write in (quotation, apart, inline, inline.fallback):
        assert write is not None
        assert CANARY.encode() not in (write.value or b"")
    assert b'"sealed"' in (inline.value or b"")
    assert inline.fallback is not None
    assert b'"sealed"' not in (inline.fallback.value or b"")


def test_what_is_held_back_goes_to_the_overflow_topic_as_it_is(built: Line) -> None:
    """The same key, value and headers; what is only measured stays where it was."""
    screening = built.screen(SOURCE, [record(CANARY)])
    [verdict] = screening.verdicts[0]
    records = [Record(SOURCE, 0, 0, None, b"x")]
    for action, usual, late in (
        ("review", "out", "penjaga.overflow"),
        ("shadow", "quiet", "quiet"),
    ):
        acted = (msgspec.structs.replace(verdict, action=action),)
        asking = msgspec.structs.replace(screening, verdicts={0: acted})
        held = msgspec.structs.replace(asking, held_back=frozenset({verdict.id}))
        [before] = writes(records.__getitem__, asking, TOPICS)
        [after] = writes(records.__getitem__, held, TOPICS)

        assert (usual, late) == (before.topic, after.topic)
        assert (before.key, before.value, before.headers) == (after.key, after.value, after.headers)
