"""A broker that asks for certificates and passwords: a worker gets in with both, and with nothing less."""

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pipeline import status
from tests.e2e.brokers import Broker, KafkaCluster
from tests.e2e.test_delivery import stopped
from tests.e2e.test_subjects import Unique, send
from tests.e2e.workers import Reader, Site
from tests.pipeline.events import CANARY

USER = "penjaga"
PASSWORD = "battery-staple-7"  # noqa: S105  # of a cluster that ends with the test


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return who vouches for the broker and for the worker."""
    return trustme.CA()


@pytest.fixture(scope="module")
def cluster(needs_kafka: None, authority: trustme.CA) -> Iterator[KafkaCluster]:  # noqa: ARG001
    """One node with a listener for SASL_SSL with SCRAM-SHA-512 that asks for certificates."""
    with KafkaCluster(passwords={USER: PASSWORD}, authority=authority) as running:
        yield running


def access(cluster: KafkaCluster, authority: trustme.CA, folder: Path) -> dict[str, str]:
    """Return the environment of a worker that has everything it needs."""
    own = authority.issue_cert("penjaga.test")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own.private_key_pem.write_to_path(folder / "key.pem")
    for blob in own.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)
    (folder / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    return {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.secure_servers,
        "PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PENJAGA_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "PENJAGA_KAFKA_SASL_USERNAME": USER,
        "PENJAGA_KAFKA_SASL_PASSWORD_FILE": str(folder / "password"),
        "PENJAGA_KAFKA_CA_FILE": str(folder / "ca.pem"),
        "PENJAGA_KAFKA_CERTIFICATE_FILE": str(folder / "certificate.pem"),
        "PENJAGA_KAFKA_KEY_FILE": str(folder / "key.pem"),
        "PENJAGA_KAFKA_CONNECT_SECONDS": "6",
    }


def message(number: int) -> bytes:
    """Return an event with the canary."""
    return json.dumps(
        {
            "id": f"e{number}",
            "platform": "test",
            "kind": "message",
            "occurred_at": "2026-01-01T00:00:00Z",
            "text": CANARY,
            "actor": {"id": "a"},
            "audience": {"kind": "public"},
            "conversation": {"id": "c"},
        }
    ).encode()


async def test_a_worker_with_both_screens_as_ever(
    cluster: KafkaCluster, authority: trustme.CA, unique: Unique, tmp_path: Path
) -> None:
    """Agents, memory and writes all go through the listener; the password is in no log."""
    plain = Broker("kafka", cluster.bootstrap_servers)
    with Site.make(plain, tmp_path, unique) as site:
        worker = site.start(access(cluster, authority, tmp_path))
        async with Reader(cluster.bootstrap_servers, [site.escalations]) as reader:
            await send(site, [message(n) for n in range(200)])
            await reader.until(lambda: len(reader.keys(site.escalations)) == 200)
        worker.send_signal(signal.SIGTERM)
        await stopped(worker)
        log = site.log.read_text(encoding="utf-8")

    assert 0 == worker.returncode
    assert PASSWORD not in log
    assert cluster.secure_servers in log


@pytest.mark.parametrize(
    "without",
    [
        {"PENJAGA_KAFKA_SASL_PASSWORD": "wrong"},
        {"PENJAGA_KAFKA_CERTIFICATE_FILE": "", "PENJAGA_KAFKA_KEY_FILE": ""},
        {"PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
    ],
    ids=["a wrong password", "no certificate", "no encryption"],
)
async def test_with_less_it_ends_and_says_where(
    cluster: KafkaCluster,
    authority: trustme.CA,
    unique: Unique,
    tmp_path: Path,
    without: dict[str, str],
) -> None:
    """Status 69 with the broker's address, within the time it may try; no secret is told."""
    plain = Broker("kafka", cluster.bootstrap_servers)
    with Site.make(plain, tmp_path, unique) as site:
        worker = site.start(access(cluster, authority, tmp_path) | without)
        await stopped(worker)
        log = site.log.read_text(encoding="utf-8")

    assert status.UNREACHABLE == worker.returncode
    assert cluster.secure_servers in log.splitlines()[-1]
    assert PASSWORD not in log
    assert "wrong" not in log


async def test_a_broker_that_another_authority_vouches_for_is_not_trusted(
    cluster: KafkaCluster, authority: trustme.CA, unique: Unique, tmp_path: Path
) -> None:
    """Whoever sits between worker and broker gets neither messages nor the password."""
    plain = Broker("kafka", cluster.bootstrap_servers)
    settings = access(cluster, authority, tmp_path)
    (tmp_path / "ca.pem").unlink()
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    with Site.make(plain, tmp_path, unique) as site:
        worker = site.start(settings)
        await stopped(worker)

    assert status.UNREACHABLE == worker.returncode


def token(seconds: float) -> str:
    """Return a token that Kafka's validator for tests takes for so long; it has no signature."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": USER, "iat": now - 3600, "exp": now + seconds})
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return b".".join(coded).decode() + "."


async def test_a_token_is_shown_and_read_again_when_it_is_renewed(
    cluster: KafkaCluster, unique: Unique, tmp_path: Path
) -> None:
    """With one that has expired commands and workers end; once the file holds another, the next gets in."""
    plain = Broker("kafka", cluster.bootstrap_servers)
    path = tmp_path / "token"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": cluster.sasl_servers,
        "PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PENJAGA_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "PENJAGA_KAFKA_SASL_TOKEN_FILE": str(path),
        "PENJAGA_KAFKA_CONNECT_SECONDS": "6",
    }
    with Site.make(plain, tmp_path, unique) as site:
        path.write_text(token(-60))
        refused = site.start(environment)
        await stopped(refused)
        listed = site.penjaga("deadletters", "list", environment=environment)
        path.write_text(f"{token(3600)}\n")
        worker = site.start(environment)
        async with Reader(cluster.bootstrap_servers, [site.escalations]) as reader:
            await send(site, [message(n) for n in range(50)])
            await reader.until(lambda: len(reader.keys(site.escalations)) == 50)
        worker.send_signal(signal.SIGTERM)
        await stopped(worker)
        log = site.log.read_text(encoding="utf-8")

    assert status.UNREACHABLE == refused.returncode == listed.returncode
    assert cluster.sasl_servers.encode() in listed.stderr
    assert 0 == worker.returncode
    assert token(0).partition(".")[0] not in log
