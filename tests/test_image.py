"""The image and the compose file, checked without running them: they name only what is there."""

import json
import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft7Validator

from pipeline import web
from pipeline.settings import load
from pipeline.topics import owned

ROOT: Final = Path(__file__).resolve().parent.parent
DEPLOY: Final = ROOT / "deploy"
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(
    (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
)
PINNED: Final = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;]+)", re.MULTILINE)


def test_the_image_installs_a_part_of_what_is_tested() -> None:
    """Each package in the very version of the tests' lock, every one with hashes."""
    text = (DEPLOY / "requirements.lock").read_text(encoding="utf-8")
    ours = dict(PINNED.findall(text))
    tested = dict(PINNED.findall((ROOT / "requirements.lock").read_text(encoding="utf-8")))

    assert 30 < len(ours) < len(tested)
    assert ours.items() <= tested.items()
    assert "--require-hashes" in DOCKERFILE
    assert text.count("--hash=sha256:") >= len(ours)


def test_the_image_installs_everything_that_the_package_needs() -> None:
    """And nothing that only tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (DEPLOY / "requirements.lock").read_text(encoding="utf-8")
    ours = set(dict(PINNED.findall(text)))
    needed = {re.split(r"[\[<>=~ ]", one)[0].lower() for one in project["dependencies"]}

    assert len(needed) > 15
    assert needed <= ours
    assert ours.isdisjoint({"pytest", "mypy", "scikit-learn", "matplotlib", "confluent-kafka"})


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    """Of the folder that it is built from."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    ]

    assert len(copied) > 6
    assert [] == [path for path in copied if not (ROOT / path).exists()]
    assert [] == [path for path in copied if f"!{path}" not in ignored]
    assert "*" == ignored[0]


def test_the_image_runs_as_nobody_and_says_how_it_is() -> None:
    """By number, so that Kubernetes can tell; the health check asks a page that exists."""
    asked = re.findall(r"127\.0\.0\.1:(\d+)(/[a-z/]+)", DOCKERFILE)

    assert ["65532:65532"] == re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert [(str(load(None, {}).web.port), "/health/live")] == asked
    assert asked[0][1] in Path(web.__file__).read_text(encoding="utf-8")


def test_settings_of_image_and_compose_file_exist() -> None:
    """A variable that no setting answers to would end the worker."""
    variables = dict(re.findall(r"\b(PENJAGA_\w+)=(\S+)", DOCKERFILE))
    variables |= COMPOSE["services"]["penjaga"]["environment"]
    settings = load(None, variables)

    assert "kafka:29092" == settings.kafka.bootstrap_servers
    assert "0.0.0.0" == settings.web.host  # noqa: S104 - in a container of its own


def test_every_topic_of_the_configuration_is_made_before_a_worker_starts() -> None:
    """Nothing makes them by itself: sources the platform's stand-in, the others `penjaga topics apply`."""
    services = COMPOSE["services"]
    settings = load(DEPLOY / "penjaga.toml", services["topics"]["environment"])
    made = re.findall(r"--topic=(\S+)", " ".join(services["platform"]["command"]))
    waits = {name: set(services[name].get("depends_on", ())) for name in ("topics", "penjaga")}

    assert list(settings.sources) == made
    assert ["topics", "apply"] == services["topics"]["command"]
    assert {1} == {topic.replication for topic in owned(settings)}
    assert {"topics": {"platform"}, "penjaga": {"topics"}} == waits
    assert "false" == services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]


def test_who_waits_waits_for_a_state_that_is_told() -> None:
    """For health, only of services that have a health check; for an end, only of those that end."""
    services = COMPOSE["services"]
    waits = [
        (services[other], how["condition"])
        for service in services.values()
        for other, how in service.get("depends_on", {}).items()
    ]

    assert 5 == len(waits)
    assert all("healthcheck" in other for other, how in waits if how == "service_healthy")
    assert all(
        other["restart"] == "no" for other, how in waits if how == "service_completed_successfully"
    )


def test_the_compose_file_is_what_compose_reads() -> None:
    """Checked against the specification's own schema, which check-jsonschema carries."""
    # Read as a file: the package itself may want another click than Faust does.
    carrier = distribution("check-jsonschema")
    (schema,) = [path for path in carrier.files or () if path.name == "compose-spec.json"]
    validator = Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))

    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(COMPOSE)]

    assert [] == errors


def test_the_version_is_said_once() -> None:
    """The label and the tag are the package's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = re.findall(r'image\.version="(.*)"', DOCKERFILE)

    assert [project["version"]] == labels
    assert f"penjaga:{project['version']}" == COMPOSE["services"]["penjaga"]["image"]


def test_services_are_for_this_machine_only_and_know_each_other() -> None:
    """Published on loopback; what is waited for, mounted or scraped is there."""
    services = COMPOSE["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    mounts = [m.split(":")[0] for s in services.values() for m in s.get("volumes", ())]
    prometheus = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    scraped = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    alerted = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]

    assert ["127.0.0.1"] * len(ports) == [port.split(":")[0] for port in ports]
    assert {name for s in services.values() for name in s.get("depends_on", ())} <= services.keys()
    assert [] == [m for m in mounts if m.startswith(".") and not (DEPLOY / m).exists()]
    assert {m for m in mounts if not m.startswith(".")} == COMPOSE["volumes"].keys()
    assert {target.split(":")[0] for target in (*scraped, *alerted)} <= services.keys()


def test_images_are_pinned_to_a_version() -> None:
    """None is whatever is latest."""
    images = [s["image"] for s in COMPOSE["services"].values() if "image" in s]
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(images) > 4
    assert [] == [image for image in images if not re.search(r":v?\d+\.\d+\.\d+", image)]


def test_the_worker_may_write_only_where_it_keeps_things() -> None:
    """A read-only file system, no capability, and time to finish what is in hand."""
    worker = COMPOSE["services"]["penjaga"]

    assert worker["read_only"] is True
    assert ["ALL"] == worker["cap_drop"]
    assert ["/tmp"] == worker["tmpfs"]  # noqa: S108 - of the container
    assert set(re.findall(r"/var/[a-z]+/penjaga", " ".join(worker["volumes"]))) == set(
        re.findall(r'VOLUME \["(.*)", "(.*)"\]', DOCKERFILE)[0]
    )
