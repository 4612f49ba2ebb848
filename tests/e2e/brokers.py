"""The brokers end-to-end tests run on: the embedded one, and Apache Kafka from its own jars.

Apache Kafka needs no container here: Maven resolves the server, each node is one JVM on loopback.
"""

import base64
import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pipeline.embedded import PARTITIONS

POM: Final = Path(__file__).parent / "kafka" / "pom.xml"

# Above the reserved ports and below those the kernel hands out to outgoing connections, so that a
# killed node finds its port free when it comes back.
_PORTS: Final = range(20_000, 32_000)
# Of each node: plain text, controller, password, certificate and password.
_LISTENERS: Final = 4
# One node answers after some 2 s, three after some 7 s, on two cores.
_START_SECONDS: Final = 60.0


class KafkaError(RuntimeError):
    """Apache Kafka could not be had or did not start; the message holds what it said."""


@dataclass(frozen=True)
class Broker:
    """A running broker, and the little that differs between the two kinds."""

    kind: Literal["embedded", "kafka"]
    bootstrap_servers: str
    copies: int = 1
    """Of each partition, at most one on each node."""

    def create_topic(self, topic: str, config: Mapping[str, str] | None = None) -> None:
        """Make a topic with 4 partitions; the embedded broker has no others, and no `config`."""
        if self.kind == "embedded":
            _admin(self.bootstrap_servers).list_topics(topic, timeout=10)
        else:
            create_topic(self.bootstrap_servers, topic, replication=self.copies, config=config)


def kafka_missing() -> str | None:
    """Say in one line what Apache Kafka still needs on this machine, or None when nothing."""
    how = (
        "Apache Kafka needs Java 17 or newer and Maven: apt-get install default-jre-headless maven"
    )
    if not (shutil.which("java") and shutil.which("mvn")):
        return how
    shown = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', shown.stderr)
    if version is None or int(version[1]) < 17:
        return how
    return None


def kafka_jars() -> Path:
    """Return the folder with the server's jars, resolving them once per content of the pom.

    Raises `KafkaError` with Maven's words when it cannot.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    jars = cache / "penjaga" / "kafka" / digest
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that an interrupted or a simultaneous run leaves no half a folder.
    with tempfile.TemporaryDirectory(dir=jars.parent) as partial:
        resolved = subprocess.run(
            [
                *("mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies"),
                *("-DincludeScope=runtime", f"-DoutputDirectory={partial}/jars"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if resolved.returncode != 0:
            message = f"Maven could not resolve {POM.name}:\n{resolved.stdout[-2000:]}"
            raise KafkaError(message)
        # Another run that was faster leaves the same jars.
        with contextlib.suppress(OSError):
            Path(partial, "jars").rename(jars)
    return jars


def create_topic(
    bootstrap_servers: str,
    topic: str,
    *,
    partitions: int = PARTITIONS,
    replication: int = 1,
    config: Mapping[str, str] | None = None,
) -> None:
    """Create a topic on Apache Kafka and wait until each partition has a leader."""
    admin = _admin(bootstrap_servers)
    new = NewTopic(topic, partitions, replication, config=dict(config or {}))
    admin.create_topics([new])[topic].result(30)
    for _ in _attempts(30):
        known = admin.list_topics(topic, timeout=5).topics[topic].partitions
        if len(known) == partitions and all(p.leader >= 0 for p in known.values()):
            return
    message = f"topic {topic} got no leaders within 30 s"
    raise KafkaError(message)


class KafkaCluster:
    """Apache Kafka: `nodes` KRaft nodes, each broker and controller, in a temporary folder.

    Topics appear on first use with as many partitions as on the embedded broker. Of three nodes two
    are kept in sync, so that the loss of one loses nothing. The nodes die with this process, even a
    killed one, where the system offers `setpriv`.
    """

    def __init__(
        self,
        nodes: int = 1,
        settings: Mapping[str, object] | None = None,
        passwords: Mapping[str, str] | None = None,
        authority: trustme.CA | None = None,
    ) -> None:
        """Take settings for all nodes, and passwords by user for a listener that wants them.

        With an authority there is a listener, too, that wants a certificate of it beside the password.
        """
        self.nodes: Final = range(1, nodes + 1)
        self._overrides: Final = dict(settings or {})
        self._passwords: Final = dict(passwords or {})
        self._authority: Final = authority
        self._ports = _free_ports(_LISTENERS * nodes)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = Path()
        self._jars = Path()

    @property
    def bootstrap_servers(self) -> str:
        """Every node, also those that are down."""
        return ",".join(self._address(node) for node in self.nodes)

    @property
    def sasl_servers(self) -> str:
        """Where every node asks for a password or a token: SASL_PLAINTEXT, PLAIN or OAUTHBEARER."""
        return ",".join(self._sasl(node) for node in self.nodes)

    @property
    def secure_servers(self) -> str:
        """Where every node asks for a certificate and a password: SASL_SSL, mechanism SCRAM-SHA-512."""
        return ",".join(self._secure(node) for node in self.nodes)

    def __enter__(self) -> Self:
        """Format and start all nodes. Raises `KafkaError` when they are not all up within 60 s."""
        self._jars = kafka_jars()
        self._folder = Path(tempfile.mkdtemp(prefix="penjaga-kafka-"))
        try:
            self._format()
            for node in self.nodes:
                self._launch(node)
            self._await(set(self.nodes))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all nodes and remove what they stored."""
        self.stop()

    def kill(self, node: int) -> None:
        """End a node at once, as a power cut would."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def pause(self, node: int) -> None:
        """Let a node hang: its connections stay, and nothing answers."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """Let a node that hangs go on."""
        self._processes[node].send_signal(signal.SIGCONT)

    def start(self, node: int) -> None:
        """Start a killed node again on its port and its data, and wait until the others know it."""
        self._launch(node)
        self._await(set(self._processes))

    def stop(self) -> None:
        """End every node and remove what they stored."""
        for node in list(self._processes):
            self.kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _address(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[_LISTENERS * (node - 1)]}"

    def _controller(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[_LISTENERS * (node - 1) + 1]}"

    def _sasl(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[_LISTENERS * (node - 1) + 2]}"

    def _secure(self, node: int) -> str:
        return f"127.0.0.1:{self._ports[_LISTENERS * (node - 1) + 3]}"

    def _properties(self, node: int) -> Path:
        path = self._folder / f"node-{node}.properties"
        if not path.exists():
            path.write_text("\n".join(f"{k}={v}" for k, v in self._settings(node).items()))
        return path

    def _settings(self, node: int) -> dict[str, object]:
        copies = min(3, len(self.nodes))
        in_sync = max(1, copies - 1)
        return {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": ",".join(f"{n}@{self._controller(n)}" for n in self.nodes),
            "listeners": (
                f"PLAINTEXT://{self._address(node)},CONTROLLER://{self._controller(node)}"
            ),
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._folder / f"node-{node}",
            "num.partitions": PARTITIONS,
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": PARTITIONS,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": PARTITIONS,
            "group.initial.rebalance.delay.ms": 0,
            # A killed node should be noticed within a test's patience; the default is 9 s.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # The default of 128 MB would be a third of the heap.
            "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
            **self._asking(node),
            **self._overrides,
        }

    def _asking(self, node: int) -> dict[str, object]:
        """Return the settings of a listener that asks for passwords, if there are any."""
        if not self._passwords:
            return {}
        users = " ".join(f'user_{user}="{word}"' for user, word in self._passwords.items())
        modules = "org.apache.kafka.common.security"
        settings: dict[str, object] = {
            "listeners": (
                f"PLAINTEXT://{self._address(node)},CONTROLLER://{self._controller(node)},"
                f"SASL://{self._sasl(node)}"
            ),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,SECURE:SASL_SSL"
            ),
            "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
            # Kafka's own validator for tests: tokens are not signed, but their times and names count.
            "listener.name.sasl.oauthbearer.sasl.jaas.config": (
                f"{modules}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";'
            ),
            "listener.name.sasl.plain.sasl.jaas.config": (
                f"{modules}.plain.PlainLoginModule required {users};"
            ),
        }
        if self._authority is None:
            return settings
        own, trusted = self._certificates(self._authority)
        return settings | {
            "listeners": f"{settings['listeners']},SECURE://{self._secure(node)}",
            "listener.name.secure.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": (
                f"{modules}.scram.ScramLoginModule required;"
            ),
            "listener.name.secure.ssl.client.auth": "required",
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": own,
            "listener.name.secure.ssl.truststore.type": "PEM",
            "listener.name.secure.ssl.truststore.location": trusted,
        }

    def _certificates(self, authority: trustme.CA) -> tuple[Path, Path]:
        """Write a certificate for loopback with its key, and the authority's; Kafka reads keys as PKCS 8."""
        own, trusted = self._folder / "server.pem", self._folder / "authority.pem"
        if not own.exists():
            issued = authority.issue_cert("127.0.0.1")
            key = load_pem_private_key(issued.private_key_pem.bytes(), None)
            encoded = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            own.write_bytes(encoded + b"".join(blob.bytes() for blob in issued.cert_chain_pems))
            authority.cert_pem.write_to_path(trusted)
        return own, trusted

    def _java(self, *arguments: str | Path) -> list[str]:
        # The kernel ends the nodes with their starter, even one that was killed itself.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        return [
            *tied,
            "java",
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            *("-cp", f"{self._jars}/*"),
            *map(str, arguments),
        ]

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        for node in self.nodes:
            # In one word, because one id in 64 begins with a dash.
            arguments = (
                *("format", f"--cluster-id={cluster}", "-c", self._properties(node)),
                *(
                    f"--add-scram=SCRAM-SHA-512=[name={user},password={word}]"
                    for user, word in self._passwords.items()
                    if self._authority
                ),
            )
            formatted = subprocess.run(
                self._java("kafka.tools.StorageTool", *arguments),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if formatted.returncode != 0:
                message = f"node {node} could not be formatted:\n{formatted.stdout[-2000:]}"
                raise KafkaError(message)

    def _launch(self, node: int) -> None:
        with self._log(node).open("ab") as log:
            self._processes[node] = subprocess.Popen(
                self._java("kafka.Kafka", self._properties(node)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the tests, which then stop the nodes.
                start_new_session=True,
            )

    def _await(self, expected: set[int]) -> None:
        # Each is asked itself: the others go on listing a killed node until its session ends.
        unready = {node: _admin(self._address(node)) for node in expected}
        for _ in _attempts(_START_SECONDS):
            for node, admin in list(unready.items()):
                status = self._processes[node].poll()
                if status is not None:
                    message = f"node {node} ended with status {status}:\n{self._tail(node)}"
                    raise KafkaError(message)
                with contextlib.suppress(KafkaException):
                    if set(admin.list_topics(timeout=1).brokers) >= expected:
                        del unready[node]
            if not unready:
                return
        logs = "\n".join(self._tail(node) for node in sorted(expected))
        message = f"nodes {sorted(expected)} were not up within {_START_SECONDS:.0f} s:\n{logs}"
        raise KafkaError(message)

    def _log(self, node: int) -> Path:
        return self._folder / f"node-{node}.log"

    def _tail(self, node: int) -> str:
        return self._log(node).read_text(errors="replace")[-2000:]


def _admin(bootstrap_servers: str) -> AdminClient:
    # Level 0: a node that is still down is no news here. The default back-off grows to 10 s.
    return AdminClient(
        {
            "bootstrap.servers": bootstrap_servers,
            "log_level": 0,
            "reconnect.backoff.max.ms": 200,
        }
    )


def _attempts(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    message = f"no {count} free ports in {_PORTS}"
    raise KafkaError(message)
