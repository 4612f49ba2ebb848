"""Hosts: the name or address that a browser would open, and the registered name that it lies under.

What can be registered is decided by the public-suffix list bundled with `tldextract`; nothing is fetched.
"""

import ipaddress
import unicodedata
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import regex
import tldextract

from detectors.folding import fold

_HOSTING: Final = frozenset(
    "000webhostapp.com 16mb.com 5gbfree.com atwebpages.com beget.tech epizy.com freeasphost.net "
    "godaddysites.com great-site.net infinityfreeapp.com jimdofree.com jimdosite.com myfreesites.net "
    "mystrikingly.com rf.gd tumblr.com umbler.net webcindario.com webnode.com webs.com weebly.com "
    "weeblysite.com wordpress.com yi.org blogspot.co.uk blogspot.be blogspot.de blogspot.in".split(),
)
"""Hosting services that the public-suffix list leaves out: whoever signs up gets a name under them."""
_EXTRACT: Final = tldextract.TLDExtract(
    suffix_list_urls=(),
    cache_dir=None,
    include_psl_private_domains=True,
    extra_suffixes=sorted(_HOSTING),
)
_STATED: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
"""Without hosting services, for the hosts of the services themselves."""
TOP_LEVEL: Final = frozenset(
    last for suffix in _EXTRACT.tlds if (last := suffix.rpartition(".")[2]).isascii()
)
"""The last labels that can end a host: `com`, `my`, `xn--fiqs8s`."""

_NUMBER: Final = regex.compile(r"0x(?P<hex>[0-9a-f]*)|0(?P<octal>[0-7]+)|(?P<decimal>[0-9]+)")
_MOST_PARTS: Final = 4
_ADDRESSES: Final = 2**32
_KNOWN_TAIL: Final = regex.compile(r"(?P<ascii>[a-z0-9-]+)[^a-z0-9-]")


class Host(msgspec.Struct, frozen=True):
    """A host that could be real.

    `name` is what a browser opens (Unicode, lower case), `looks` what a reader sees; the two differ for
    look-alike letters. `domain` is the registered domain, counting hosting services as registries
    (`someone.vercel.app`), and `suffix` what it is registered under; both are empty for an address.
    """

    name: str
    looks: str
    domain: str = ""
    suffix: str = ""
    is_hosted: bool = False

    @property
    def is_address(self) -> bool:
        """Whether it is an IPv4 or IPv6 address."""
        return not self.domain


def named_host(
    looks: str, written: Sequence[str], cut_after: Container[str] | None = None
) -> tuple[Host, int] | None:
    """Return the host that `looks` begins with, and how many characters of it belong to it.

    `looks` is folded, with dots as dots; `written` are its labels in the letters of the original. What
    follows the host without a blank is cut off: a joined sentence (`site.com.Dia`), letters of another
    script. With `cut_after`, that happens only after these suffixes.
    """
    labels, written = looks.split("."), list(written)
    used = len(looks)
    if labels[-1] == "":
        labels.pop()
        written.pop()
        used -= 1
    whole = used
    if "" in labels:
        return None
    while len(labels) > 1:
        if host := _registered(written, labels):
            is_meant = used == whole or cut_after is None or host.suffix in cut_after
            return (host, used) if is_meant else None
        glued = _KNOWN_TAIL.match(labels[-1])
        if glued:
            tail = glued["ascii"]
            if host := _registered([*written[:-1], tail], [*labels[:-1], tail]):
                return host, used - len(labels[-1]) + len(tail)
        used -= len(labels.pop()) + 1
        written.pop()
    return None


def address_host(written: str) -> Host | None:
    """Return the address that a browser reads in `written`: dotted, in any base, or in brackets."""
    if written.startswith("["):
        try:
            address = ipaddress.IPv6Address(written.strip("[]"))
        except ValueError:
            return None
        name = str(address.ipv4_mapped or address)
        return Host(name, name)
    value = _ipv4(written.removesuffix(".").split("."))
    if value is None:
        return None
    name = str(ipaddress.IPv4Address(value))
    return Host(name, name)


def _ipv4(parts: list[str]) -> int | None:
    """Read an IPv4 address as the WHATWG URL standard does: each part decimal, `0x` hex or `0` octal."""
    if len(parts) > _MOST_PARTS:
        return None
    numbers = []
    for part in parts:
        number = _NUMBER.fullmatch(part)
        if number is None:
            return None
        if number["hex"] is not None:
            numbers.append(int(number["hex"] or "0", 16))
        else:
            numbers.append(int(number["octal"], 8) if number["octal"] else int(number["decimal"]))
    *firsts, last = numbers
    if any(n > 255 for n in firsts) or last >= _ADDRESSES >> (8 * len(firsts)):  # noqa: PLR2004
        return None
    return sum(n << (24 - 8 * at) for at, n in enumerate(firsts)) + last


def _registered(written: Sequence[str], labels: Sequence[str]) -> Host | None:
    """Return the host whose labels these are, as a browser reads them, else as a reader does."""
    for name in dict.fromkeys((_unicode(".".join(written)), ".".join(labels))):
        domain, suffix, is_hosted = registered_domain(name)
        if domain:
            return Host(name, fold(name).text, domain, suffix, is_hosted)
    return None


def _unicode(written: str) -> str:
    """Return the host a browser would open, with punycode labels as letters."""
    if written.isascii() and "xn--" not in written.lower():
        return written.lower()
    folded = unicodedata.normalize("NFKC", written).casefold()
    return ".".join(_decoded(label) for label in folded.split("."))


def _decoded(label: str) -> str:
    label = "".join(c for c in label if unicodedata.category(c) != "Cf")
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


@lru_cache(maxsize=4096)
def registered_domain(host: str) -> tuple[str, str, bool]:
    """Return registered domain, its suffix, and whether that is a hosting service's; empty if none."""
    parts = _EXTRACT.extract_str(host)
    if parts.suffix and not parts.domain:
        # The service itself (`blogspot.com`), not one of its customers.
        parts = _STATED.extract_str(host)
    if not (parts.suffix and parts.domain):
        return "", "", False
    is_hosted = parts.is_private or parts.suffix in _HOSTING
    return f"{parts.domain}.{parts.suffix}", parts.suffix, is_hosted
