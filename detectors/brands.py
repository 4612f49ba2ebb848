"""Protected names: the banks, agencies, shops and platforms whose names scammers borrow.

They are data (`detectors/data/brands.toml`): a name or an official domain is added without code.
"""

import hashlib
from collections.abc import Iterator
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from schemas.document import Document

_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{4,40}$")]
_Word = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{2,20}$")]
_Domain = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
_Source = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Country = Annotated[str, msgspec.Meta(pattern=r"^([a-z]{2}|global)$")]
_Kind = Literal[
    "bank",
    "agency",
    "utility",
    "courier",
    "wallet",
    "telco",
    "marketplace",
    "shop",
    "travel",
    "investment",
    "insurer",
    "exchange",
    "platform",
]

UNVERIFIED: Final = "unverified"
"""The source of a domain that nothing we looked at names as its owner's."""
_SHORTEST_NAME: Final = 4
_SHORTEST_TYPO: Final = 7
"""Shorter names are one letter away from too many innocent words."""
_SHORTEST_EMBEDDED: Final = 6
"""Shorter domains (`x.com`, `t.co`) stand at the front of many innocent hosts."""


class Official(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Domains that are a brand's own, and what says so: a page or a list by name, or `unverified`.

    `checked` is the day of the look-up where it is not the brand's.
    """

    domains: Annotated[tuple[_Domain, ...], msgspec.Meta(min_length=1)]
    source: _Source
    checked: date | None = None


class Brand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A protected name: what its imitations are recognised by, and the domains that are its own.

    `names` are telling by themselves, also inside a longer label; `words` are short or everyday
    words and count only as a whole part of a label, beside a service word. `country` is where the
    owner is at home (ISO 3166, lower case), or `global`.
    """

    name: str
    kind: _Kind
    country: _Country = "global"
    names: tuple[_Name, ...] = ()
    words: tuple[_Word, ...] = ()
    checked: date | None = None
    official: tuple[Official, ...] = ()
    note: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    brands: Annotated[tuple[Brand, ...], msgspec.Meta(min_length=1)]
    innocent: tuple[_Name, ...] = ()


class Brands:
    """The protected names, indexed for comparison with a host."""

    def __init__(self, document: Document) -> None:
        """Read and check.

        Raises:
            DocumentError: if the file is malformed, a name, word or domain is declared twice, a name
                is in `innocent`, or a domain has no date.
        """
        self.names: dict[str, Brand] = {}
        self.words: dict[str, Brand] = {}
        self.domains: dict[str, Brand] = {}
        content = document.to(_File)
        encoded = msgspec.json.encode(content, order="deterministic")
        self.digest = hashlib.sha256(encoded).hexdigest()[:8]
        self.brands = content.brands
        self.innocent = content.innocent
        tables = {"names": self.names, "words": self.words, "official": self.domains}
        for index, brand in enumerate(content.brands):
            for where, declared in _declared(brand):
                problem = self._refused(declared, is_name=where[0] == "names")
                if problem:
                    raise document.error(("brands", index, *where), f"`{declared}` {problem}")
                tables[where[0]][declared] = brand
            for position, official in enumerate(brand.official):
                if not (official.checked or brand.checked):
                    here = ("brands", index, "official", position)
                    raise document.error(here, "missing the date of the look-up: `checked`")
        self._starts: dict[str, list[str]] = {}
        for name in sorted(self.names, key=len, reverse=True):
            self._starts.setdefault(name[:_SHORTEST_NAME], []).append(name)
        self._holders = {
            name: tuple((word, word.index(name)) for word in content.innocent if name in word)
            for name in self.names
        }
        self._near: dict[str, set[str]] = {}
        for name in self.names:
            if len(name) >= _SHORTEST_TYPO:
                for key in _deletes(name):
                    self._near.setdefault(key, set()).add(name)

    def _refused(self, declared: str, *, is_name: bool) -> str:
        """Say why a name, word or domain cannot be taken; empty if it can."""
        if any(declared in table for table in (self.names, self.words, self.domains)):
            return "is declared twice"
        if is_name and declared in self.innocent:
            return "is in `innocent`: list it in `words`"
        return ""

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
        """Return the first protected name written in `text`, the longest of those at one place."""
        # Five hundred names in one expression take thirty times as long.
        for at in range(len(text) - _SHORTEST_NAME + 1):
            for name in self._starts.get(text[at : at + _SHORTEST_NAME], ()):
                if text.startswith(name, at) and not self._is_innocent(text, name, at):
                    return name
        return None

    def _is_innocent(self, text: str, name: str, at: int) -> bool:
        """Tell whether the name found at `at` is a part of a word of its own (`open-search`)."""
        return any(
            at >= offset and text.startswith(word, at - offset)
            for word, offset in self._holders[name]
        )

    def mistyped(self, label: str) -> str | None:
        """Return the protected name that `label` misses by one letter or by two swapped ones."""
        if len(label) < _SHORTEST_TYPO - 1 or label in self.names or label in self.innocent:
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


def _declared(brand: Brand) -> Iterator[tuple[tuple[str, *tuple[str | int, ...]], str]]:
    """Yield every name, word and domain of a brand, with its place in the brand's table."""
    for key, declared in (("names", brand.names), ("words", brand.words)):
        yield from (((key, position), name) for position, name in enumerate(declared))
    for row, official in enumerate(brand.official):
        for position, domain in enumerate(official.domains):
            yield ("official", row, "domains", position), domain


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
