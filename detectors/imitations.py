"""How a link borrows a protected name: whose, and by which trick."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import regex

from detectors.brands import Brand, Brands
from detectors.folding import fold
from detectors.known_sites import SITE_NAMES
from detectors.link_shape import ODD_SUFFIXES, SERVICE, is_restricted
from detectors.links import Link
from detectors.look_alikes import Names

_HYPHEN: Final = regex.compile(r"[-_]")
_HYPHEN_OR_DOT: Final = regex.compile(r"[-_.]")
_AT_ENDS: Final = "0123456789"
_SHORT_NAME: Final = 5
_LONG_NAME: Final = 8
"""Only names this long are looked for across hyphens (`coin-base`) and in paths."""
_SHORTEST_AT_WWW: Final = 4
_RUN_IN: Final = ("https", "http", "www")


class Imitation(NamedTuple):
    """One way in which a link borrows a name: the term, the name as it is written, and whose it is."""

    term: str
    name: str
    brand: Brand | None


class Imitations:
    """Protected names and those of well-known sites, ready to be looked for in links."""

    def __init__(self, brands: Brands) -> None:
        """Index the names."""
        self._brands = brands
        self._near = Names(brands.names, brands.innocent)
        self._near_sites = Names(SITE_NAMES - brands.names.keys(), brands.innocent)

    def first(self, link: Link) -> Imitation | None:
        """Return the most telling way in which a link borrows a name."""
        return next(self._all(link), None)

    def in_path(self, link: Link) -> bool:
        """Tell whether a link carries a protected name in its path."""
        name = self._brands.inside(link.path[:200]) if len(link.path) > 1 else None
        return name is not None and len(name) >= _SHORT_NAME

    def _all(self, link: Link) -> Iterator[Imitation]:
        brands = self._brands
        if link.user and brands.is_official(link.user.split(":")[0]):
            yield Imitation("link.official_name_as_user", "", None)
        if link.is_ip or is_restricted(link.suffix):
            return
        front = link.looks.removesuffix("." + fold(link.suffix).text)
        embedded = brands.embedded(front)
        if embedded:
            yield Imitation("link.official_name_in_front", embedded, brands.domains[embedded])
        disguised = brands.inside(front)
        if disguised and disguised not in link.host:
            yield Imitation("link.disguised_name", disguised, brands.names[disguised])
        if link.name not in brands.names:
            yield from self._borrowed(link)
        elif link.suffix in ODD_SUFFIXES or link.is_hosted:
            yield Imitation("link.name_on_other_suffix", link.name, brands.names[link.name])

    def _borrowed(self, link: Link) -> Iterator[Imitation]:
        """Yield the protected names in a host's labels, where the registered one is none."""
        brands = self._brands
        parts = _HYPHEN.split(link.name)
        for term, name in self._borrowed_names(link.name, parts):
            yield Imitation(term, name, brands.names[name])
        around = _HYPHEN_OR_DOT.split(link.subdomain)
        for part in around:
            if part in brands.names:
                yield Imitation("link.name_in_subdomain", part, brands.names[part])
        for part in (*parts, *around):
            is_joined = part in brands.words and part != link.name
            if is_joined and SERVICE.search(link.looks.replace(part, " ", 1)):
                yield Imitation("link.word_in_part", part, brands.words[part])
        if link.name not in SITE_NAMES:
            yield from self._sites(link.name)

    def _borrowed_names(self, label: str, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield the protected names in a registered label, as (how, what)."""
        names = self._brands.names
        yield from (("link.name_in_part", part) for part in parts if part in names)
        bare = label.strip(_AT_ENDS)
        if bare != label and bare in names:
            yield "link.name_with_digits", bare
        yield from (("link.name_behind_www", name) for name in _after_www(label) if name in names)
        inside = self._brands.inside(label)
        if inside and (len(inside) > _SHORT_NAME or label.startswith(inside)):
            yield "link.name_inside", inside
        joined = self._brands.inside("".join(parts))
        if joined and len(joined) >= _LONG_NAME:
            yield "link.name_inside", joined
        if not inside:
            yield from self._misspelled(label)
        for part in parts:
            near = self._near.nearest(part)
            if near is not None:
                yield _how(near.distance), near.name
            elif mistyped := self._brands.mistyped(part):
                yield "link.mistyped_name", mistyped

    def _misspelled(self, label: str) -> Iterator[tuple[str, str]]:
        """Yield the protected name that digits and letters in a label pass for."""
        swapped = self._brands.inside(
            label.translate(_DIGITS).replace("rn", "m").replace("vv", "w")
        )
        if swapped:
            yield "link.swapped_letters", swapped

    def _sites(self, label: str) -> Iterator[Imitation]:
        """Yield the well-known sites whose names a label misses; nobody's brand, so no owner is named."""
        for name in _after_www(label):
            if name in SITE_NAMES:
                yield Imitation("link.name_behind_www", name, None)
        near = self._near_sites.nearest(label)
        if near is not None:
            yield Imitation("link.mistyped_site", label, None)


_DIGITS: Final = str.maketrans("01345", "oleas")


def _how(distance: float) -> str:
    return "link.swapped_letters" if distance == 0 else "link.mistyped_name"


def _after_www(label: str) -> Iterator[str]:
    """Yield what is left of a label without the sign of a link that was run into it."""
    for start in _RUN_IN:
        if label.startswith(start) and len(label) >= len(start) + _SHORTEST_AT_WWW:
            yield label.removeprefix(start)
