"""Innocents: names that lists of bad links hold by mistake, and how far their innocence reaches.

They are data (`detectors/data/innocents.toml`, and the official domains of `brands.toml`): a name is added
without code.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from detectors.brands import Brand, Brands
from schemas.document import Document

Kind = Literal["giant", "press", "lottery", "shortener", "chat", "pages", "hosting", "dynamic_dns"]
Reason = Literal[Kind, "brand", "institution"]
"""Why a name is taken out of a list."""

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
_Part = Annotated[str, msgspec.Meta(pattern=r"^[a-z]+$")]

_ALONE: Final = frozenset({"hosting", "dynamic_dns"})
"""Kinds whose customers have a subdomain each, and are judged alone."""
_USERS_PAGES: Final = frozenset({"platform", "marketplace"})
"""Kinds of brands on whose domains anybody may write a page."""


class _Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Kind
    names: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)]
    note: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    restricted: tuple[_Part, ...]
    innocents: tuple[_Group, ...]


class Innocents:
    """Tells whether a name on a list is there by mistake."""

    def __init__(self, document: Document, brands: Brands) -> None:
        """Read and check.

        Raises:
            DocumentError: if the file is malformed, or a name is declared twice.
        """
        content = document.to(_File)
        self._restricted = frozenset(content.restricted)
        self._kinds: dict[str, Kind] = {}
        self._brands: dict[str, Brand] = brands.domains
        for index, group in enumerate(content.innocents):
            for position, name in enumerate(group.names):
                if name in self._kinds:
                    where = ("innocents", index, "names", position)
                    raise document.error(where, f"`{name}` is declared twice")
                self._kinds[name] = group.kind
        encoded = msgspec.json.encode((content, brands.digest), order="deterministic")
        self.digest = hashlib.sha256(encoded).hexdigest()[:16]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the file, in its order; those of brands are left out."""
        return tuple(self._kinds)

    @classmethod
    def shipped(cls) -> "Innocents":
        """Load `detectors/data/innocents.toml` and the shipped brands.

        Raises:
            DocumentError: as the constructor does.
        """
        path = Path(str(resources.files("detectors") / "data" / "innocents.toml"))
        return cls(Document.read(path), Brands.shipped())

    def reason(self, host: str, domain: str, page: str) -> Reason | None:
        """Return why a name must not be listed, or None if it may be.

        `domain` is the host's registered domain, counting hosting services as registries; `page` is empty
        when the whole host is listed. The nearest name at or above the host decides.
        """
        name, stop = host, len(domain)
        while True:
            kind = self._kinds.get(name)
            if kind in _ALONE:
                return kind if name == host and not page else None
            if kind is not None:
                return None if page else kind
            brand = self._brands.get(name)
            if brand is not None:
                return None if page and brand.kind in _USERS_PAGES else "brand"
            if len(name) <= stop:
                break
            name = name.partition(".")[2]
        return self._institution(host, domain, page)

    def _institution(self, host: str, domain: str, page: str) -> Reason | None:
        """Judge by what is above the registered domain: the suffix."""
        suffix = domain.partition(".")[2]
        first, _, country = suffix.partition(".")
        if first not in self._restricted or (first == "ac" and not country):  # `.ac` is an island
            return None
        if suffix in self._brands:  # `gov.my`: all that is below is official
            return "brand"
        return "institution" if host == domain and not page else None
