"""Third-party packages with detectors, built and installed for real, without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "1.2.3"

[project.entry-points."penjaga.detectors"]
{entries}

[tool.setuptools]
py-modules = ["{module}"]
"""

SHELLS = '''
"""A detector as a third party would write it."""

from detectors.contract import Pattern
from schemas import Evidence, Finding


class Shells:
    """Find talk about shells.

    Misses: everything else.
    """

    name = "shells"
    version = "1"
    labels = frozenset({"custom.shells"})
    patterns = (Pattern("shell", r"\\bshells?\\b"),)

    def scan(self, candidates):
        for candidate in candidates:
            match = candidate.matches[0]
            evidence = (Evidence("shell", 0.7, match.start, match.end),)
            yield candidate, Finding(
                detector=self.name, version=self.version, label="custom.shells", score=0.7,
                start=match.start, end=match.end, reason="talks about shells", evidence=evidence,
            )


class Broken(Shells):
    name = "broken"
    patterns = ()

    def scan(self, candidates):
        raise RuntimeError(candidates[0].event.text)


class Misnamed(Shells):
    name = "something_else"


class Unlabelled(Shells):
    name = "unlabelled"
    labels = frozenset({"fraud.nonsense"})


class NoLabels(Shells):
    name = "no_labels"
    labels = frozenset()


class NoPatterns(Shells):
    name = "no_patterns"
    patterns = (r"\\bshell\\b",)


class Stillborn(Shells):
    name = "stillborn"

    def __init__(self):
        raise OSError("no model here")


class NoDetector:
    name = "no_detector"


class BadExpression(Shells):
    name = "bad_expression"
    patterns = (Pattern("shell", "(shell"),)
'''


def install(folder: Path, distribution: str, module: str, entries: dict[str, str]) -> Path:
    """Build a package whose entry points are `entries` (name: class); return where it was installed."""
    source, target = folder / f"{distribution}-source", folder / distribution
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    points = "\n".join(f'{name} = "{module}:{class_}"' for name, class_ in entries.items())
    (source / "pyproject.toml").write_text(
        PYPROJECT.format(distribution=distribution, module=module, entries=points), encoding="utf-8"
    )
    (source / f"{module}.py").write_text(SHELLS, encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    return target
