"""The shape of the tree: who may import whom, what is registered, and what no file may name."""

import ast
import importlib.util
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from detectors.contract import Detector

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("schemas", "detectors", "pipeline")

# Modules that a package may import besides its own. A package name stands for all of its modules.
ALLOWED: Final = {
    "schemas": (),
    "detectors": ("schemas",),
    # Lists of bad links are compiled there: what a link is, and what is never listed.
    "pipeline": (
        "schemas",
        "detectors.contract",
        "detectors.expressions",
        "detectors.folding",
        "detectors.innocents",
        "detectors.lexicon",
        "detectors.links",
        "detectors.pieces",
        "detectors.reading",
        "detectors.thesaurus",
        "detectors.wording",
    ),
}

# A module is a noun of the domain; these say nothing about what is inside.
EMPTY_NAMES: Final = {"utils", "util", "common", "helpers", "helper", "core", "base", "misc"}

# In parts, so that this file names none of them.
REGISTRY_HOSTS: Final = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("npmjs", "org"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
)


def modules(package: str) -> list[Path]:
    """Return every module of a package."""
    return sorted(path for path in (ROOT / package).rglob("*.py"))


def dotted(path: Path) -> str:
    """Return a module's name: `pipeline/embedded.py` is `pipeline.embedded`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each of our modules that a module imports, wherever in it."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            # `from detectors import links` imports a module, `from schemas import Event` a value.
            names = [
                submodule if is_module(submodule := f"{origin}.{alias.name}") else origin
                for alias in node.names
            ]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.partition(".")[0] in PACKAGES)


def is_module(name: str) -> bool:
    """Whether a dotted name is one of our modules or packages."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def may_import(package: str, name: str) -> bool:
    """Whether modules of a package may import the module called `name`."""
    allowed = (package, *ALLOWED[package])
    return any(name == other or name.startswith(f"{other}.") for other in allowed)


def registered() -> dict[str, str]:
    """Return the detectors that pyproject.toml registers: `module:Class` by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry_points: dict[str, str] = project["entry-points"]["penjaga.detectors"]
    return entry_points


def detector_classes() -> dict[str, type]:
    """Return every class in `detectors/*.py` that scans, by `module:Class`; not the contract."""
    return {
        f"{name}:{attribute}": value
        for name in (dotted(path) for path in (ROOT / "detectors").glob("*.py"))
        for attribute, value in vars(importlib.import_module(name)).items()
        if isinstance(value, type)
        if value.__module__ == name
        if hasattr(value, "scan") and value is not Detector
    }


def files() -> list[Path]:
    """Return every file that is or could be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = {ROOT / name for name in listed.stdout.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def lines(path: Path) -> list[str]:
    """Return the lines of a text file; a binary one has none."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    """The pipeline knows the contract but no detector, detectors the wire, the wire nobody."""
    found = [(path, line, name) for path in modules(package) for line, name in imports(path)]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, line, name in found
        if not may_import(package, name)
    ]

    assert found != []
    assert [] == wrong


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("schemas", "detectors.contract"),
        ("schemas", "pipeline.settings"),
        ("detectors", "pipeline.settings"),
        ("pipeline", "detectors"),
        ("pipeline", "detectors.canary"),
        ("pipeline", "detectors.contractual"),
        ("pipeline", "detectors.listed_links"),
    ],
)
def test_the_forbidden_directions_are_told_apart(package: str, name: str) -> None:
    """The rule itself refuses what it must; otherwise the test above proves nothing."""
    assert not may_import(package, name)


def test_no_module_has_an_empty_name() -> None:
    """A module is called what it holds."""
    names = {part: path for package in PACKAGES for path in modules(package) for part in path.parts}

    assert "contract.py" in names
    assert set() == {name.removesuffix(".py") for name in names} & EMPTY_NAMES


def test_every_detector_is_registered() -> None:
    """A class that scans is an entry point, and each entry point is such a class: none is idle."""
    classes = detector_classes()

    assert "detectors.canary:Canary" in classes
    assert sorted(classes) == sorted(registered().values())


@pytest.mark.parametrize("target", registered().values())
def test_a_detector_fulfils_the_contract_and_says_what_it_misses(target: str) -> None:
    """Each is made without arguments, is a `Detector`, and its docstring has its "Misses"."""
    detector = detector_classes()[target]

    assert isinstance(detector(), Detector)
    assert "Misses:" in (detector.__doc__ or "")


def test_a_detector_is_registered_under_its_own_name() -> None:
    """The entry point's name is the name that its findings carry."""
    classes = detector_classes()

    assert {name: name for name in registered()} == {
        name: classes[target]().name for name, target in registered().items()
    }


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is each machine's own setting."""
    registry = re.compile(
        "|".join(map(re.escape, REGISTRY_HOSTS))
        # Mirrors, and the options that package managers write into files of their own accord.
        + r"|https?://(?:registry|repo\d*|deb|files|proxy)\.[a-z]"
        r"|\s--(?:extra-)?index-url\b|\s--find-links\b"
    )
    paths = files()
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in paths
        # Names of web sites are what detectors' data consist of.
        if not path.is_relative_to(ROOT / "detectors" / "data")
        for number, line in enumerate(lines(path), 1)
        if registry.search(line)
    ]

    assert Path(__file__) in paths
    assert [] == found


def test_no_file_names_a_path_of_one_machine() -> None:
    """Neither this checkout nor anybody's home folder is known elsewhere."""
    here = [f"{path}/" for path in {ROOT, Path.home()} - {Path("/")}]
    paths = files()
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in paths
        for number, line in enumerate(lines(path), 1)
        if any(path in line for path in here)
    ]

    assert Path(__file__) in paths
    assert [] == found
