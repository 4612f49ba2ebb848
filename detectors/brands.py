"""Protected names: the banks, agencies, shops and platforms whose names scammers borrow.

They are data (`detectors/data/brands.toml`): a name or an official domain is added without code.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import regex

from schemas.document import Document

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{4,40}$")]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{2,20}$")]
_Domain = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
_Kind = Literal["bank", "agency", "courier", "wallet", "telco", "marketplace", "platform"]

_SHORTEST_TYPO: Final = 7
"""Shorter names are one letter away from too many innocent words."""
_SHORTEST_EMBEDDED: Final = 6
"""Shorter domains (`x.com`, `t.co`) stand at the front of many innocent hosts."""


class Brand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A protected name: what its imitations are recognised by, and the domains that are its own.

    `names` are telling by themselves, also inside a longer label; `words` are short or everyday
    words and count only as a whole part of a label, beside a service word.
    """

    name: str
    kind: _Kind
    names: tuple[_Name, ...] = ()
    words: tuple[_Word, ...] = ()
    domains: tuple[_Domain, ...] = ()
    note: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    brands: Annotated[tuple[Brand, ...], msgspec.Meta(min_length=1)]


class Brands:
    """The protected names, indexed for comparison with a host."""

    def __init__(self, document: Document) -> None:
        """Read and check.

        Raises:
            DocumentError: if the file is malformed, or a name or domain is declared twice.
        """
        self.names: dict[str, Brand] = {}
        self.words: dict[str, Brand] = {}
        self.domains: dict[str, Brand] = {}
        declared: set[str] = set()
        content = document.to(_File)
        encoded = msgspec.json.encode(content, order="deterministic")
        self.digest = hashlib.sha256(encoded).hexdigest()[:8]
        for index, brand in enumerate(content.brands):
            tables = (("names", self.names), ("words", self.words), ("domains", self.domains))
            for key, table in tables:
                for position, name in enumerate(getattr(brand, key)):
                    if name in declared:
                        where = ("brands", index, key, position)
                        raise document.error(where, f"`{name}` is declared twice")
                    declared.add(name)
                    table[name] = brand
        longest_first = sorted(self.names, key=len, reverse=True)
        self._inside = regex.compile("|".join(longest_first) or r"(?!)")
        self._near: dict[str, set[str]] = {}
        for name in self.names:
            if len(name) >= _SHORTEST_TYPO:
                for key in _deletes(name):
                    self._near.setdefault(key, set()).add(name)

    @classmethod
    def shipped(cls) -> "Brands":
        """Load `detectors/data/brands.toml`.

        Raises:
            DocumentError: as the constructor does.
        """
        path = Path(str(resources.files("detectors") / "data" / "brands.toml"))
        return cls(Document.read(path))

    def is_official(self, host: str) -> bool:
        """Tell whether a host is one of, or lies under, the domains of a protected name."""
        labels = host.split(".")
        return any(".".join(labels[at:]) in self.domains for at in range(len(labels)))

    def inside(self, text: str) -> str | None:
        """Return the first protected name written in `text`."""
        found = self._inside.search(text)
        return found[0] if found else None

    def mistyped(self, label: str) -> str | None:
        """Return the protected name that `label` misses by one letter or by two swapped ones."""
        if len(label) < _SHORTEST_TYPO - 1 or label in self.names:
            return None
        near = {name for key in _deletes(label) for name in self._near.get(key, ())}
        return min((name for name in near if _is_one_edit(name, label)), default=None)

    def embedded(self, host: str) -> str | None:
        """Return the official domain written out inside `host` (`usps.com-parcel`), if any."""
        labels = host.split(".")
        for first in range(len(labels)):
            for last in range(first + 1, len(labels)):
                head = ".".join(labels[first:last])
                for domain in (f"{head}.{labels[last]}", f"{head}.{labels[last].split('-')[0]}"):
                    if len(domain) >= _SHORTEST_EMBEDDED and domain in self.domains:
                        return domain
        return None


def _deletes(word: str) -> set[str]:
    return {word} | {word[:at] + word[at + 1 :] for at in range(len(word))}


def _is_one_edit(a: str, b: str) -> bool:
    if len(a) > len(b):
        a, b = b, a
    at = next((i for i, c in enumerate(a) if c != b[i]), len(a))
    if len(a) < len(b):
        return len(b) - len(a) == 1 and a[at:] == b[at + 1 :]
    is_swap = a[at : at + 2] == b[at : at + 2][::-1] and a[at + 2 :] == b[at + 2 :]
    return a[at + 1 :] == b[at + 1 :] or is_swap
