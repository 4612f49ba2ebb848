"""The registry: what is installed, what is in use, and real packages of third parties."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detectors.canary import Canary
from detectors.contract import Detector
from detectors.lexicon import Lexicon
from pipeline import registry
from pipeline.registry import RegistryError
from pipeline.settings import Detectors
from schemas.document import DocumentError
from tests.pipeline.events import CANARY
from tests.pipeline.plugins import install

TEXTS = [
    "she sells sea shells",
    CANARY,
    "hello",
    f"shells and {CANARY}",
    "slot gacor daftar sekarang",
]

BROKEN = {
    "something": "Misnamed",
    "unlabelled": "Unlabelled",
    "no_labels": "NoLabels",
    "no_patterns": "NoPatterns",
    "stillborn": "Stillborn",
    "no_detector": "NoDetector",
    "absent": "Absent",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the installed packages."""
    folder = tmp_path_factory.mktemp("packages")
    install(folder, "acme-shells", "acme_shells", {"shells": "Shells"})
    install(folder, "acme-broken", "acme_broken", {"broken": "Broken"})
    install(folder, "acme-twin", "acme_twin", {"shells": "Shells"})
    install(folder, "acme-faulty", "acme_faulty", BROKEN | {"bad_expression": "BadExpression"})
    return folder


def scanned(cache: Path, config: str, *paths: Path) -> tuple[int, list[dict[str, object]], str]:
    """Run `penjaga scan` with packages on the path; return its status, lines and errors."""
    file = cache / "plugins.toml"
    file.write_text(config, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "scan", "--config", str(file)],
        input="".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode(),
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(map(str, (*paths, Path(__file__).parents[2]))),
            "PENJAGA_CACHE_DIR": str(cache),
        },
        capture_output=True,
        check=False,
    )
    return done.returncode, [json.loads(x) for x in done.stdout.splitlines()], done.stderr.decode()


def without_lists() -> list[str]:
    """Return the names of the installed detectors that are in use where no list is configured."""
    return [name for name in registry.installed() if name != "listed_links"]


def test_installed_detectors_are_in_use_by_default() -> None:
    """All of ours, in order of their names, each with the package it came with."""
    in_use = registry.load(Detectors())
    names = [r.detector.name for r in in_use]

    assert without_lists() == names == sorted(names)
    assert {"canary", "gambling_promotion", "grooming_cues", "harassment"} <= set(names)
    assert all(isinstance(d, Detector) for d in registry.detectors(in_use))
    assert all(r.distribution.startswith("penjaga ") for r in in_use)


def test_a_selection_names_what_runs() -> None:
    """`only` keeps, `without` takes out, the order is that of the names."""
    every = without_lists()

    def names(**selection: tuple[str, ...]) -> list[str]:
        return [r.detector.name for r in registry.load(Detectors(**selection))]

    assert ["canary"] == names(only=("canary",))
    assert [n for n in every if n != "canary"] == names(without=("canary",))
    assert ["canary"] == names(only=("scam_links", "canary"), without=("scam_links",))


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        (Detectors(only=("canray",)), "detector `canray` is not installed; installed are canary, "),
        (Detectors(without=("canray",)), "detector `canray` is not installed"),
        (Detectors(only=("canary",), without=("canary",)), "no detector is in use"),
        (Detectors(only=("listed_links",)), "`listed_links` has no lists to look in: configure"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(selection: Detectors, problem: str) -> None:
    """A misspelt name would otherwise switch a detector off in silence."""
    with pytest.raises(RegistryError, match=problem):
        registry.load(selection)


def test_a_third_partys_detector_fires_once_installed(packages: Path, cache: Path) -> None:
    """`pip install` is all it takes; the policy's default decides about its label."""
    status, lines, _ = scanned(
        cache, '[detectors]\nonly = ["shells", "canary"]\n', packages / "acme-shells"
    )
    labels = [sorted(line["scores"]) for line in lines]  # type: ignore[call-overload]

    assert 0 == status
    assert [
        ["custom.shells"],
        ["canary.seen"],
        [],
        ["canary.seen", "custom.shells"],
        [],
    ] == labels
    assert ["review", "review", "none", "review", "none"] == [line["action"] for line in lines]
    [finding] = lines[0]["findings"]  # type: ignore[misc]
    assert "shells" == TEXTS[0][finding["start"] : finding["end"]]


def test_a_broken_third_party_changes_nothing_for_the_others(packages: Path, cache: Path) -> None:
    """With every detector in use, line by line: the same, plus one failure for each event."""
    paths = (packages / "acme-shells",)
    status, alone, _ = scanned(cache, "", *paths)
    broken_status, beside, stderr = scanned(cache, "", *paths, packages / "acme-broken")

    assert (0, 0) == (status, broken_status)
    assert "" == stderr
    assert len(TEXTS) == len(alone) == len(beside)
    for line, other in zip(alone, beside, strict=True):
        found = other["findings"]
        failures = [f for f in found if f["detector"] == "broken"]  # type: ignore[attr-defined]
        assert ["detector.failed"] == [f["label"] for f in failures]
        assert "raised RuntimeError" == failures[0]["reason"]
        assert line["findings"] == [f for f in found if f not in failures]  # type: ignore[attr-defined]
        assert 1.0 == other["scores"].pop("detector.failed")  # type: ignore[attr-defined]
        assert line["scores"] == other["scores"]
        expected = "shadow" if line["action"] == "none" else line["action"]
        assert expected == other["action"]


def test_one_name_from_two_packages_is_refused(packages: Path, cache: Path) -> None:
    """Both packages are named, with what to do."""
    status, _, stderr = scanned(cache, "", packages / "acme-shells", packages / "acme-twin")

    assert 2 == status
    assert 1 == len(stderr.splitlines())
    assert "penjaga: detector `shells` is provided twice: " in stderr
    assert "acme-shells 1.2.3" in stderr
    assert "acme-twin 1.2.3" in stderr
    assert "uninstall one" in stderr


PROBLEMS = {
    "something": "calls itself `something_else`: the two names must agree",
    "unlabelled": "unknown label fraud.nonsense; see schemas/labels.toml",
    "no_labels": r"unknown label \(none declared\)",
    "no_patterns": "expected `patterns` to hold detectors.contract.Pattern",
    "stillborn": "cannot be loaded: OSError: no model here",
    "no_detector": "is no detector: expected name, version, labels, patterns, scan",
    "absent": "cannot be loaded: AttributeError",
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_breaks_the_contract_is_refused_at_start(
    packages: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The message names the detector, its class and its package."""
    monkeypatch.syspath_prepend(str(packages / "acme-faulty"))
    with pytest.raises(RegistryError, match=PROBLEMS[name]) as caught:
        registry.load(Detectors(only=(name,)))

    assert str(caught.value).startswith(
        f"detector `{name}` (acme_faulty:{BROKEN[name]}, acme-faulty 1.2.3)"
    )


def test_an_expression_that_cannot_be_used_stops_the_start(packages: Path, cache: Path) -> None:
    """One line names the pattern; nothing runs without it."""
    status, lines, stderr = scanned(
        cache, '[detectors]\nonly = ["bad_expression"]\n', packages / "acme-faulty"
    )

    assert (2, []) == (status, lines)
    assert stderr.startswith("penjaga: pattern `shell` is not a regular expression")
    assert 1 == len(stderr.splitlines())


def test_a_detector_is_made_anew_for_each_line() -> None:
    """Two lines in one process share no detector."""
    [one], [other] = (
        registry.load(Detectors(only=("canary",))),
        registry.load(Detectors(only=("canary",))),
    )

    assert isinstance(one.detector, Canary)
    assert one.detector is not other.detector


def test_a_lexicon_that_passed_is_not_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each lexicon and folder; without a folder, or one that can be written, at every start."""
    checked: list[str] = []
    monkeypatch.setattr(Lexicon, "check", lambda self: checked.append(self.proof))
    (tmp_path / "file").touch()
    for name, cache in [
        ("grooming_cues", tmp_path / "new" / "folder"),
        ("grooming_cues", tmp_path / "new" / "folder"),
        ("gambling_promotion", tmp_path / "new" / "folder"),
        ("grooming_cues", tmp_path),
        ("grooming_cues", None),
        ("grooming_cues", tmp_path / "file"),
    ]:
        registry.load(Detectors(only=(name,)), None, cache)

    grooming, gambling, *others = checked
    assert grooming != gambling
    assert [grooming] * 3 == others


def test_a_lexicon_that_failed_is_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused at every start, with its line, by the detector that uses it."""

    def refuse(_: Lexicon) -> None:
        raise DocumentError("terms.toml", 7, "term `a.b` fires on its own counter-example")

    monkeypatch.setattr(Lexicon, "check", refuse)
    for _ in range(2):
        with pytest.raises(
            RegistryError, match=r"`grooming_cues` .*terms\.toml:7: term `a\.b` fires"
        ):
            registry.load(Detectors(only=("grooming_cues",)), None, tmp_path)
