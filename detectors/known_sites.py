"""Sites so well known that their names are imitated and their own domains are left to no model."""

from importlib import resources
from pathlib import Path
from typing import Final

from detectors.hosts import registered_domain

_SHORTEST_NAME: Final = 6


def _read() -> frozenset[str]:
    path = Path(str(resources.files("detectors") / "data" / "known_sites.txt"))
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


KNOWN_SITES: Final = _read()
"""The registered domains."""
SITE_NAMES: Final = frozenset(
    name
    for domain in KNOWN_SITES
    if len(name := domain.removesuffix("." + registered_domain(domain)[1])) >= _SHORTEST_NAME
)
"""Their labels, those long enough to be imitated."""
