"""Privacy: marks stand wherever a message can hold something of a person, and are looked for all over.

The worker meets everything that makes it speak: escalations, subjects that cross a level, records that cannot
be read, detectors that fail in the middle of a text, writes that are too large, a crash.
"""

import base64
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.brokers import Broker
from tests.e2e.test_delivery import stopped
from tests.e2e.workers import CANARY, Reader, Site, plugin, send

Unique = Callable[[str], str]

MARK = "zqx7"
"""No word of any language, and in no part of a digest: those have no z."""
CARELESS = '''
"""A detector that fails in every way, each time with the text at hand."""

import warnings

from detectors.contract import Pattern
from schemas import Finding


class Careless:
    """Find nothing but trouble.

    Misses: everything.
    """

    name = "careless"
    version = "1"
    labels = frozenset({"custom.careless"})
    patterns = (Pattern("any", r"careless (?P<how>raise|span|label|warn|exit)"),)

    def scan(self, candidates):
        for candidate in candidates:
            text = candidate.event.text
            how = candidate.matches[0].groups["how"]
            if how == "raise":
                raise ValueError(text) from KeyError(candidate.event.actor.id)
            if how == "exit":
                raise SystemExit(text)
            if how == "warn":
                warnings.warn(text, stacklevel=1)
            yield candidate, Finding(
                detector=self.name, version=self.version,
                label=text if how == "label" else "custom.careless", score=0.9,
                start=0, end=10**6 if how == "span" else 1, reason="it was careless",
            )
'''
EXTRA = """
[quotas."custom.*"]
escalations_a_minute = 1
[screening]
dead_letters_in_a_row = 400
[sources."SOURCE"]
"""
DRAWING_IN = (
    "how old are you, which school do you go to",
    "dont tell your mum about us, this is our secret",
    "are your parents home, does anybody check your phone",
    "lets move to telegram, add me there",
    "i will buy you a present if you do what i say",
    "send me a picture of you, only for me",
    "can we meet after school, come alone",
)
HARMFUL = (
    f"slot gacor maxwin free kredit RM10 daftar sekarang {MARK}play88.example wa.me/60123456789",
    f"your account is locked, verify at http://secure-{MARK}.example.top/login before tonight",
    f"everyone spam @{MARK}target, you are worthless and nobody wants you here",
    f"kerja part time like video gaji RM500 sehari deposit dulu, {MARK} t.me/{MARK}agent",
    f"{CANARY} {MARK}",
    *(f"careless {how} {MARK}text" for how in ("raise", "span", "label", "warn", "exit")),
)


def event(number: int, text: str, **changes: Any) -> dict[str, Any]:
    """Return an event with a mark in every field that may be of a person."""
    return {
        "id": f"{MARK}-m-{number}",
        "platform": "acme",
        "kind": "message",
        "occurred_at": f"2026-01-01T00:00:{number % 60:02d}Z",
        "text": text,
        "actor": {"id": f"{MARK}-actor", "name": f"{MARK} name", "age_band": "adult"},
        "audience": {
            "kind": "dm",
            "recipient_ids": [f"{MARK}-recipient"],
            "recipient_age_band": "minor",
        },
        "conversation": {"id": f"{MARK}-conversation", "name": f"{MARK} talk"},
        "space": {"id": f"{MARK}-space", "name": f"{MARK} room"},
        "target": {"id": f"{MARK}-target"},
        "in_reply_to": f"{MARK}-parent",
        "links": [f"https://{MARK}.example.com/{MARK}?{MARK}={MARK}"],
        "attributes": {"device": f"{MARK}-device"},
    } | changes


def records() -> Iterator[bytes | None]:
    """Yield what is read, what is found, and what cannot be read."""
    texts = (*HARMFUL, *(f"{text} {MARK}" for text in DRAWING_IN))
    for number, text in enumerate(texts):
        yield json.dumps(event(number, text)).encode()
    sound = event(900, f"hello {MARK}")
    for spoilt in (
        {"text": [MARK]},
        {"text": f"{MARK} " * 60_000},
        {"occurred_at": MARK},
        {"actor": MARK},
        {"audience": {"kind": MARK}},
        {"platform": f"{MARK} {MARK}"},
        {"links": {MARK: MARK}},
        {MARK: {MARK: [[[[MARK]]]]}},
        {"id": f"{MARK}" * 500},
    ):
        yield json.dumps(sound | spoilt).encode()
    whole = json.dumps(sound).encode()
    yield from (
        whole[:-9],
        whole + whole,
        whole.replace(b"hello", b"\xff\xfe"),
        MARK.encode(),
        None,
    )
    yield b"[" * 5_000 + MARK.encode()
    # Too large to be escalated as it is: its ids alone are.
    yield json.dumps(event(901, CANARY, id=MARK + "x" * 900)).encode()


def is_marked(content: bytes) -> bool:
    """Say whether a mark is there, written as it is or in base64, at whichever place of three."""
    coded = {base64.b64encode(b" " * at + MARK.encode() * 2)[4:-6] for at in range(3)}
    return any(one in content for one in coded) or MARK.encode() in content.lower()


def pages(port: int) -> Iterator[tuple[str, bytes]]:
    """Yield every page of a worker."""
    for path in ("/", "/metrics", "/status.json", "/health/live", "/health/ready", f"/{MARK}"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                yield path, response.read()
        except urllib.error.HTTPError as error:
            yield path, error.read()


def test_marks_are_recognised() -> None:
    """Or none would ever be found."""
    written = f"xy {MARK}{MARK}".encode()

    assert all(map(is_marked, (written, written.upper(), base64.b64encode(written))))
    assert not is_marked(b"nothing of anybody")


@pytest.mark.parametrize("isolated", [False, True])
async def test_nothing_of_a_person_is_logged_measured_or_shown(
    kafka: Broker, unique: Unique, tmp_path: Path, *, isolated: bool
) -> None:
    """It is in escalations and dead letters, where it has to be, and nowhere else."""
    sent, key = list(records()), MARK.encode()
    headers = ((f"{MARK}-header", key), ("traceparent", key))
    extra = f"[detectors]\nisolated = {json.dumps(['careless'] * isolated)}\n{EXTRA}"
    environment = plugin(tmp_path / "packages", "careless", CARELESS)
    with Site.make(kafka, tmp_path, unique, extra, escalation_bytes=1_500) as site:
        await send(kafka.bootstrap_servers, site.source, sent, key=key, headers=headers)
        worker = site.start(environment, "--verbose")
        read = (site.escalations, site.shadow, site.overflow, site.dead_letters, site.signals)
        async with Reader(kafka.bootstrap_servers, read) as reader:

            def is_done() -> bool:
                values = [r.value or b"" for r in reader.records if r.topic == site.escalations]
                crossed = any(b'"grooming_conversation"' in value for value in values)
                return crossed and len(reader.keys(site.dead_letters)) >= 14

            await reader.until(is_done)
        shown = dict(pages(site.port))
        # A storm of what cannot be read ends the worker, and says so.
        await send(
            kafka.bootstrap_servers, site.source, [b"<%b>" % key] * 900, key=key, headers=headers
        )
        status = await stopped(worker)
        killed = site.start(environment, "--verbose")
        killed.send_signal(signal.SIGABRT)
        killed.wait()
        listed = site.penjaga("deadletters", "list", environment=environment)
        checked = site.penjaga("config", "check", environment=environment)
        examined = site.penjaga("doctor", environment=environment)

        by_topic = {topic: [r for r in reader.records if r.topic == topic] for topic in read}
        said = {
            "log": site.log.read_bytes(),
            "dead letters, listed": listed.stdout + listed.stderr,
            "configuration": checked.stdout + checked.stderr,
            "doctor": examined.stdout + examined.stderr,
            **shown,
        }

        assert status == 75
        assert len(listed.stdout.splitlines()) > 14
        assert all(is_marked(r.value) for r in by_topic[site.dead_letters] if r.value)
        assert any(is_marked(r.value) for r in by_topic[site.escalations])
        assert any(is_marked(r.key) for r in by_topic[site.signals])
        assert b'detector="careless"' in said["/metrics"]
        assert b'"recent"' in said["/status.json"]
        assert b"careless" in said["log"] or b"rejected" in said["log"]
        assert [] == [where for where, content in said.items() if is_marked(content)]
