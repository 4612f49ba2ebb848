"""Links in a text as people write them, taken apart.

People write `hxxp://`, `site[.]com`, `www.site.com` or just `site.com/x`; they also write
`end.of sentence` and `setup.py`. What counts as a host is decided by the public-suffix list bundled
with `tldextract`; nothing is ever fetched.
"""

import ipaddress
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec
import regex
import tldextract

from detectors.folding import Folded, fold

_DOT: Final = r"(?:\.|\u3002|\s?[\[({]\s?(?:\.|dot)\s?[\])}]\s?)"
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_ANY_LABEL: Final = r"[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_-]{0,61}[\p{L}\p{M}\p{N}])?"
_LAST: Final = r"(?:xn--[a-z0-9-]{1,59}|[a-z]{2,24})"
_IP: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_ADDRESS: Final = regex.compile(_IP)
_LINK: Final = regex.compile(
    rf"""
    (?<![a-z0-9@._\-])
    (?:(?P<scheme>h(?:tt|xx)ps?|ftp)\s?(?:\[:\]|:)\s?/{{1,2}}\s?(?:(?P<user>[^\s/@<>"]{{1,80}})@)?)?
    (?P<host>
      (?<=[/@]\s?){_IP}
      | (?<=[/@]\s?)(?:{_ANY_LABEL}{_DOT}){{1,10}}{_LAST}
      | {_IP}(?=:\d|/)
      | (?:{_LABEL}{_DOT}){{1,10}}{_LAST}
    )
    (?![a-z0-9_@]|-[a-z0-9])
    (?::(?P<port>\d{{1,5}}))?
    (?P<path>[/?\#][^\s<>"\p{{Han}}\u3000-\u303f\uff00-\uffef]*)?
    """,
    regex.VERBOSE,
)
HINT: Final = (
    r"[\p{L}\p{N}_](?:\.|\u3002)(?:\p{L}{2}|xn--|\d)"
    r"|[\[({]\s?(?:\.|dot)\s?[\])}]"
    r"|h(?:tt|xx)ps?\s?[\[:]"
)
"""An expression that is in every text with a link: in few others a dot stands between letters."""
_SIGN: Final = regex.compile(r"[.\u3002:\[({]")
_SPELLED_DOT: Final = regex.compile(r"\u3002|\s?[\[({]\s?(?:\.|dot)\s?[\])}]\s?")
_PATH_END: Final = regex.compile(r"[.,;:!?'*_~)\]}\u2019\u201d\u2026]+$")

_PLAIN_SUFFIXES: Final = frozenset(
    "com net org info biz xyz top vip shop online site store club icu cyou sbs cfd app io dev "
    "cc".split(),
)
"""Single-label suffixes that follow a dot in ordinary prose too rarely to matter.

Any other one (`.my`, `.is`, `.how`, `.live`) makes a bare name a link only with a digit or a hyphen
in it, or with a path: "ok.how are you", "nick.name".
"""
_FILE_SUFFIXES: Final = frozenset("md py sh rs pl ps so zip mov cc pm tf ai app".split())
"""Suffixes that are file extensions first: such a bare two-part name is a link only with a path."""

_EXTRACT: Final = tldextract.TLDExtract(
    suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True
)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link; `start` and `end` are code points of the original text, end exclusive.

    `host` is what a browser would open (Unicode, lower case), `looks` what a reader sees: the two
    differ for look-alike letters. `domain` is the registered domain, counting hosting services as
    registries (`someone.vercel.app`); empty for an IP address.
    """

    start: int
    end: int
    scheme: str
    user: str
    host: str
    looks: str
    port: str
    path: str
    domain: str
    suffix: str
    is_hosted: bool
    is_ip: bool

    @property
    def subdomain(self) -> str:
        """What stands before the registered domain, as a reader sees it."""
        return self.looks[: -len(fold(self.domain).text)].rstrip(".") if self.domain else ""

    @property
    def name(self) -> str:
        """The registered label without its suffix, as a reader sees it."""
        return fold(self.domain.removesuffix("." + self.suffix)).text if self.domain else ""

    @property
    def is_chat(self) -> bool:
        """Whether it opens a chat with a person, a group or a bot."""
        return self.domain in _CHAT or self.host in _CHAT_HOSTS


_CHAT: Final = frozenset({"wa.me", "t.me", "telegram.me", "wasap.my", "m.me"})
_CHAT_HOSTS: Final = frozenset({"api.whatsapp.com", "chat.whatsapp.com", "line.me", "lin.ee"})


def find_links(folded: Folded) -> Iterator[Link]:
    """Find the links of a text, in order."""
    text = folded.text
    sign = _SIGN.search(text)
    if sign is None:
        return
    # No link begins before the word that the first sign is in, or is set off from by a blank.
    start = text.rfind(" ", 0, len(text[: sign.start() + 1].rstrip(" ([{:"))) + 1
    for match in _LINK.finditer(text, start, timeout=1.0):
        link = _link(folded, match)
        if link is not None:
            yield link


def parse_link(url: str) -> Link | None:
    """Take apart a link given on its own; `None` if it has no host that could be real."""
    return next(find_links(fold(url.strip())), None)


def _link(folded: Folded, match: "regex.Match[str]") -> Link | None:
    looks = _SPELLED_DOT.sub(".", match["host"])
    path = _trimmed(match["path"] or "")
    bare = match["scheme"] is None
    end = match.end() - (len(match["path"] or "") - len(path))
    start, stop = folded.span(match.start(), end)
    is_ip = bool(_ADDRESS.fullmatch(looks))
    if is_ip:
        if not _is_address(looks):
            return None
        host, domain, suffix, is_hosted = looks, "", "", False
    else:
        slice_ = slice(*folded.span(match.start("host"), match.end("host")))
        host = looks
        if not folded.original.isascii() or "xn--" in looks:
            host = _unicode_host(folded.original[slice_])
            looks = fold(host).text
        domain, suffix, is_hosted = _registered(host)
        if not domain or (bare and not _is_link_without_scheme(looks, suffix, path)):
            return None
    return Link(
        start=start,
        end=stop,
        scheme=(match["scheme"] or "").replace("x", "t"),
        user=match["user"] or "",
        host=host,
        looks=looks,
        port=match["port"] or "",
        path=path,
        domain=domain,
        suffix=suffix,
        is_hosted=is_hosted,
        is_ip=is_ip,
    )


def _is_link_without_scheme(looks: str, suffix: str, path: str) -> bool:
    labels = looks.split(".")
    if labels[0] == "www" or "." in suffix or suffix.startswith("xn--"):
        return True
    is_file = suffix in _FILE_SUFFIXES and looks.count(".") == 1
    if suffix in _PLAIN_SUFFIXES and not is_file:
        return True
    return len(path) > 1 or (not is_file and any(c.isdigit() or c == "-" for c in looks))


def _trimmed(path: str) -> str:
    """Cut the punctuation of the sentence off a path, keeping a closing bracket that was opened."""
    end = _PATH_END.search(path)
    if end is None:
        return path
    return path if end[0] == ")" and "(" in path else path[: end.start()]


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _unicode_host(written: str) -> str:
    """Return the host a browser would open, with punycode labels as letters."""
    host = _SPELLED_DOT.sub(".", unicodedata.normalize("NFKC", written).casefold())
    return ".".join(_decoded(label) for label in host.split("."))


def _decoded(label: str) -> str:
    label = "".join(c for c in label if unicodedata.category(c) != "Cf")
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label


@lru_cache(maxsize=4096)
def _registered(host: str) -> tuple[str, str, bool]:
    """Return registered domain, its suffix, and whether that is a hosting service's."""
    parts = _EXTRACT.extract_str(host)
    if parts.suffix and not parts.domain:
        # The service itself (`blogspot.com`), not one of its customers.
        parts = _EXTRACT.extract_str(host, include_psl_private_domains=False)
    if not (parts.suffix and parts.domain):
        return "", "", False
    return f"{parts.domain}.{parts.suffix}", parts.suffix, parts.is_private
