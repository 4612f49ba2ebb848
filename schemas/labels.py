"""The labels a verdict can carry, with what each means to law, other systems and reviewers.

Mappings are data (`labels.toml`), so that a lawyer can read and correct them without reading code.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from schemas.document import Document
from schemas.verdict import Severity

T = TypeVar("T")

LABEL_ID: Final = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$"
"""What an id looks like: a family, a dot, a thing."""

_DECLARED: Final = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.([a-z][a-z0-9_]*|\*)$"
_BELOW: Final = re.compile(LABEL_ID)

_Category = Annotated[str, msgspec.Meta(pattern=r"^STATEMENT_CATEGORY_[A-Z_]+$")]
_Keyword = Annotated[str, msgspec.Meta(pattern=r"^KEYWORD_[A-Z_]+$")]
_Section = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9]*:[0-9A-Za-z()]+$")]
_Sentence = Annotated[str, msgspec.Meta(pattern=r"^[A-Z].*\.$")]


class Onsa(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Online Safety Act 2025: First Schedule items, Second Schedule priority, duties."""

    first_schedule: tuple[Annotated[int, msgspec.Meta(ge=1, le=9)], ...] = ()
    arguable: tuple[Annotated[int, msgspec.Meta(ge=1, le=9)], ...] = ()
    priority: bool = False
    duty: tuple[Literal["s18"], ...] = ()


class DsaAlternative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Codes that apply instead, and when."""

    when: str
    category: _Category
    keywords: tuple[_Keyword, ...]
    specification_other: str | None = None


class Dsa(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Codes of the transparency database of the EU Digital Services Act (art. 17 and 24(5))."""

    category: _Category
    keywords: Annotated[tuple[_Keyword, ...], msgspec.Meta(min_length=1)]
    specification_other: str | None = None
    alternatives: tuple[DsaAlternative, ...] = ()


class Ncmec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """CyberTipline values a reviewer starts from: incident types, likeliest first, annotations."""

    incident_types: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that can be suspected. `None` means the other system has no place for it."""

    id: Annotated[str, msgspec.Meta(pattern=_DECLARED)]
    status: Literal["in_scope", "reserved", "internal"]
    severity: Severity
    description: _Sentence
    onsa: Onsa = Onsa()
    my_law: tuple[_Section, ...] = ()
    dsa: Dsa | None = None
    coop: Annotated[str, msgspec.Meta(pattern=r"^[A-Z_]+$")] | None = None
    ncmec: Ncmec | None = None
    auto_action: Literal["none", "hold_eligible", "configurable"]
    """What may happen without a person: nothing, a hold that ends by itself, what is configured."""
    review: Literal["required", "sampled", "none"]
    preserve: bool


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+$")]
    labels: tuple[Label, ...]


class Taxonomy:
    """Every label by id. A family such as `hate.*` stands for every id below it."""

    def __init__(self, document: Document) -> None:
        """Read.

        Raises:
            DocumentError: naming the line, if a label is malformed or declared twice.
        """
        file = document.to(_File)
        self.version = file.version
        self._exact: dict[str, Label] = {}
        self._families: dict[str, Label] = {}
        for index, label in enumerate(file.labels):
            held = self._families if label.id.endswith(".*") else self._exact
            if label.id in held:
                problem = f"label `{label.id}` is declared twice"
                raise document.error(("labels", index, "id"), problem)
            held[label.id] = label

    @property
    def ids(self) -> tuple[str, ...]:
        """The declared ids, families left out, in the order of the file."""
        return tuple(self._exact)

    @property
    def families(self) -> tuple[str, ...]:
        """The open families, written `hate.*`."""
        return tuple(self._families)

    def __contains__(self, id_: object) -> bool:
        """Tell whether a label is declared, or lies below an open family."""
        return isinstance(id_, str) and self._find(id_) is not None

    def __getitem__(self, id_: str) -> Label:
        """Return the label; one below an open family is the family's under its own id.

        Raises:
            KeyError: if there is no such label.
        """
        label = self._find(id_)
        if label is None:
            raise KeyError(id_)
        return label

    def severity(self, id_: str) -> Severity:
        """Return how much a label matters, whatever the confidence.

        Raises:
            KeyError: if there is no such label.
        """
        return self[id_].severity

    def _find(self, id_: str) -> Label | None:
        label = self._exact.get(id_) or self._families.get(id_)
        if label is not None or not _BELOW.fullmatch(id_):
            return label
        family = id_
        while "." in family:
            family = family.rpartition(".")[0]
            if (label := self._families.get(f"{family}.*")) is not None:
                return msgspec.structs.replace(label, id=id_)
        return None


@cache
def taxonomy() -> Taxonomy:
    """Load the labels Penjaga ships.

    Raises:
        DocumentError: if the file was edited into something malformed.
    """
    return Taxonomy(Document.read(Path(str(resources.files("schemas") / "labels.toml"))))


@lru_cache(1024)
def is_of(label: str, wanted: tuple[str, ...]) -> bool:
    """Say whether a label is one of those wanted, or of a family of them (`fraud.*`)."""
    return label in wanted or _family(label) in wanted


def entry(table: Mapping[str, T], label: str) -> T | None:
    """Return what a table has for a label: its own entry, else its family's (`fraud.*`), else None."""
    own = table.get(label)
    return table.get(_family(label)) if own is None else own


def _family(label: str) -> str:
    return f"{label.partition('.')[0]}.*"
