"""Settings: `penjaga.toml`, then the environment, into one frozen value.

Unknown keys are refused, and every error names the line (or the variable) and what was expected. Secrets
never stand in the file: they come from the environment or from files, and are read when a connection is made.
"""

import os
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import regex

from pipeline.behaviours import Behaviour
from pipeline.behaviours import shipped as shipped_behaviours
from pipeline.feed import Feed, FeedName
from pipeline.feed import check as check_feeds
from pipeline.policy import Rule
from pipeline.provisioning import Provisioning
from pipeline.provisioning import check as check_provisioning
from pipeline.seal import Quoting, Seal, SealError
from schemas.document import Document, DocumentError
from schemas.labels import taxonomy
from schemas.source import FieldSource, Limits, MappingError, SourceMapping

PREFIX: Final = "PENJAGA_"
OTHER_VARIABLES: Final = frozenset(
    {
        "PENJAGA_CONFIG",
        "PENJAGA_CACHE_DIR",
        "PENJAGA_FEEDS_DIR",
        "PENJAGA_KAFKA_SASL_PASSWORD",
        "PENJAGA_REQUIRE",
        "PENJAGA_SEAL_KEY",
        "PENJAGA_WEB_TOKEN",
    }
)
"""Variables with the prefix that are no settings: a file, folders, secrets, what the tests require."""

_ADDRESS: Final = regex.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}")
_SERVICE_LINK: Final = regex.compile(r"_SERVICE_(?:HOST|PORT)|_PORT(?:_\d+_(?:TCP|UDP|SCTP).*)?$")

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
TopicName = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
BehaviourName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Kafka(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to reach the brokers. `KAFKA_BOOTSTRAP_SERVERS` is honoured too."""

    bootstrap_servers: Annotated[str, msgspec.Meta(min_length=1)] = "localhost:9092"
    group: Annotated[str, msgspec.Meta(min_length=1, max_length=249)] = "penjaga"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = (
        "SCRAM-SHA-512"
    )
    sasl_username: str = ""
    sasl_password_file: str = ""
    sasl_token_file: str = ""
    """What OAUTHBEARER shows; read again for every connection."""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    connect_seconds: Seconds = 60.0
    """How long to keep trying at start before giving up with a non-zero exit."""
    delivery_seconds: Seconds = 120.0
    """How long a write may stay unconfirmed before the worker stops, without committing."""
    metadata_seconds: Seconds = 60.0
    """How soon partitions that were added to a topic are noticed."""
    session_seconds: Annotated[float, msgspec.Meta(ge=6)] = 10.0
    """How long a worker that fell silent keeps its partitions from the others."""
    instance: str = ""
    """A name that stays over restarts (static membership): the worker takes its partitions back at once."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Build the TLS context the protocol calls for.

        Raises:
            OSError: if a certificate or key file cannot be read.
        """
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file or None)
        return context

    def sasl_password(self) -> str:
        """Read the password from `PENJAGA_KAFKA_SASL_PASSWORD`, or from `sasl_password_file`.

        Raises:
            OSError: if the file cannot be read.
        """
        return _secret("PENJAGA_KAFKA_SASL_PASSWORD", self.sasl_password_file)


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where verdicts, rejected records, and what concerns subjects go."""

    escalations: TopicName = "penjaga.escalations"
    shadow: TopicName = "penjaga.shadow"
    overflow: TopicName = "penjaga.overflow"
    """What is escalated beyond a quota; not needed where there is none."""
    quotations: TopicName = "penjaga.quotations"
    """What verdicts quote, if that is kept apart from them; not needed where it is not."""
    dead_letters: TopicName = "penjaga.dead-letters"
    signals: TopicName = "penjaga.signals"
    """Not compacted: the key is the subject, and every signal counts."""
    memory: TopicName = "penjaga.memory"
    """What the memory is recovered from: compacted, with as many partitions as `signals`."""


class Screening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How records are taken from the broker."""

    batch_records: Count = 500
    """The most that are screened at once."""
    batch_seconds: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.02
    """How long the broker may hold back a fetch so that more records share it: latency chosen on purpose."""
    dead_letters_in_a_row: Count = 1000
    """So many rejected records of one source without a good one between them stop the worker."""


class Web(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Metrics, health and the status page. Loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: Port = 6066
    token_file: str = ""
    """What the status page asks for. Without a token it is served on loopback only."""

    def token(self) -> str:
        """Read the token from `PENJAGA_WEB_TOKEN`, or from `token_file`; empty if there is none.

        Raises:
            OSError: if the file cannot be read.
        """
        return _secret("PENJAGA_WEB_TOKEN", self.token_file)


class Escalations(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an escalation may carry."""

    excerpt_characters: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 280
    """The most of the original text that travels, around the evidence; 0 sends references only."""
    quotations: Literal["inline", "apart"] = "inline"
    """Whether a verdict carries what it quotes, or a topic of its own does."""
    seal_key_file: str = ""
    """A key of 32 bytes in base64: what is quoted is sealed with it; `penjaga quotations open` opens it."""

    def seal_key(self) -> str:
        """Read the key from `PENJAGA_SEAL_KEY`, or from `seal_key_file`; empty if there is none.

        Raises:
            OSError: if the file cannot be read.
        """
        return _secret("PENJAGA_SEAL_KEY", self.seal_key_file)

    def quoting(self) -> Quoting:
        """Return how verdicts quote.

        Raises:
            OSError: if the key cannot be read.
            SealError: if it is none.
        """
        key = self.seal_key()
        return Quoting(Seal(key) if key else None, self.quotations == "apart")


class Detectors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which detectors run: all that are installed, or those named; `without` takes some out."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    isolated: tuple[str, ...] = ()
    """Those that run in a process of their own, with a hard deadline and a limit on memory."""
    isolated_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 2_147_483_648
    """The address space of such a process; 0 for no limit."""
    budget_seconds: Seconds = 1.0
    """How long a detector may take over a batch, and once more over the events of one that failed."""
    failures_in_a_row: Count = 5
    """After so many failed batches, or so many in a minute that took too long, it is left alone."""
    pause_seconds: Seconds = 30.0
    """For how long, before it is tried again."""


class Brakes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a detector that was changed stops escalating."""

    flood_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.2
    """When more than this share of messages would be escalated for it; 1 is never."""
    flood_messages: Count = 5000
    """Of how many messages in a row."""
    changed_hours: Annotated[float, msgspec.Meta(ge=0)] = 24.0
    """For so long a version counts as changed after this machine first ran it; 0 turns the brake off."""
    spared: tuple[str, ...] = ("canary.*", "csea.*")
    """Labels, or families of them, that are escalated all the same."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of a label, or of a family of them, people can look at."""

    escalations_a_minute: Count
    """By each process of a worker; what is more goes to the overflow topic."""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A topic to read. `fields` maps its JSON to an event; without, it already is one."""

    fields: dict[str, str | FieldSource] = {}


class Signals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told to the memory of subjects."""

    floor: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.1
    """Findings with a lower score tell it nothing."""


class Tracing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where spans of batches go, and of how many; nowhere without an endpoint."""

    endpoint: Annotated[str, msgspec.Meta(pattern=r"^(https?://\S+)?$")] = ""
    """Of a collector that takes OTLP over HTTP, such as `http://collector:4318/v1/traces`."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.01
    """Of all batches."""


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a worker keeps what it remembers of subjects, beside the topic that it is recovered from."""

    store: Literal["rocksdb", "memory", "off"] = "rocksdb"
    """On disk; in the process, for small platforms and tests; or no memory, and no topics for it."""
    folder: str = ""
    """Where on disk; empty: `penjaga/memory` in $XDG_STATE_HOME, which is ~/.local/state."""
    standbys: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    """On how many other workers each partition's memory is kept ready, to take over at once."""

    @property
    def is_on(self) -> bool:
        """Whether subjects are remembered at all."""
        return self.store != "off"


def _default_policy() -> dict[str, Rule]:
    return {
        "canary.seen": Rule(review=0.5),
        "csea.*": Rule(shadow=0.3, review=0.6, escalate=0.85),
        "detector.failed": Rule(shadow=0.5),
        "default": Rule(review=0.6, escalate=0.85),
    }


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a worker is told. The defaults are those of `deploy/penjaga.toml`."""

    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    provisioning: Provisioning = Provisioning()
    screening: Screening = Screening()
    limits: Limits = Limits()
    web: Web = Web()
    escalations: Escalations = Escalations()
    detectors: Detectors = Detectors()
    brakes: Brakes = Brakes()
    quotas: dict[str, Quota] = {}
    feeds: dict[FeedName, Feed] = {}
    policy: dict[str, Rule] = msgspec.field(default_factory=_default_policy)
    signals: Signals = Signals()
    memory: Memory = Memory()
    tracing: Tracing = Tracing()
    behaviours: dict[BehaviourName, Behaviour] = msgspec.field(default_factory=shipped_behaviours)
    sources: dict[str, Source] = msgspec.field(
        default_factory=lambda: {"platform.events": Source()}
    )

    def mapping(self, topic: str) -> SourceMapping:
        """Compile the mapping of one source."""
        return SourceMapping.compile(self.sources[topic].fields, self.limits)


class SettingsError(ValueError):
    """Settings that cannot be used: where, what, and what was expected."""


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the file, if any, put the environment over it, and check what no type can.

    Raises:
        SettingsError: with the file and line, or the variable, that is wrong.
    """
    try:
        document = Document.read(path) if path else Document("", "built-in defaults")
        document.to(Settings)
        variables = _override(document, environment)
        try:
            settings = document.to(Settings)
        except DocumentError as error:
            # The file alone was sound, so the environment is to blame.
            raise SettingsError(f"{', '.join(variables)}: {error.problem}") from None
        settings = msgspec.structs.replace(
            settings,
            policy=_default_policy() | settings.policy,
            behaviours=shipped_behaviours() | settings.behaviours,
        )
        _check_kafka(document, settings.kafka)
        _check_file(document, "web", "token_file", settings.web.token_file)
        _check_seal(document, settings.escalations)
        check_provisioning(document, settings.provisioning)
        _check_policy(document, settings)
        _check_brakes(document, settings.brakes)
        _check_quotas(document, settings.quotas)
        _check_behaviours(document, settings)
        _check_sources(document, settings)
        check_feeds(document, settings.feeds)
    except DocumentError as error:
        raise SettingsError(str(error)) from None
    return settings


def _override(document: Document, environment: Mapping[str, str]) -> list[str]:
    """Put `PENJAGA_<SECTION>_<KEY>` (and `KAFKA_BOOTSTRAP_SERVERS`) into the document's content."""
    known = {
        f"{PREFIX}{section}_{field.encode_name}".upper(): (section, field)
        for section, type_ in (
            ("kafka", Kafka),
            ("topics", Topics),
            ("provisioning", Provisioning),
            ("screening", Screening),
            ("limits", Limits),
            ("web", Web),
            ("escalations", Escalations),
            ("detectors", Detectors),
            ("brakes", Brakes),
            ("signals", Signals),
            ("memory", Memory),
            ("tracing", Tracing),
        )
        for field in msgspec.structs.fields(type_)
    }
    given = {k: v for k, v in environment.items() if k.startswith(PREFIX)}
    used = []
    if servers := environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        document.content.setdefault("kafka", {})["bootstrap_servers"] = servers
        used.append("KAFKA_BOOTSTRAP_SERVERS")
    for variable in sorted(given.keys() - OTHER_VARIABLES):
        if variable not in known and _SERVICE_LINK.search(variable):
            continue  # Kubernetes sets such variables for a Service of that name.
        if variable not in known:
            raise SettingsError(
                f"{variable}: no such setting; expected one of {', '.join(sorted(known))}"
            )
        section, field = known[variable]
        value = _value(given[variable], field.type)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            link = given[variable].startswith(("tcp://", "udp://"))
            hint = (
                "; Kubernetes sets it for a Service: use enableServiceLinks: false" if link else ""
            )
            raise SettingsError(f"{variable}: {str(error).lower()}{hint}") from None
        document.content.setdefault(section, {})[field.encode_name] = value
        used.append(variable)
    return used


def _value(text: str, type_: object) -> object:
    """Read a variable as text where the setting is text, as a TOML value otherwise."""
    try:
        msgspec.convert(text, type_)
    except msgspec.ValidationError:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _secret(variable: str, path: str) -> str:
    """Read a secret from the environment, or else from a file; empty if neither is given."""
    secret = os.environ.get(variable, "")
    if secret or not path:
        return secret
    return Path(path).read_text(encoding="utf-8").strip()


def _check_file(document: Document, section: str, name: str, path: str) -> None:
    try:
        Path(path or os.devnull).open("rb").close()
    except OSError as error:
        raise document.error(
            (section, name), f"{name}: cannot read {path}: {error.strerror}"
        ) from None


def _check_seal(document: Document, escalations: Escalations) -> None:
    _check_file(document, "escalations", "seal_key_file", escalations.seal_key_file)
    try:
        escalations.quoting()
    except SealError as error:
        raise document.error(
            ("escalations", "seal_key_file"),
            f"PENJAGA_SEAL_KEY, or the file that seal_key_file names: {error}",
        ) from None


def _check_kafka(document: Document, kafka: Kafka) -> None:
    """See that addresses, certificates and credentials can be used before a worker is started with them."""
    for server in kafka.bootstrap_servers.split(","):
        if not _ADDRESS.fullmatch(server.strip()):
            where = ("kafka", "bootstrap_servers")
            raise document.error(where, f"expected host:port, separated by commas, got `{server}`")
    for name in (
        "ca_file",
        "certificate_file",
        "key_file",
        "sasl_password_file",
        "sasl_token_file",
    ):
        _check_file(document, "kafka", name, getattr(kafka, name))
    try:
        kafka.ssl_context()
    except (OSError, ssl.SSLError) as error:
        problem = f"the certificates cannot be used: {error}"
        raise document.error(("kafka", "certificate_file"), problem) from None
    if not kafka.security_protocol.startswith("SASL"):
        return
    if kafka.sasl_mechanism == "OAUTHBEARER":
        if not kafka.sasl_token_file:
            problem = "expected a file with a token in sasl_token_file under OAUTHBEARER"
            raise document.error(("kafka",), problem)
    else:
        if not kafka.sasl_username:
            raise document.error(("kafka",), "sasl_username: expected one under SASL")
        if not kafka.sasl_password():
            problem = "expected a password in PENJAGA_KAFKA_SASL_PASSWORD or in sasl_password_file"
            raise document.error(("kafka",), problem)


def _check_policy(document: Document, settings: Settings) -> None:
    for label, rule in settings.policy.items():
        if label != "default" and not _is_known(label):
            raise document.error(
                ("policy", label),
                f"unknown label `{label}`, expected `default`, a family such as `fraud.*`, or one of "
                + ", ".join(f"`{i}`" for i in taxonomy().ids),
            )
        thresholds = [t for t in (rule.shadow, rule.review, rule.escalate) if t is not None]
        if thresholds != sorted(thresholds):
            raise document.error(
                ("policy", label), f"`{label}`: expected shadow <= review <= escalate"
            )


def _check_brakes(document: Document, brakes: Brakes) -> None:
    for label in brakes.spared:
        _check_label(document, ("brakes", "spared"), label)


def _check_quotas(document: Document, quotas: Mapping[str, Quota]) -> None:
    for label in quotas:
        _check_label(document, ("quotas", label), label)


def _check_label(document: Document, where: tuple[str, ...], label: str) -> None:
    if not _is_known(label):
        raise document.error(
            where,
            f"unknown label `{label}`, expected a family such as `csea.*`, or one of "
            + ", ".join(f"`{i}`" for i in taxonomy().ids),
        )


def _is_known(label: str) -> bool:
    """Tell whether a label, or a family such as `fraud.*`, is in the taxonomy."""
    labels = taxonomy()
    family, _, rest = label.partition(".")
    families = {known.split(".")[0] for known in (*labels.ids, *labels.families)}
    return label in labels or (rest == "*" and family in families)


def _check_behaviours(document: Document, settings: Settings) -> None:
    for name, row in settings.behaviours.items():
        for label in (*row.labels, *((row.label,) if row.label else ())):
            if not _is_known(label):
                raise document.error(("behaviours", name), f"`{name}`: unknown label `{label}`")
        if row.review > row.escalate:
            raise document.error(("behaviours", name), f"`{name}`: expected review <= escalate")


def _check_sources(document: Document, settings: Settings) -> None:
    if not settings.sources:
        raise document.error(("sources",), 'no source: expected at least one [sources."topic"]')
    written = msgspec.structs.asdict(settings.topics)
    for name, topic in written.items():
        if list(written.values()).count(topic) > 1:
            raise document.error(("topics", name), f"`{topic}` is named for two things")
    for topic in settings.sources:
        if topic in written.values():
            raise document.error(("sources", topic), f"`{topic}` is a topic this worker writes to")
        try:
            settings.mapping(topic)
        except MappingError as error:
            raise document.error(("sources", topic, "fields", error.field), str(error)) from None
