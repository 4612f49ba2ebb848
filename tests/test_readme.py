"""The README keeps its word: every command in it runs, and its code blocks do what they say."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import regex
from confluent_kafka import Consumer, Producer

from detectors.contract import Candidate, Detector, Match
from detectors.folding import fold
from detectors.lexicon import Lexicon
from pipeline import status
from pipeline.embedded import embedded_broker
from pipeline.settings import load
from schemas import Finding
from schemas.document import Document
from schemas.labels import taxonomy
from schemas.source import SourceMapping
from tests.e2e.brokers import KafkaCluster, create_topic, kafka_missing
from tests.e2e.workers import free_port

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CANARY = "PENJAGA-CANARY-7f3a91c4"


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return regex.findall(rf"^```{language}\n(.*?)^```", README, regex.M | regex.S)


COMMANDS = [
    line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line
]
MAPPING, TERM, ENTRY_POINT, FEEDS = blocks("toml")
(DETECTOR,) = blocks("python")
RECORD = {
    "message": {"uuid": "a-1", "body": f"hello {CANARY}"},
    "sent_ms": 1_700_000_000_000,
    "from": {"uid": 7},
    "room": {"type": "channel"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Make a folder with the README's mapping and a sample, a broker, and the command on the path."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "penjaga.toml").write_text(MAPPING)
    (folder / "sample.jsonl").write_text(json.dumps(RECORD) + "\n")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").write_text("")
    (folder / "bin").mkdir()
    command = folder / "bin" / "penjaga"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n')
    command.chmod(0o755)
    with embedded_broker() as servers:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PENJAGA_")}
        environment["PATH"] = f"{folder / 'bin'}:{environment['PATH']}"
        environment["KAFKA_BOOTSTRAP_SERVERS"] = servers
        yield folder, environment


def run(
    command: str, place: tuple[Path, dict[str, str]], *, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell would, in the README's folder."""
    folder, environment = place
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert status == done.returncode, done.stderr
    return done


def test_these_are_all_the_commands() -> None:
    """A command added to the README has to be added to a test below."""
    first_words = [" ".join(c.replace("penjaga ", "penjaga:").split()[:2]) for c in COMMANDS]

    assert [
        "make install",
        "make demo",
        ". .venv/bin/activate",
        'penjaga:explain "Daftar',
        'echo \'{"text":',
        "penjaga:config check",
        "penjaga:scan --config",
        "KAFKA_BOOTSTRAP_SERVERS=broker:9092 penjaga:worker",
        "penjaga:topics plan",
        "penjaga:topics apply",
        "penjaga:doctor --config",
        "penjaga:feeds sync",
        "penjaga:feeds status",
        "penjaga:feeds lookup",
        "penjaga:subjects show",
        "penjaga:subjects forget",
        "penjaga:deadletters list",
        "penjaga:deadletters show",
        "penjaga:deadletters replay",
    ] == first_words


def test_make_install_and_make_demo() -> None:
    """The two commands a stranger types: the second shows escalations and ends cleanly at Ctrl-C."""
    if not shutil.which("make"):
        pytest.skip("the Makefile needs make: apt-get install make")
    install, demo = COMMANDS[:2]
    done = subprocess.run(install.split(), cwd=ROOT, capture_output=True, timeout=600, check=False)
    assert 0 == done.returncode, done.stderr
    process = subprocess.Popen(
        demo.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    rows = []
    try:
        for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
            if len(rows) == 2:
                os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    finally:
        process.stdout.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    assert {"review", "escalate"} >= {row["action"] for row in rows[:-1]}
    assert 0 == rows[-1]["lost"]
    assert rows[-1]["escalations_seen"] >= 2


def test_explain_and_scan(place: tuple[Path, dict[str, str]]) -> None:
    """The example sentence is escalated with its arithmetic; the ordinary one passes."""
    activate, explain, scan = COMMANDS[2:5]

    explained = run(f"{activate}\n{explain}", place).stdout
    scanned = json.loads(run(scan, place).stdout)

    assert "escalate" in explained
    assert "gambling.promotion" in explained
    assert {"event_id": "line-1", "action": "none", "scores": {}, "findings": []} == scanned


def test_the_mapping_reads_the_platforms_own_records(place: tuple[Path, dict[str, str]]) -> None:
    """Six lines are enough, for `config check`, `scan --source` and a worker alike."""
    check, scan, worker = COMMANDS[5:8]
    folder, environment = place
    mapping = SourceMapping.compile(
        load(folder / "penjaga.toml", {}).sources["acme.chat.v1"].fields
    )

    decoded = mapping.decode(json.dumps(RECORD).encode())
    checked = run(check, place).stdout
    scanned = json.loads(run(scan, place).stdout)

    assert 6 == len(MAPPING.strip().splitlines()) - 1
    assert ("a-1", "acme", "public", "7") == (
        decoded.id,
        decoded.platform,
        decoded.audience.kind,
        decoded.actor.id,
    )
    assert "6 fields mapped" in checked
    assert "review" == scanned["action"]

    servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
    producer = Producer({"bootstrap.servers": servers})
    producer.produce("acme.chat.v1", json.dumps(RECORD).encode())
    producer.produce("acme.chat.v1", b'{"message": {}}')
    producer.flush(10)
    process = subprocess.Popen(
        ["bash", "-c", "exec env " + worker.replace("broker:9092", servers)],
        cwd=folder,
        env=environment | {"PENJAGA_WEB_PORT": "16969"},
        stderr=subprocess.DEVNULL,
    )
    try:
        escalation = consume_one(servers, "penjaga.escalations")
        letter = consume_one(servers, "penjaga.dead-letters")
    finally:
        process.terminate()
        process.wait(30)

    assert "a-1" == json.loads(escalation)["event"]["id"]
    assert b'{"message": {}}' == letter


def test_topics_are_made_and_a_deployment_is_checked(
    place: tuple[Path, dict[str, str]], unavailable: Callable[[str, str], NoReturn]
) -> None:
    """The plan is carried out, nothing is left of it, the doctor is content, and nobody is remembered yet."""
    if remedy := kafka_missing():
        unavailable("kafka", remedy)
    plan, apply, doctor = COMMANDS[8:11]
    show, forget = COMMANDS[14:16]
    with KafkaCluster() as cluster:
        create_topic(cluster.bootstrap_servers, "acme.chat.v1")
        one = {"PENJAGA_PROVISIONING_REPLICATION": "1", "PENJAGA_PROVISIONING_MIN_IN_SYNC": "1"}
        web = {"PENJAGA_WEB_PORT": str(free_port())}
        there = (
            place[0],
            place[1] | one | web | {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers},
        )

        assert "5 to create" in run(plan, there, status=status.CHANGES).stdout
        assert "5 to create" in run(apply, there).stdout
        assert "0 to create, 0 to configure" in run(plan, there).stdout
        assert '"failed"' not in run(doctor, there).stdout
        assert "nothing is kept" in run(show, there, status=status.REJECTED).stderr
        assert json.loads(run(forget, there).stdout)["forgotten"]


def test_lists_of_bad_links(tmp_path: Path) -> None:
    """The configuration is sound, and its lists are synced, shown and asked; no broker is needed."""
    (tmp_path / "bad.txt").write_text("example.com\nexample.net\n")
    (tmp_path / "good.csv").write_text("rank,domain\n1,example.net\n")
    config = FEEDS.replace("https://lists.example/phishing.txt", (tmp_path / "bad.txt").as_uri())
    config = config.replace("https://lists.example/partners.csv", (tmp_path / "good.csv").as_uri())
    (tmp_path / "penjaga.toml").write_text(config)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PENJAGA_")}
    environment |= {"PENJAGA_FEEDS_DIR": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}

    sync, show, lookup = [
        [
            json.loads(row)
            for row in run(
                command.replace("penjaga ", f"'{sys.executable}' -m pipeline ", 1),
                (tmp_path, environment),
            ).stdout.splitlines()
        ]
        for command in COMMANDS[11:14]
    ]

    assert [("phishing", "updated"), ("partners", "updated")] == [
        (row["feed"], row["outcome"]) for row in sync
    ]
    assert [(1, {"subtracted": 1}), (1, {})] == [(row["entries"], row["left_out"]) for row in show]
    assert [("phishing", "listed", 0.7)] == [
        (row["feed"], row["use"], row["weight"]) for row in lookup
    ]


def test_dead_letters_are_listed_shown_and_replayed(place: tuple[Path, dict[str, str]]) -> None:
    """What the worker above rejected can be looked at; replaying it changes nothing while it is bad."""
    listing, show, replay = COMMANDS[16:19]

    (row,) = [json.loads(line) for line in run(listing, place).stdout.splitlines()]
    shown = run(show.replace("2/17", row["dead_letter"]), place).stdout
    replayed = json.loads(run(replay, place, status=1).stdout)

    assert "missing_field" == row["reason"]
    assert '{"message": {}}' in shown
    assert 1 == replayed["rejected"]


def consume_one(servers: str, topic: str) -> bytes:
    """Return the first record of a topic."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"one-{topic}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    try:
        for _ in range(60):
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                return message.value()
    finally:
        consumer.close()
    raise AssertionError(f"nothing on {topic}")


def test_the_term_is_accepted_and_refused_for_its_counter_example() -> None:
    """The row loads as it stands; with a counter-example that it hits, it is refused with the line."""
    lexicon = Lexicon([Document(TERM, "term.toml")])
    broken = TERM.replace('"Tuntut hak anda"', '"Tuntut kredit di kaunter bank"')
    lexicon.check()

    assert {"gambling.ms.claim_credit"} == set(lexicon.terms)
    with pytest.raises(ValueError, match=r"term\.toml:9: .*fires on its own counter-example"):
        Lexicon([Document(broken, "term.toml")]).check()


def test_the_detector_finds_what_it_says() -> None:
    """The example class is a detector, and fires on a ticket at a high price."""
    names: dict[str, type] = {}
    exec(compile(DETECTOR, "README.md", "exec"), names)  # noqa: S102
    detector = names["TicketResale"]()
    text = "Two TICKETS left, RM 1500 each"
    folded = fold(text)
    (pattern,) = detector.patterns
    hit = regex.search(pattern.expression, folded.text)
    match = Match(pattern, *folded.span(*hit.span()), groups=hit.groupdict())
    event = SourceMapping.compile({}).decode(
        json.dumps(
            {
                "id": "1",
                "platform": "x",
                "kind": "post",
                "occurred_at": "2026-01-01T00:00:00Z",
                "text": text,
                "actor": {"id": "a"},
                "audience": {"kind": "public"},
            }
        ).encode()
    )

    ((_, finding),) = detector.scan([Candidate(event, folded, (match,))])

    assert isinstance(detector, Detector)
    assert isinstance(finding, Finding)
    assert 0.9 == finding.score
    assert "TICKETS left, RM 1500" == text[finding.start : finding.end]
    assert all(label in taxonomy() for label in detector.labels)
    assert (
        "ticket_resale"
        in tomllib.loads(ENTRY_POINT)["project"]["entry-points"]["penjaga.detectors"]
    )


def test_the_metrics_it_names_exist() -> None:
    """Every metric in the README is one that a worker exports."""
    source = (ROOT / "pipeline" / "metrics.py").read_text()
    named = set(regex.findall(r"`(penjaga_\w+)`", README))

    missing = {name for name in named if f'"{name.removesuffix("_total")}"' not in source}

    assert len(named) >= 7
    assert set() == missing
