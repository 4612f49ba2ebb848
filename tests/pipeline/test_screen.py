"""Screen: nothing is lost, whatever the bytes."""

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.line import Line
from pipeline.screen import Screening
from schemas import Event, Rejected
from schemas.verdict import ACTIONS
from tests.pipeline.events import CANARY, record

SOURCE = "platform.events"
TEXT = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            CANARY,
            "m a x w i n slot gacor daftar sekarang",
            "s l o t g a c o r\u0301\u200d 𝐟𝐫𝐞𝐞 𝐤𝐫𝐞𝐝𝐢𝐭 RM10 wa.me/60123456789",
            "akaun anda digantung, sahkan di maybank2u.secure-login.top",
            "你好，免费彩金 首存送100% 加微信",
            "காசு இலவசம் வெற்றி",
            "you are stupid, nobody likes you",
        ]
    ),
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
RECORD = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.builds(record, st.lists(TEXT, max_size=3).map(" ".join), st.text(max_size=4)),
    st.recursive(
        PLAIN,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "text", "actor", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(orjson.dumps),
)


def assert_sound(records: list[bytes | None], screening: Screening) -> None:
    """Assert what holds for every batch."""
    assert len(records) == len(screening.events)
    assert len(records) == screening.passed + screening.flagged + len(screening.rejected)
    assert screening.passed >= 0
    expected = {p: e for p, e in enumerate(screening.events) if isinstance(e, Rejected)}
    assert expected == screening.rejected
    assert screening.verdicts.keys() <= screening.findings.keys()
    for position, findings in screening.findings.items():
        event = screening.events[position]
        assert isinstance(event, Event)
        assert findings
        for finding in findings:
            assert 0 <= finding.start <= finding.end <= len(event.text)
            assert "detector.failed" != finding.label
            for evidence in finding.evidence:
                assert 0 <= evidence.start <= evidence.end <= len(event.text)
    for verdicts in screening.verdicts.values():
        assert verdicts
        for verdict in verdicts:
            assert verdict.action in ACTIONS[1:]
            assert msgspec.json.encode(verdict)


def test_every_record_is_passed_flagged_or_rejected(built: Line) -> None:
    """Received = passed + flagged + rejected for any bytes, and every span lies inside its text."""
    seen = {"passed": 0, "flagged": 0, "rejected": 0}

    @given(st.lists(RECORD, max_size=6))
    def check(records: list[bytes | None]) -> None:
        screening = built.screen(SOURCE, records)
        assert_sound(records, screening)
        seen["passed"] += screening.passed
        seen["flagged"] += screening.flagged
        seen["rejected"] += len(screening.rejected)

    check()

    assert all(count > 3 for count in seen.values()), seen


HOSTILE = {
    "one megabyte": "slot gacor daftar " * 58_000,
    "at the limit": ("a " * 32_768),
    "no blanks": "a" * 65_536,
    "digits": "7" * 65_536,
    "dots": "." * 65_536,
    "styled": "𝐦" * 65_536,
    "spaced letters": "m a x w i n " * 5_000,
    "leet": "m4xw1n" * 10_000,
    "NUL": f"a\x00b\x00{CANARY}\x00",
    "right to left": f"\u202e{CANARY}\u202c abc \u2066\u2069",
    "combining marks": "a" + "\u0301" * 10_000 + f" {CANARY}",
    "vowel signs": "க" + "ா" * 10_000,
    "zero width": "\u200b".join(CANARY),
    "empty": "",
    "blank": " \t\n\r\u2028\u3000",
    "flags": "🇲🇾" * 3_000,
    "links": "http://a.b/" * 5_000,
    "handles": "@a" * 20_000,
    "phone numbers": "+60 12-345 6789 " * 4_000,
    "unassigned": "\U000e0fff\uffff\ufdd0",
    "longest sign": "\ufdfa" * 3_000,
    "Chinese": "加微信免费领取" * 9_000,
    "Tamil": "இலவச பணம் " * 6_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_screened_like_any_other(built: Line, name: str) -> None:
    """It harms neither its neighbours in the batch nor the worker, and is found where it should be."""
    text = HOSTILE[name]
    records: list[bytes | None] = [record(CANARY, "a"), record(text, "b"), record("hello", "c")]

    screening = built.screen(SOURCE, records)

    assert_sound(records, screening)
    assert (len(text) > 65_536) == isinstance(screening.events[1], Rejected)
    assert ["canary.seen"] == [v.label for v in screening.verdicts[0]]
    assert 2 not in screening.findings
    if CANARY in text or name == "zero width":
        labels = {f.label for f in screening.findings[1]}
        assert "canary.seen" in labels


def test_half_an_emoji_hides_nothing(built: Line) -> None:
    """Lone surrogate escapes in the text are read as U+FFFD and the rest is screened."""
    raw = record(f"X {CANARY} X").replace(b"X", rb"\ud83d")
    screening = built.screen(SOURCE, [raw])
    [event] = screening.events

    assert isinstance(event, Event)
    assert f"\ufffd {CANARY} \ufffd" == event.text
    [finding] = [f for f in screening.findings[0] if f.label == "canary.seen"]
    assert CANARY == event.text[finding.start : finding.end]


def test_duplicates_in_one_batch_get_the_same_verdict(built: Line) -> None:
    """Each copy is answered, with one id, so that consumers can drop the second."""
    raw = record(CANARY, "same")
    screening = built.screen(SOURCE, [raw, record("hello", "same"), raw])

    assert {0, 2} == set(screening.verdicts)
    assert screening.verdicts[0] == screening.verdicts[2]
    assert (1, 2, 0) == (screening.passed, screening.flagged, len(screening.rejected))


def test_what_becomes_of_a_record_does_not_depend_on_its_batch(built: Line) -> None:
    """Alone, in another order or among others: the same findings and verdicts."""
    texts = [CANARY, "hello", "m a x w i n slot gacor daftar sekarang", "free kredit RM10 daftar"]
    records: list[bytes | None] = [record(t, f"e{n}") for n, t in enumerate(texts)]
    records.insert(2, b"broken")

    together = built.screen(SOURCE, records)
    backwards = built.screen(SOURCE, records[::-1])

    assert len(together.findings) >= 3
    for position, raw in enumerate(records):
        alone = built.screen(SOURCE, [raw])
        assert together.events[position] == alone.events[0]
        for name in ("findings", "verdicts"):
            mine = getattr(alone, name).get(0)
            assert mine == getattr(together, name).get(position)
            assert mine == getattr(backwards, name).get(len(records) - 1 - position)


def test_an_empty_batch_is_no_fault(built: Line) -> None:
    """Nothing in, nothing out."""
    assert Screening((), {}, {}, {}) == built.screen(SOURCE, [])
