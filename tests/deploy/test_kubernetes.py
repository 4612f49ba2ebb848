"""Manifests for Kubernetes: what the API takes, what our own settings say, and what must never loosen.

The API's own kinds are checked against its published schemas, which kubernetes-validate carries. No
package holds those of KEDA, Strimzi and the Prometheus operator: of their kinds, what is said here is all.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NoReturn

import kubernetes_validate
import pytest
import yaml

from pipeline import app, processes, web
from pipeline.doctor_cluster import CORE_RECORDS
from pipeline.settings import Settings, load
from pipeline.topics import owned

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = ("small", "large")
API: Final = ("1.30", "1.34")
"""The oldest and the newest version that the manifests are held to."""

_FOREIGN: Final = frozenset(
    {"KafkaTopic", "KafkaUser", "ScaledObject", "TriggerAuthentication", "ServiceMonitor"}
)

Manifest = dict[str, Any]


class Built:
    """The manifests of an overlay, as they are applied, and the settings that a worker gets by them."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    def all(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        (manifest,) = self.all(kind)
        return manifest

    @property
    def pod(self) -> Manifest:
        spec: Manifest = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Manifest:
        (container,) = self.pod["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def processes(self) -> int:
        arguments = self.container["args"]
        return int(arguments[-1]) if "--processes" in arguments else 1

    def settings(self, folder: Path) -> Settings:
        """Load them as the container would, with a certificate and a password that can be read here."""
        (folder / "penjaga.toml").write_text(self.one("ConfigMap")["data"]["penjaga.toml"])
        here = {
            "PENJAGA_KAFKA_CA_FILE": str(files("certifi") / "cacert.pem"),
            "PENJAGA_KAFKA_SASL_PASSWORD_FILE": str(folder / "penjaga.toml"),
        }
        given = {one["name"]: one["value"] for one in self.container["env"] if "value" in one}
        return load(folder / "penjaga.toml", given | here)


def build(folder: Path, unavailable: Callable[[str, str], NoReturn]) -> Built:
    """Build with whatever builds overlays here."""
    program = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
    if not shutil.which(program[0]):
        unavailable("kustomize", "manifests are built by kubectl or kustomize: install either")
    done = subprocess.run([*program, folder], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return Built(list(yaml.safe_load_all(done.stdout)))


@pytest.fixture(scope="module", params=OVERLAYS)
def built(request: pytest.FixtureRequest, unavailable: Callable[[str, str], NoReturn]) -> Built:
    """Return an overlay, built."""
    return build(KUBERNETES / request.param, unavailable)


@pytest.mark.parametrize("api", API)
def test_the_api_takes_its_own_kinds(built: Built, api: str) -> None:
    """Strictly: a field that is misspelt is refused, too."""
    checked = [m for m in built.manifests if m["kind"] not in _FOREIGN]

    for manifest in checked:
        kubernetes_validate.validate(manifest, api, strict=True)

    assert {"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"} == {
        manifest["kind"] for manifest in checked
    }


def test_every_file_of_the_base_is_built() -> None:
    """None lies there and does nothing."""
    base = KUBERNETES / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())
    there = {path.name for path in base.iterdir()} - {"kustomization.yaml"}

    assert there == {*listed["resources"], *listed["configMapGenerator"][0]["files"]}


def test_strimzi_makes_the_topics_that_penjaga_wants(built: Built, tmp_path: Path) -> None:
    """`penjaga topics plan` would find nothing to change."""
    wanted = {
        topic.name: (topic.partitions, topic.replication, dict(topic.wanted()))
        for topic in owned(built.settings(tmp_path))
    }
    made = {
        topic["metadata"]["name"]: (
            topic["spec"]["partitions"],
            topic["spec"]["replicas"],
            topic["spec"]["config"],
        )
        for topic in built.all("KafkaTopic")
    }

    assert wanted == made


def test_the_user_may_do_what_a_worker_does_and_no_more(built: Built, tmp_path: Path) -> None:
    """It reads sources and what it keeps for itself, writes to its own topics, and creates or alters none."""
    settings = built.settings(tmp_path)
    user = built.one("KafkaUser")
    granted = {
        (acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"])
        for acl in user["spec"]["authorization"]["acls"]
    }
    seen = {"Describe", "DescribeConfigs"}
    written = {("topic", topic.name): seen | {"Write"} for topic in owned(settings)}
    topics = settings.topics
    for name in (topics.dead_letters, topics.signals, topics.memory):
        written["topic", name] |= {"Read"}

    assert {("topic", name): seen | {"Read"} for name in settings.sources} | written | {
        ("group", settings.kafka.group): {"Describe", "Read"}
    } == granted
    assert {"literal"} == {
        acl["resource"]["patternType"] for acl in user["spec"]["authorization"]["acls"]
    }
    assert settings.kafka.sasl_username == user["metadata"]["name"]


def test_a_worker_gets_the_secrets_that_strimzi_makes(built: Built) -> None:
    """Where its configuration looks for them; none stands in a manifest."""
    given = tomllib.loads(built.one("ConfigMap")["data"]["penjaga.toml"])["kafka"]
    volumes = {volume["name"]: volume for volume in built.pod["volumes"]}
    mounted = {
        f"{mount['mountPath']}/{item['path']}": (volume["secret"]["secretName"], item["key"])
        for mount in built.container["volumeMounts"]
        if "secret" in (volume := volumes[mount["name"]])
        for item in volume["secret"]["items"]
    }
    clusters = {
        topic["metadata"]["labels"]["strimzi.io/cluster"]
        for topic in (*built.all("KafkaTopic"), built.one("KafkaUser"))
    }

    assert {"platform"} == clusters
    assert {
        given["sasl_password_file"]: (built.one("KafkaUser")["metadata"]["name"], "password"),
        given["ca_file"]: ("platform-cluster-ca-cert", "ca.crt"),
    } == mounted
    assert [] == built.all("Secret")


def test_the_configuration_is_mounted_where_the_image_looks_for_it(built: Built) -> None:
    """And a changed one has another name, so that pods are started again."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    volumes = {volume["name"]: volume for volume in built.pod["volumes"]}
    name = volumes["configuration"]["configMap"]["name"]
    folders = {mount["mountPath"] for mount in built.container["volumeMounts"]}

    assert ["/etc/penjaga/penjaga.toml"] == re.findall(r"PENJAGA_CONFIG=(\S+)", dockerfile)
    assert built.one("ConfigMap")["metadata"]["name"] == name
    assert re.fullmatch(r"penjaga-[a-z0-9]{10}", name)
    written = set(re.findall(r'VOLUME \["(.*)", "(.*)"\]', dockerfile)[0])
    assert {"/etc/penjaga", "/tmp", *written} <= folders  # noqa: S108  # of the container


def test_nothing_may_write_or_rise(built: Built) -> None:
    """As nobody, on a read-only file system, without capabilities, tokens or privileges."""
    pod, container = built.pod["securityContext"], built.container["securityContext"]

    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container
    assert (True, 65532, 65532, {"type": "RuntimeDefault"}) == (
        pod["runAsNonRoot"],
        pod["runAsUser"],
        pod["runAsGroup"],
        pod["seccompProfile"],
    )
    assert built.pod["automountServiceAccountToken"] is False
    assert f"penjaga:{version('penjaga')}" == built.container["image"]
    assert "USER 65532:65532" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_probes_ask_pages_that_are_there(built: Built, tmp_path: Path) -> None:
    """The named port is the one that a worker listens on; a start may take longer than a wait for brokers."""
    pages = Path(web.__file__).read_text()
    probes = {
        name: built.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")
    }
    settings = built.settings(tmp_path)
    patience = probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"]

    assert {
        "startup": "/health/live",
        "liveness": "/health/live",
        "readiness": "/health/ready",
    } == {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert all(f'"{probe["httpGet"]["path"]}"' in pages for probe in probes.values())
    assert [{"name": "web", "containerPort": settings.web.port}] == built.container["ports"]
    assert {"web"} == {probe["httpGet"]["port"] for probe in probes.values()}
    assert patience > settings.kafka.connect_seconds
    assert "0.0.0.0" == settings.web.host  # noqa: S104  # in a container of its own


def test_a_stop_has_the_time_it_takes(built: Built) -> None:
    """More than a parent waits for its workers, and they for what is in hand."""
    assert built.pod["terminationGracePeriodSeconds"] > processes.STOP_SECONDS > app.STOP_SECONDS


def test_every_worker_has_a_partition(built: Built, tmp_path: Path) -> None:
    """Also in the middle of a rollout: one that has none is never ready, and the rollout would wait."""
    scaling = built.one("ScaledObject")["spec"]
    rollout = built.one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    most = scaling["maxReplicaCount"] * built.processes

    assert {"maxSurge": 0, "maxUnavailable": 1} == rollout
    assert 2 <= scaling["minReplicaCount"] < scaling["maxReplicaCount"]
    assert most in {12, 96}
    assert "replicas" not in built.one("Deployment")["spec"]
    assert built.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert built.settings(tmp_path).provisioning.partitions <= most


def test_lag_is_asked_of_the_same_group_on_the_same_brokers(built: Built, tmp_path: Path) -> None:
    """With the same name and password; a worker is added for each ten seconds that one would need."""
    settings = built.settings(tmp_path)
    scaling, authentication = built.one("ScaledObject"), built.one("TriggerAuthentication")
    cpu, kafka = scaling["spec"]["triggers"]
    asked = kafka["metadata"]

    assert built.one("Deployment")["metadata"]["name"] == scaling["spec"]["scaleTargetRef"]["name"]
    assert ("cpu", "kafka") == (cpu["type"], kafka["type"])
    assert (settings.kafka.bootstrap_servers, settings.kafka.group, [*settings.sources]) == (
        asked["bootstrapServers"],
        asked["consumerGroup"],
        [asked["topic"]],
    )
    assert int(asked["lagThreshold"]) == 10 * CORE_RECORDS * built.processes
    assert {str} == {type(value) for value in (*asked.values(), *cpu["metadata"].values())}
    assert ("scram_sha512", "enable") == (asked["sasl"], asked["tls"])
    assert authentication["metadata"]["name"] == kafka["authenticationRef"]["name"]
    ((variable,), secrets) = (
        authentication["spec"]["env"],
        authentication["spec"]["secretTargetRef"],
    )
    names = {one["name"]: one.get("value") for one in built.container["env"]}
    assert settings.kafka.sasl_username == names[variable["name"]]
    assert {"penjaga", "platform-cluster-ca-cert"} == {secret["name"] for secret in secrets}


def test_prometheus_finds_the_pods_under_the_job_that_alerts_are_about(built: Built) -> None:
    """The job takes the Service's name; the Service chooses the pods of the Deployment."""
    service, monitor = built.one("Service"), built.one("ServiceMonitor")
    labels = built.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    (endpoint,) = monitor["spec"]["endpoints"]

    assert "penjaga" == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert ([endpoint["port"]], "/metrics") == (
        [port["name"] for port in service["spec"]["ports"]],
        endpoint["path"],
    )


def test_a_worker_reaches_names_and_brokers_only(built: Built, tmp_path: Path) -> None:
    """The port of the brokers is that of the configuration; no rule is open to everybody."""
    policy = built.one("NetworkPolicy")["spec"]
    servers = built.settings(tmp_path).kafka.bootstrap_servers
    names, brokers = policy["egress"]

    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert [int(servers.rpartition(":")[2])] == [port["port"] for port in brokers["ports"]]
    assert [
        {
            "podSelector": {
                "matchLabels": {"strimzi.io/cluster": "platform", "strimzi.io/kind": "Kafka"}
            }
        }
    ] == brokers["to"]
    assert {53} == {port["port"] for port in names["ports"]}
    assert all(rule.get("to") for rule in policy["egress"])
    assert all(rule.get("from") for rule in policy["ingress"])


def test_lists_are_fetched_beside_the_workers_where_they_share_a_folder(
    unavailable: Callable[[str, str], NoReturn], tmp_path: Path
) -> None:
    """The component adds a container as confined as theirs, and a way out, to no private address."""
    (tmp_path / "kustomization.yaml").write_text("resources: [base]\ncomponents: [feeds]\n")
    for name in ("base", "feeds"):
        shutil.copytree(KUBERNETES / name, tmp_path / name)
    plain = build(KUBERNETES / "small", unavailable)
    fed = build(tmp_path, unavailable)
    (fetching,) = fed.pod["initContainers"]
    workers = {mount["name"]: mount for mount in fed.container["volumeMounts"]}
    ways = fed.one("NetworkPolicy")["spec"]["egress"]

    for manifest in fed.all("Deployment") + fed.all("NetworkPolicy"):
        for api in API:
            kubernetes_validate.validate(manifest, api, strict=True)
    assert plain.container == fed.container
    assert fed.container["securityContext"] == fetching["securityContext"]
    assert fed.container["image"] == fetching["image"]
    assert [workers[mount["name"]] for mount in fetching["volumeMounts"]] == fetching[
        "volumeMounts"
    ]
    assert "state" in {mount["name"] for mount in fetching["volumeMounts"]}
    assert plain.one("NetworkPolicy")["spec"]["egress"] == ways[:-1]
    assert "10.0.0.0/8" in ways[-1]["to"][0]["ipBlock"]["except"]
