"""`penjaga scan`: one line out for one line in, whatever is in it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.line import Line
from pipeline.scan import BATCH_LINES, Input, Scanned, csv_rows, filled, json_lines, scan
from schemas import Event, Reason, Rejected
from schemas.source import Limits, SourceMapping
from tests.pipeline.events import CANARY, record

ROOT = Path(__file__).parents[2]
LIMITS = Limits(record_bytes=400)


def lines_of(built: Line, content: bytes, *, fill: bool = True) -> list[Scanned]:
    """Scan the content of a file of JSON lines."""
    mapping = SourceMapping.compile({}, LIMITS)
    return list(scan(json_lines(io.BytesIO(content), LIMITS, fill=fill), built, mapping))


def penjaga(cache: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command with one detector, which starts fast."""
    config = cache / "canary.toml"
    config.write_text(
        '[detectors]\nonly = ["canary"]\n[limits]\nrecord_bytes = 2000\n'
        '[sources."chat.raw"]\n[sources."chat.raw".fields]\n'
        'id = "msg"\ntext = "body"\nplatform = { constant = "chat" }\noccurred_at = "ts"\n'
        '"actor.id" = "from"\n"audience.kind" = { constant = "group" }\n',
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "scan", "--config", str(config), *arguments],
        input=stdin,
        env=os.environ | {"PENJAGA_CACHE_DIR": str(cache)},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )


def test_every_line_in_is_a_line_out_in_order(built: Line) -> None:
    """Good, blank, broken, of another kind and oversized lines alike, also over batches."""
    one = [
        b'{"text": "hello"}',
        b"",
        b"   ",
        b"{broken",
        b"[1, 2]",
        b"null",
        b'{"text": 7}',
        b'{"txt": "hello"}',
        b'{"text": "' + b"x" * 2000 + b'"}',
        json.dumps({"text": CANARY}).encode(),
        b"\xff\xfe",
    ]
    content = b"\n".join(one * 100) + b"\n"
    found = lines_of(built, content)

    assert len(one) * 100 > 2 * BATCH_LINES
    assert list(range(1, len(one) * 100 + 1)) == [item.number for item in found]
    expected = [
        None,
        "not_json",
        "not_json",
        "not_json",
        "not_an_object",
        "not_an_object",
        "wrong_type",
        "missing_field",
        "record_too_large",
        None,
        "invalid_unicode",
    ]
    assert expected * 100 == [item.output.get("rejected") for item in found]
    assert ["none", "review"] == [
        item.action for item in found[: len(one)] if "rejected" not in item.output
    ]


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b), max_size=8))
def test_any_bytes_are_answered_line_by_line(built: Line, content: list[bytes]) -> None:
    """As many answers as lines, numbered."""
    found = lines_of(built, b"".join(line + b"\n" for line in content))

    assert list(range(1, len(content) + 1)) == [item.number for item in found]


@pytest.mark.parametrize("size", [398, 399, 400, 401, 402, 403, 799, 800, 801, 802, 1200, 5000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_a_line_of_any_size_is_one_line(size: int, ending: bytes) -> None:
    """Around the limit and its multiples: read whole or refused whole, and the next line is next."""
    long, short = b"x" * size + ending, b'{"text": "next"}'
    content = b'{"text": "first"}\n' + long + (short if ending else b"")
    found = list(json_lines(io.BytesIO(content), LIMITS, fill=False))

    assert (3 if ending else 2) == len(found)
    assert list(range(1, len(found) + 1)) == [item.number for item in found]
    if ending:
        assert short == found[2].record
    middle = found[1].record
    if size > LIMITS.record_bytes + 1:
        assert isinstance(middle, Rejected)
        assert Reason.RECORD_TOO_LARGE == middle.reason
    elif size <= LIMITS.record_bytes:
        assert b"x" * size == middle


def test_a_long_line_is_not_read_into_memory() -> None:
    """However long a line is, one read takes no more than a record may hold."""
    asked: list[int] = []

    class Watched(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            asked.append(size or -1)
            return super().readline(size)

    list(json_lines(Watched(b"x" * 100_000 + b"\n{}\n"), LIMITS, fill=False))

    assert len(asked) > 200
    assert all(0 < size <= LIMITS.record_bytes + 2 for size in asked)


def test_what_a_line_lacks_is_filled_in() -> None:
    """An id from the line number and neutral values; what the line has, it keeps."""
    bare = json.loads(filled(b'{"text": "a"}', 7, Limits()))
    own = json.loads(filled(record("a", "mine", kind="post"), 7, Limits()))

    assert ("line-7", "scan", "public") == (bare["id"], bare["platform"], bare["audience"]["kind"])
    assert ("mine", "test", "post") == (own["id"], own["platform"], own["kind"])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"7", b"\xff", b"[" * 5000])
def test_what_is_no_object_is_left_as_it_is(raw: bytes) -> None:
    """So that it is rejected for what it is."""
    assert raw == filled(raw, 1, Limits())


def test_a_mark_at_the_start_and_half_an_emoji_are_no_obstacle(built: Line) -> None:
    """What a worker can read, a scan can fill."""
    content = b'\xef\xbb\xbf{"text": "hello"}\n' + rb'{"text": "cut \ud83d"}' + b"\n"
    found = lines_of(built, content)

    assert ["line-1", "line-2"] == [item.output.get("event_id") for item in found]
    event = found[1].event
    assert isinstance(event, Event)
    assert "cut \ufffd" == event.text


def test_the_output_has_exactly_the_promised_keys(built: Line) -> None:
    """For an event and for a rejected line, as `penjaga scan --help` says."""
    advert = "slot gacor maxwin free kredit RM10 daftar sekarang wa.me/60123456789"
    content = json.dumps({"text": advert, "id": "a"}).encode() + b"\nbroken\n" + b'{"text": "hi"}\n'
    flagged, rejected, clean = (item.output for item in lines_of(built, content))

    assert ["event_id", "action", "scores", "findings"] == list(flagged)
    assert ("a", "escalate") == (flagged["event_id"], flagged["action"])
    assert {"detector", "label", "score", "start", "end", "reason"} == set(flagged["findings"][0])
    assert all(0 <= score <= 1 for score in flagged["scores"].values())
    assert max(flagged["scores"].values()) == max(f["score"] for f in flagged["findings"])
    assert {"rejected": "not_json", "line": 2} == rejected
    assert {"event_id": "line-3", "action": "none", "scores": {}, "findings": []} == clean


CSV = (
    '\ufeffid,text,language,likes\r\n'
    'a,"hello, ""you""",en,3\r\n'
    f',"two\nlines {CANARY}",,\r\n'
    "b\r\n"
    'c,中文,zh,"1,000",extra\r\n'
)  # fmt: skip


def test_csv_rows_are_read_by_column(built: Line) -> None:
    """Quotes, line breaks in a field; ids from a column or the row's number; other widths rejected."""
    inputs = list(csv_rows(io.BytesIO(CSV.encode()), "text", Limits()))
    found = list(scan(inputs, built, SourceMapping.compile({})))
    events = [item.event for item in found]

    assert [True, True, False, False] == [isinstance(event, Event) for event in events]
    assert ["a", "line-2"] == [e.id for e in events if isinstance(e, Event)]
    assert ['hello, "you"', f"two\nlines {CANARY}"] == [
        e.text for e in events if isinstance(e, Event)
    ]
    assert ["en", None] == [e.language for e in events if isinstance(e, Event)]
    assert ["none", "review", "none", "none"] == [item.action for item in found]


def test_a_csv_row_that_is_no_text_is_rejected_alone() -> None:
    """The rows around it are read."""
    found = list(csv_rows(io.BytesIO(b"text\nok\n\xff\xfe\nok\n"), "text", Limits()))

    assert [False, True, False] == [isinstance(item.record, Rejected) for item in found]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n"])
def test_a_csv_without_the_column_is_refused(content: bytes) -> None:
    """The message says what the header has."""
    with pytest.raises(ValueError, match=r"no column `text`; the header has (nothing|a, b)"):
        list(csv_rows(io.BytesIO(content), "text", Limits()))


def test_the_line_is_that_of_a_worker(built: Line) -> None:
    """A scan of records gives the actions and scores that screening them gives."""
    values = [record(f"{CANARY} {n}", f"e{n}") for n in range(5)] + [
        record("free kredit RM10", "x")
    ]
    screening = built.screen("platform.events", values)
    found = list(
        scan([Input(n, v) for n, v in enumerate(values)], built, SourceMapping.compile({}))
    )

    assert 6 == len(found)
    for position, item in enumerate(found):
        assert screening.findings.get(position, ()) == item.findings


def test_the_exit_status_tells(cache: Path) -> None:
    """0: every line was read; 1: some were rejected; 2: nothing could be done."""
    sound = penjaga(cache, stdin=b'{"text": "hello"}\n')
    partly = penjaga(cache, stdin=b'{"text": "hello"}\nbroken\n{"text": "bye"}\n')
    no_column = penjaga(cache, "--text-column", "body", stdin=b"text\nhello\n")
    no_source = penjaga(cache, "--source", "nowhere", stdin=b"")

    assert [0, 1, 2, 2] == [d.returncode for d in (sound, partly, no_column, no_source)]
    assert [1, 3, 0, 0] == [
        len(d.stdout.splitlines()) for d in (sound, partly, no_column, no_source)
    ]
    assert b"no column `body`; the header has text" in no_column.stderr
    assert b"no source `nowhere`; there are chat.raw" in no_source.stderr
    assert b"" == sound.stderr
    assert b"penjaga: 1 rejected, the first on line 2: not_json: " in partly.stderr


def test_flagged_keeps_what_needs_somebody(cache: Path, tmp_path: Path) -> None:
    """What calls for an action and what was rejected, nothing else; a file is read like a pipe."""
    file = tmp_path / "in.jsonl"
    file.write_text(f'{{"text": "hello"}}\n{{"text": "{CANARY}"}}\nbroken\n', encoding="utf-8")
    done = penjaga(cache, "--flagged", str(file))
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert 1 == done.returncode
    assert ["line-2", None] == [line.get("event_id") for line in lines]
    assert 3 == lines[1]["line"]


def test_a_source_is_read_through_its_mapping(cache: Path) -> None:
    """Its own shape is expected, and nothing is filled in."""
    mapped = {"msg": 5, "body": CANARY, "ts": 1_700_000_000, "from": "u"}
    done = penjaga(
        cache, "--source", "chat.raw", stdin=json.dumps(mapped).encode() + b'\n{"text": "hello"}\n'
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert 1 == done.returncode
    assert ("5", "review") == (lines[0]["event_id"], lines[0]["action"])
    assert ("missing_field", 2) == (lines[1]["rejected"], lines[1]["line"])


def test_a_table_is_for_eyes(cache: Path) -> None:
    """One line each, with control characters shown as dots."""
    texts: list[Any] = ["hello", f"\x1b[2J{CANARY}", 7]
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    done = penjaga(cache, "--format", "table", stdin=content.encode())
    out = done.stdout.decode().splitlines()

    assert 3 == len(out)
    assert out[0].startswith("none ")
    assert out[1].startswith("review ")
    assert f"·[2J{CANARY}" in out[1]
    assert out[2].startswith("line 3: wrong_type")


def test_a_reader_that_leaves_is_no_fault(cache: Path) -> None:
    """`penjaga scan ... | head` ends in silence."""
    config = cache / "canary.toml"
    config.write_text('[detectors]\nonly = ["canary"]\n', encoding="utf-8")
    path = cache / "long.jsonl"
    path.write_bytes(b'{"text": "hello"}\n' * 20_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "scan", "--config", str(config), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PENJAGA_CACHE_DIR": str(cache)},
        cwd=ROOT,
    )
    assert process.stdout
    assert process.stderr
    first = process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        errors = process.stderr.read()

    assert "line-1" == json.loads(first)["event_id"]
    assert (0, b"") == (process.wait(), errors)


def _peak(cache: Path, file: BinaryIO) -> tuple[int, int]:
    """Scan a file; return the most memory the process had, in kB, and how many lines it wrote."""
    config = cache / "canary.toml"
    config.write_text('[detectors]\nonly = ["canary"]\n', encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "scan", "--config", str(config)],
        stdin=file,
        stdout=subprocess.PIPE,
        env=os.environ | {"PENJAGA_CACHE_DIR": str(cache)},
        cwd=ROOT,
    )
    assert process.stdout
    with process.stdout:
        count = sum(1 for _ in process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)

    assert 0 == process.returncode
    return usage.ru_maxrss, count


def test_memory_does_not_grow_with_the_file(cache: Path, tmp_path: Path) -> None:
    """Ten times the lines take no more than a little more memory."""
    peaks = []
    for count in (20_000, 200_000):
        path = tmp_path / f"{count}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                text = CANARY if number % 100 == 0 else f"message {number} " + "lorem ipsum " * 20
                file.write(f'{{"text": "{text}"}}\n')
        with path.open("rb") as file_in:
            peak, lines = _peak(cache, file_in)
        assert count == lines
        peaks.append(peak)

    assert peaks[1] < 1.1 * peaks[0]


def test_a_csv_row_of_another_width_is_rejected_not_cut() -> None:
    """An unquoted comma, or a missing column, must not hide the rest of a text."""
    content = b"id,text\n1,hello, world\n2\n3,fine\n"

    rows = list(csv_rows(io.BytesIO(content), "text", Limits()))

    assert ["wrong_type", "wrong_type", None] == [
        row.record.reason.value if isinstance(row.record, Rejected) else None for row in rows
    ]


def test_what_is_filled_in_does_not_count_against_the_limit(cache: Path, tmp_path: Path) -> None:
    """A line is as large as it was written; the configured limit decides, not the default one."""
    config = tmp_path / "penjaga.toml"
    config.write_text("[limits]\nrecord_bytes = 100\n")
    fits = json.dumps({"text": "a" * 80}).encode()
    larger = json.dumps({"text": "a" * 100}).encode()
    done = penjaga(cache, "--config", str(config), stdin=fits + b"\n" + larger + b"\n" + fits)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert [None, "record_too_large", None] == [line.get("rejected") for line in lines]


def test_a_column_and_a_source_exclude_each_other(cache: Path) -> None:
    """A mapping is for a topic's records, so the two together are a mistake."""
    done = penjaga(cache, "--source", "chat.raw", "--text-column", "text", stdin=b"text\na\n")

    assert 2 == done.returncode
    assert b"give one" in done.stderr


CONVERSATION = (
    ("x", "hi! nice clip. how old are you?"),
    ("y", "thanks, had fun making it"),
    ("x", "cool which school do you go to"),
    ("x", "do your parents check your phone?"),
    ("x", "lets move to telegram, it is more private"),
    ("y", "see you at practice"),
    ("x", "dont tell your mum about this ok, our secret"),
)


def remembered(cache: Path, *arguments: str, stdin: bytes) -> bytes:
    """Scan with the detector of grooming; return the output."""
    config = cache / "grooming.toml"
    config.write_text(
        '[detectors]\nonly = ["grooming_cues"]\n[behaviours.grooming_conversation]\n'
        'subject = "conversation"\nlabel = "csea.grooming"\nlabels = ["csea.*"]\n'
        'counts = "cues"\nweight = 0.4\nleast = 3\n',
        encoding="utf-8",
    )
    return penjaga(cache, *arguments, "--config", str(config), stdin=stdin).stdout


def conversation() -> list[bytes]:
    """Return a conversation, and ordinary talk elsewhere, each event a minute after the last."""
    return [
        orjson.dumps(
            {
                "id": f"e{n}",
                "platform": "chat",
                "kind": "message",
                "occurred_at": f"2026-03-01T08:{n:02}:00Z",
                "text": text,
                "actor": {"id": actor},
                "audience": {"kind": "dm", "recipient_ids": ["y" if actor == "x" else "x"]},
                "conversation": {"id": "c" if actor == "x" or n else "other"},
            }
        )
        for n, (actor, text) in enumerate(CONVERSATION)
    ]


def test_subjects_follow_the_event_that_made_them_cross(cache: Path) -> None:
    """Lines of the events stay as they are without the option; evidence names events, and no text."""
    stdin = b"\n".join(conversation())
    plain = remembered(cache, stdin=stdin).splitlines()
    with_subjects = remembered(cache, "--subjects", stdin=stdin).splitlines()
    told = [orjson.loads(line) for line in with_subjects if b'"subject"' in line]
    before = with_subjects[with_subjects.index(orjson.dumps(told[0])) - 1]

    assert plain == [line for line in with_subjects if b'"subject"' not in line]
    assert ["review", "escalate"] == [line["level"] for line in told]
    assert {"conversation:chat:c"} == {line["subject"] for line in told}
    assert orjson.loads(before)["event_id"] == told[0]["evidence"][-1]
    assert {
        "subject",
        "behaviour",
        "level",
        "action",
        "scores",
        "evidence",
    } == told[0].keys()
    assert ["e0", "e2", "e3", "e4", "e6"] == told[-1]["evidence"]


def test_subjects_are_remembered_in_order_of_time(cache: Path) -> None:
    """However the lines are mixed, the same levels are crossed by the same events."""
    events = conversation()
    ordered = remembered(cache, "--subjects", stdin=b"\n".join(events)).splitlines()
    mixed = remembered(cache, "--subjects", stdin=b"\n".join(reversed(events))).splitlines()

    def told(lines: list[bytes]) -> set[bytes]:
        return {line for line in lines if b'"subject"' in line}

    assert 2 == len(told(ordered))
    assert told(ordered) == told(mixed)


def test_subjects_are_told_to_eyes_too(cache: Path) -> None:
    """A table names the behaviour and the subject."""
    stdin = b"\n".join(conversation())
    table = remembered(cache, "--subjects", "--format", "table", stdin=stdin).decode()

    assert "grooming_conversation in conversation:chat:c, by 5 events" in table
