"""Licences of what the image is made of: `python -m tests.deploy.licences` writes deploy/licences.md."""

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "deploy" / "requirements.lock"
PAGE: Final = ROOT / "deploy" / "licences.md"

ALLOWED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "CNRI-Python",
        "LGPL-3.0",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Repoze",
        "Zlib",
    }
)
"""What may be shipped beside Apache-2.0 code that is not changed."""

# What packages say that is no SPDX identifier yet.
_SAID: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD-derived (Repoze)": "Repoze",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0",
    "LGPL": "LGPL-3.0",
    "MIT License": "MIT",
}


def packages(lock: Path = LOCK) -> list[str]:
    """Return the packages of a lock that this system installs."""
    named = re.findall(
        r"^([\w.-]+)==[^\n;]*(;[^\n]*)?$", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    # Some are there twice, for older and newer versions of Python.
    return list(dict.fromkeys(n for n, marker in named if "sys_platform == 'win32'" not in marker))


def licence(package: str) -> str:
    """Return an installed package's licence as it says itself: an SPDX expression wherever that is clear."""
    told = metadata.metadata(package)
    if expression := told.get("License-Expression"):
        return str(expression)
    short = str(told.get("License") or "").partition("\n")[0].strip()
    if short in ALLOWED or short in _SAID:
        return _SAID.get(short, short)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    return " AND ".join(sorted({_SAID.get(one, one) for one in classifiers})) or "unknown"


def identifiers(expression: str) -> set[str]:
    """Return the licences of an SPDX expression."""
    return set(re.findall(r"[\w.+-]+", expression)) - {"AND", "OR", "WITH"}


def page() -> str:
    """Return the page."""
    rows = "\n".join(f"| {name} | {licence(name)} |" for name in packages())
    return (
        "# Licences\n\nOf every package in the image, as it says itself; written by "
        "`python -m tests.deploy.licences`. `make sbom` lists versions\nand hashes.\n\n"
        f"| package | licence |\n| --- | --- |\n{rows}\n"
    )


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(), encoding="utf-8") == 0)
