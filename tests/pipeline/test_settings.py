"""Settings: every mistake is named with its line or its variable."""

import re
import ssl
from pathlib import Path

import msgspec
import pytest

from pipeline.policy import Rule
from pipeline.settings import Settings, SettingsError, load

DEPLOYED = Path(__file__).parents[2] / "deploy" / "penjaga.toml"


def written(tmp_path: Path, content: str) -> Path:
    """Write a configuration file."""
    path = tmp_path / "my.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_shipped_configuration_is_the_built_in_one() -> None:
    """`deploy/penjaga.toml` says what a worker without a file does, key by key."""
    assert load(None, {}) == load(DEPLOYED, {}) == Settings()
    assert all(f"\n{k} = " in DEPLOYED.read_text() for k in ("group", "depth", "port", "without"))


MISTAKES = {
    "unknown section": ("[kafka]\n\n[kafak]\n", 3, "unknown key `kafak`"),
    "unknown key": ('[kafka]\ngruop = "x"\n', 2, "unknown key `gruop`, expected one of `boot"),
    "unknown key in a rule": ('[policy."fraud.*"]\nreveiw = 0.5\n', 2, "unknown key `reveiw`"),
    "wrong type": ('[web]\nhost = "h"\nport = "80"\n', 3, "expected `int`, got `str`"),
    "out of range": ("[web]\nport = 70000\n", 2, "<= 65535"),
    "no size": ("[limits]\nrecord_bytes = 0\n", 2, ">= 1"),
    "no choice": ('[kafka]\nsecurity_protocol = "TLS"\n', 2, 'expected one of "PLAINTEXT"'),
    "empty name": ('[kafka]\ngroup = ""\n', 2, "length >= 1"),
    "not TOML": ("[kafka\n", 1, "not TOML"),
    "unknown label": ('[policy."default"]\n[policy."fraud.phising"]\nreview = 0.5\n', 2, "`fraud.phising`"),
    "unknown family": ('[policy."frauds.*"]\nreview = 0.5\n', 1, "unknown label `frauds.*`"),
    "order": ('\n[policy."fraud.*"]\nreview = 0.9\nescalate = 0.5\n', 2, "shadow <= review <= escalate"),
    "threshold of zero": ('[policy."fraud.*"]\nreview = 0.0\n', 2, "> 0"),
    "threshold above one": ('[policy."fraud.*"]\nreview = 1.5\n', 2, "<= 1.0"),
    "audience": ('[policy."fraud.*"]\naudiences = ["dm", "all"]\n', 2, 'expected one of "dm"'),
    "no source": ("sources = {}\n", 1, "no source"),
    "one topic for two": (
        '[topics]\nescalations = "a"\nshadow = "b"\ndead_letters = "a"\n',
        2,
        "named for two things",
    ),
    "no topic name": ('[topics]\nescalations = ""\n', 2, "matching regex"),
    "own topic": ('[sources."penjaga.shadow"]\n', 1, "is a topic this worker writes to"),
    "event field": ('[sources.t.fields]\nid = "a"\n"actor.nmae" = "b"\n', 3, "actor.nmae"),
    "mapping key": ('[sources.t.fields]\nid = { paht = "a" }\n', 2, "paht"),
    "mapping of two": ('[sources.t.fields]\nid = { path = "a", constant = "b" }\n', 2, "either"),
    "mapping constant": ('[sources.t.fields]\nis_ad = { constant = "yes" }\n', 2, "is_ad"),
    "source key": ("[sources.t]\nfeilds = {}\n", 2, "unknown key `feilds`"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path: Path, name: str) -> None:
    """The message starts with `file:line:` and says what was expected."""
    content, line, problem = MISTAKES[name]
    path = written(tmp_path, content)
    with pytest.raises(SettingsError) as caught:
        load(path, {})

    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Absent, a folder, or not UTF-8."""
    (tmp_path / "latin").write_bytes(b'[kafka]\ngroup = "\xe9"\n')
    for path, problem in (
        (tmp_path / "absent", "cannot be read"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin", "2: not UTF-8"),
    ):
        with pytest.raises(SettingsError, match=problem) as caught:
            load(path, {})
        assert str(path) in str(caught.value)


def test_a_file_holds_only_what_differs(tmp_path: Path) -> None:
    """The rest keeps its default; a policy is put over the default one, rule by rule."""
    settings = load(
        written(tmp_path, '[kafka]\ngroup = "mine"\n[policy."fraud.*"]\nescalate = 0.7\n'), {}
    )

    assert ("mine", "localhost:9092") == (settings.kafka.group, settings.kafka.bootstrap_servers)
    assert Rule(escalate=0.7) == settings.policy["fraud.*"]
    assert Settings().policy == {k: v for k, v in settings.policy.items() if k != "fraud.*"}
    assert ["platform.events"] == list(settings.sources)


def test_labels_of_ones_own_can_have_rules(tmp_path: Path) -> None:
    """Below an open family any label is known."""
    content = '[policy."custom.something"]\nreview = 0.1\n[policy."hate.*"]\nshadow = 0.1\n'

    assert {"custom.something", "hate.*"} <= set(load(written(tmp_path, content), {}).policy)


def test_only_labels_there_are_can_have_a_quota(tmp_path: Path) -> None:
    """Or it would hold back nothing."""
    content = '[quotas."frauds.*"]\nescalations_a_minute = 5\n'
    with pytest.raises(SettingsError, match=r":1: unknown label `frauds\.\*`, expected a family"):
        load(written(tmp_path, content), {})


def test_only_labels_there_are_can_be_spared(tmp_path: Path) -> None:
    """A family that nobody writes would spare nothing."""
    with pytest.raises(SettingsError, match=r":2: unknown label `csea`, expected a family such as"):
        load(written(tmp_path, '[brakes]\nspared = ["csea"]\n'), {})


OVERRIDES: dict[str, tuple[str, str, object]] = {
    "PENJAGA_KAFKA_BOOTSTRAP_SERVERS": ("kafka.bootstrap_servers", "a:1,b:2", "a:1,b:2"),
    "PENJAGA_KAFKA_GROUP": ("kafka.group", "123", "123"),
    "PENJAGA_KAFKA_SESSION_SECONDS": ("kafka.session_seconds", "12", 12.0),
    "PENJAGA_TOPICS_DEAD_LETTERS": ("topics.dead_letters", "bin", "bin"),
    "PENJAGA_PROVISIONING_PARTITIONS": ("provisioning.partitions", "24", 24),
    "PENJAGA_SCREENING_BATCH_RECORDS": ("screening.batch_records", "7", 7),
    "PENJAGA_SCREENING_BATCH_SECONDS": ("screening.batch_seconds", "0.5", 0.5),
    "PENJAGA_LIMITS_RECORD_BYTES": ("limits.record_bytes", "1000", 1000),
    "PENJAGA_WEB_HOST": ("web.host", "0.0.0.0", "0.0.0.0"),  # noqa: S104 - a value, nothing listens
    "PENJAGA_WEB_PORT": ("web.port", "8080", 8080),
    "PENJAGA_ESCALATIONS_EXCERPT_CHARACTERS": ("escalations.excerpt_characters", "0", 0),
    "PENJAGA_DETECTORS_BUDGET_SECONDS": ("detectors.budget_seconds", "0.5", 0.5),
    "PENJAGA_BRAKES_CHANGED_HOURS": ("brakes.changed_hours", "0", 0.0),
    "PENJAGA_SIGNALS_FLOOR": ("signals.floor", "0.2", 0.2),
    "PENJAGA_MEMORY_STORE": ("memory.store", "memory", "memory"),
    "PENJAGA_TRACING_SHARE": ("tracing.share", "0.5", 0.5),
}


@pytest.mark.parametrize("variable", OVERRIDES)
def test_a_variable_overrides_the_file(tmp_path: Path, variable: str) -> None:
    """One in every section, as text, whole number or fraction; the file's other keys stay."""
    where, value, expected = OVERRIDES[variable]
    section, key = where.split(".")
    path = written(
        tmp_path, '[kafka]\ngroup = "file"\nconnect_seconds = 5.0\n[web]\nport = 1\nhost = "h"\n'
    )
    settings = load(path, {variable: value, "HOME": "/root", "UNRELATED": "1"})

    assert expected == getattr(getattr(settings, section), key)
    assert 5.0 == settings.kafka.connect_seconds
    assert load(path, {}) != settings


def test_every_section_of_plain_values_can_be_overridden() -> None:
    """All but the tables of behaviours, feeds, policy, quotas and sources."""
    sections = {variable.split("_")[1].lower() for variable in OVERRIDES}
    tables = {"behaviours", "feeds", "policy", "quotas", "sources"}
    plain = {f.name for f in msgspec.structs.fields(Settings)} - tables

    assert plain == sections


def test_the_usual_variable_for_brokers_is_honoured(tmp_path: Path) -> None:
    """`KAFKA_BOOTSTRAP_SERVERS` wins over the file, our own variable over both; empty is unset."""
    path = written(tmp_path, '[kafka]\nbootstrap_servers = "file:1"\n')
    usual = {"KAFKA_BOOTSTRAP_SERVERS": "env:1"}
    own = {"PENJAGA_KAFKA_BOOTSTRAP_SERVERS": "own:1"}

    assert "env:1" == load(path, usual).kafka.bootstrap_servers
    assert "own:1" == load(path, usual | own).kafka.bootstrap_servers
    assert "file:1" == load(path, {"KAFKA_BOOTSTRAP_SERVERS": ""}).kafka.bootstrap_servers


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PENJAGA_KAFKA_GRUOP", "x", "no such setting; expected one of PENJAGA_BRAKES"),
        ("PENJAGA_GROUP", "x", "no such setting"),
        ("PENJAGA_WEB_PORT", "eighty", "expected `int`, got `str`"),
        ("PENJAGA_WEB_PORT", "70000", "<= 65535"),
        ("PENJAGA_WEB_PORT", "", "expected `int`"),
        ("PENJAGA_KAFKA_GROUP", "", "length >= 1"),
        ("PENJAGA_KAFKA_SECURITY_PROTOCOL", "TLS", "invalid enum value 'tls'"),
        ("PENJAGA_LIMITS_DEPTH", "0", ">= 1"),
        ("PENJAGA_SCREENING_BATCH_SECONDS", "nan", "> 0"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, problem: str) -> None:
    """The message starts with the variable's name."""
    with pytest.raises(SettingsError) as caught:
        load(None, {variable: value})

    assert str(caught.value).startswith(f"{variable}: ")
    assert problem in str(caught.value).lower() or problem in str(caught.value)


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """Folders, the password and what the test suite requires."""
    environment = {
        "PENJAGA_CONFIG": "x",
        "PENJAGA_CACHE_DIR": "x",
        "PENJAGA_KAFKA_SASL_PASSWORD": "x",
        "PENJAGA_REQUIRE": "x",
    }

    assert Settings() == load(None, environment)


def test_a_password_is_in_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when a connection is made, from the variable or its file, and never shown."""
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    path = written(tmp_path, f'[kafka]\nsasl_password_file = "{tmp_path / "password"}"\n')
    monkeypatch.delenv("PENJAGA_KAFKA_SASL_PASSWORD", raising=False)
    settings = load(path, {"PENJAGA_KAFKA_SASL_PASSWORD": "swordfish"})

    assert "hunter2" == settings.kafka.sasl_password()
    monkeypatch.setenv("PENJAGA_KAFKA_SASL_PASSWORD", "swordfish")
    assert "swordfish" == settings.kafka.sasl_password()
    shown = repr(settings) + msgspec.json.encode(settings).decode()
    assert not [word for word in ("hunter2", "swordfish") if word in shown]


def test_a_password_in_the_file_is_refused(tmp_path: Path) -> None:
    """There is no key for it, and the message does not repeat it."""
    with pytest.raises(SettingsError, match="unknown key `sasl_password`") as caught:
        load(written(tmp_path, '[kafka]\nsasl_password = "hunter2"\n'), {})

    assert "hunter2" not in str(caught.value)


def test_encryption_follows_the_protocol() -> None:
    """Certificates are checked whenever the protocol is encrypted."""
    plain = load(None, {}).kafka.ssl_context()
    encrypted = load(None, {"PENJAGA_KAFKA_SECURITY_PROTOCOL": "SSL"}).kafka.ssl_context()

    assert plain is None
    assert encrypted
    assert (ssl.CERT_REQUIRED, True) == (encrypted.verify_mode, encrypted.check_hostname)


def test_what_kubernetes_sets_for_a_service_is_no_mistake() -> None:
    """Its variables are passed over; one that hits a setting says where it comes from."""
    links = {
        "PENJAGA_SERVICE_HOST": "10.0.0.1",
        "PENJAGA_SERVICE_PORT_HTTP": "6066",
        "PENJAGA_PORT": "tcp://10.0.0.1:6066",
        "PENJAGA_PORT_6066_TCP_ADDR": "10.0.0.1",
    }

    assert load(None, {}) == load(None, links)
    with pytest.raises(SettingsError, match=r"PENJAGA_WEB_PORT: .*enableServiceLinks"):
        load(None, {"PENJAGA_WEB_PORT": "tcp://10.0.0.1:80"})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka://a:1"}, "expected host:port"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:b"}, "expected host:port"),
        ({"PENJAGA_KAFKA_CA_FILE": "/nowhere/ca.pem"}, "ca_file: cannot read /nowhere/ca.pem"),
        ({"PENJAGA_KAFKA_SASL_PASSWORD_FILE": "/nowhere/p"}, "sasl_password_file: cannot read"),
        ({"PENJAGA_WEB_TOKEN_FILE": "/nowhere/t"}, "token_file: cannot read /nowhere/t"),
        ({"PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_username: expected one"),
        (
            {
                "PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
                "PENJAGA_KAFKA_SASL_USERNAME": "penjaga",
            },
            "expected a password in PENJAGA_KAFKA_SASL_PASSWORD",
        ),
        (
            {
                "PENJAGA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
                "PENJAGA_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            },
            "expected a file with a token in sasl_token_file",
        ),
        ({"PENJAGA_KAFKA_SASL_TOKEN_FILE": "/nowhere/t"}, "sasl_token_file: cannot read"),
    ],
)
def test_a_connection_that_cannot_be_made_is_refused_early(
    environment: dict[str, str], expected: str
) -> None:
    """`config check` sees what a worker would only trip over."""
    with pytest.raises(SettingsError, match=expected):
        load(None, environment)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('labels = ["csea.nothing"]', "unknown label `csea.nothing`"),
        ('labels = ["csea.*"]\nreview = 0.9\nescalate = 0.5', "expected review <= escalate"),
        ('labels = ["csea.*"]\nleast = 0', "expected `int` >= 1"),
        ('labels = ["csea.*"]\nwieght = 0.5', "wieght"),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    """With the file, and what is wrong."""
    head = '[behaviours.mine]\nsubject = "actor"\ncounts = "events"\n'

    with pytest.raises(SettingsError, match=re.escape(problem)):
        load(written(tmp_path, head + row + "\n"), {})


def test_a_behaviour_of_ones_own_joins_the_built_in_ones(tmp_path: Path) -> None:
    """A row with a known name replaces that one."""
    row = '[behaviours.{}]\nsubject = "actor"\ncounts = "events"\nlabels = ["fraud.*"]\n'
    settings = load(written(tmp_path, row.format("mine") + row.format("pile_on")), {})

    assert load(None, {}).behaviours.keys() | {"mine"} == settings.behaviours.keys()
    assert "actor" == settings.behaviours["pile_on"].subject
