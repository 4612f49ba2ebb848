"""Links in a text as people write them, taken apart.

People write `hxxp://`, `site[.]com`, `www.site.com` or just `site.com/x`; they also write
`end.of sentence` and `setup.py`. What counts as a host is decided by the public-suffix list bundled
with `tldextract`; nothing is ever fetched.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final
from urllib.parse import unquote

import msgspec
import regex

from detectors.folding import Folded, fold
from detectors.hosts import Host, address_host, named_host
from detectors.link_signs import HINT, has_sign
from detectors.link_spellings import STRICT, Respelled, respelled

__all__ = ["HINT", "Link", "find_links", "parse_link"]

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_IP: Final = r"\d{1,3}(?:\.\d{1,3}){3}"
_LINK: Final = regex.compile(
    rf"""
    (?:
      (?P<scheme>https?|ftp)://(?:(?P<user>[^\s/\\?\#@<>"]{{1,200}}+)@)?
        (?P<authority>\[[0-9a-f:.]{{2,45}}\]|[\p{{L}}\p{{N}}_][\p{{L}}\p{{M}}\p{{N}}_.-]{{0,252}}+)
      | (?<![a-z0-9@._\-])(?P<address>{_IP})(?=:\d{{2,5}}(?!\d)|/(?!\d{{1,2}}(?![a-z0-9.])|255\.))
      | (?<![a-z0-9@._\-\\])(?P<bare>(?:{_LABEL}\.){{1,10}}(?:xn--[a-z0-9-]{{1,59}}|[a-z]{{2,24}}))
        (?![a-z0-9_]|-[a-z0-9]|[a-z0-9_.+-]{{0,64}}@)
    )
    (?P<after>
      (?::(?P<port>\d{{1,5}})(?!\d))?
      (?P<path>[/\\?\#](?:[^\s<>"|\[\]()\p{{Han}}\p{{Extended_Pictographic}}\u3000-\u303f]
        |\([^\s<>"|\[\]()]*\)|\[(?!/)[^\s<>"|\[\]()]*\]|[0-9#*])*+)?
    )
    """,
    regex.VERBOSE,
)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One link; `start` and `end` are code points of the original text, end exclusive.

    `host` is what a browser would open (Unicode, lower case), `looks` what a reader sees: the two
    differ for look-alike letters. `domain` is the registered domain, counting hosting services as
    registries (`someone.vercel.app`); empty for an IP address, which `host` gives in plain decimal form
    whatever base it was written in. `via` is the host of the link in whose query or path this one stands,
    or empty.
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
    via: str = ""

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


_CHAT: Final = frozenset({"wa.me", "wa.link", "t.me", "telegram.me", "wasap.my", "m.me"})
_CHAT_HOSTS: Final = frozenset(
    {"api.whatsapp.com", "web.whatsapp.com", "chat.whatsapp.com", "line.me", "lin.ee"}
)

_PLAIN_SUFFIXES: Final = STRICT | {"net", "org"}
"""Suffixes that follow a dot in ordinary prose too rarely to matter.

Any other one makes a bare name a link only with a path, or with a digit or a hyphen in it; the ones of
`_WORDY_SUFFIXES` also after a long name: "ok.how are you", "nick.name", "kasih.info".
"""
_WORDY_SUFFIXES: Final = frozenset(
    "info top vip shop online site store club app dev cc io link live bid fun".split()
)
_LONG_NAME: Final = 10
_FILE_SUFFIXES: Final = frozenset("md py sh rs pl ps so zip mov cc pm tf ai app".split())
"""Suffixes that are file extensions first: such a bare two-part name is a link only with a path."""
_PACKAGE_ROOTS: Final = frozenset("com org net edu gov io".split())
_PRODUCTS: Final = frozenset({"asp.net", "vb.net", "ado.net"})
_LONGEST_NUMBERING: Final = 2
_VERSION: Final = regex.compile(r"v?\d+\.\d")
_VERSION_INSIDE: Final = regex.compile(r"\d\.\d")
_CUT_AFTER: Final = _PLAIN_SUFFIXES | {"com.my", "com.sg", "co.id", "co.uk"}
"""Suffixes after which a sentence may go on without a blank (`site.com.Dia`)."""
_AT_BEFORE: Final = regex.compile(r"[\[({<]\s?(?:at|@|di)\s?[\])}>]\s?\Z")
_PATH_END: Final = regex.compile(r"[.,;:!?'*_~\u2019\u201d\u2026\\]+$")
_TARGET: Final = regex.compile(
    r"(?P<full>(?:https?|ftp)(?::|%(?:25)*3a)(?:/|%(?:25)*2f){2}[^\s&#;]+)"
    r"|[?&#;](?:url|u|uri|to|go|goto|link|href|redir|redirect|redirect_ur[il]|return|return_?url|next"
    r"|dest|destination|target|out|continue|rurl|site)=(?://|%2f%2f)?(?P<bare>[a-z0-9-]+\.[^\s&#;]+)"
)
_SIGN: Final = re.compile(r"\.[^ ]|://")
"""What every link holds once its text is written plainly."""
_REMEMBERED: Final = 4096
_MOST_TARGETS: Final = 5
_MOST_DECODINGS: Final = 3


@lru_cache(maxsize=1024)
def find_links(folded: Folded) -> tuple[Link, ...]:
    """Find the links of a text, in order; a link inside another's query or path follows it.

    Remembered for the texts of a batch, of which several detectors ask.

    Raises:
        TimeoutError: if a hostile piece of text takes longer than a second.
    """
    return tuple(_links(folded))


def _links(folded: Folded) -> Iterator[Link]:
    text = folded.text
    if not has_sign(text):
        return
    plain = respelled(text)
    for start, end in _pieces(plain.text):
        for match in _LINK.finditer(plain.text, start, end, timeout=1.0):
            link = _link(folded, plain, match)
            if link is not None:
                yield link
                if link.path:
                    yield from _targets(folded, plain, match, link)


def parse_link(url: str) -> Link | None:
    """Take apart a link given on its own; `None` if it has no host that could be real."""
    return next(_links(fold(url.strip())), None)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the pieces between blanks lie that a link can be in; none goes across a blank."""
    end = 0
    while sign := _SIGN.search(text, end):
        start = text.rfind(" ", end, sign.start()) + 1 or end
        end = text.find(" ", sign.end())
        if end < 0:
            end = len(text)
        yield start, end


def _link(folded: Folded, plain: Respelled, match: "regex.Match[str]") -> Link | None:
    scheme = match["scheme"]
    found = _host(folded, plain, match)
    if found is None:
        return None
    host, end = found
    is_whole = plain.text[end : match.start("after")] in {"", "."}
    path = _trimmed(match["path"] or "") if is_whole else ""
    port = (match["port"] or "") if is_whole else ""
    if path or port:
        end = match.end("after") - (len(match["path"] or "") - len(path))
    if match["bare"] is not None:
        following = plain.text[end : end + 1]
        if not _is_link_without_scheme(host, path, following) or _AT_BEFORE.search(
            plain.text[max(0, match.start() - 8) : match.start()]
        ):
            return None
    start, stop = folded.span(*plain.span(match.start(), end))
    return Link(
        start=start,
        end=stop,
        scheme=scheme or "",
        user=match["user"] or "",
        host=host.name,
        looks=host.looks,
        port=port,
        path=path,
        domain=host.domain,
        suffix=host.suffix,
        is_hosted=host.is_hosted,
        is_ip=host.is_address,
    )


def _host(folded: Folded, plain: Respelled, match: "regex.Match[str]") -> tuple[Host, int] | None:
    """Return the host of a match and where it ends."""
    group = "bare" if match["bare"] is not None else "address" if match["address"] else "authority"
    written, start = match[group], match.start(group)
    if group != "bare" and (written[0] in "[0123456789"):
        address = address_host(written)
        if address is not None or group == "address":
            return (address, match.end(group)) if address else None
    labels = written.split(".")
    if not folded.original.isascii():
        labels = _original_labels(folded, plain, labels, start)
    found = _named(written, tuple(labels), group == "bare")
    if found is None:
        return None
    host, used = found
    return host, start + used


@lru_cache(maxsize=_REMEMBERED)
def _named(written: str, labels: tuple[str, ...], is_bare: bool) -> tuple[Host, int] | None:  # noqa: FBT001
    """Return the host that a match begins with; the same few make up most of what people send."""
    return named_host(written, labels, _CUT_AFTER if is_bare else None)


def _original_labels(folded: Folded, plain: Respelled, labels: list[str], start: int) -> list[str]:
    """Return labels in the letters of the original, where they stand there in one piece."""
    found = []
    for label in labels:
        end = start + len(label)
        if label and plain.is_verbatim(start, end):
            label = folded.original[slice(*folded.span(*plain.span(start, end)))]  # noqa: PLW2901
        found.append(label)
        start = end + 1
    return found


def _is_link_without_scheme(host: Host, path: str, following: str) -> bool:
    """Tell whether a name in a text is meant as a link: many words are joined by a dot."""
    labels = host.looks.split(".")
    suffix, name = host.suffix, host.looks.removesuffix("." + host.suffix).rpartition(".")[2]
    if labels[0] == "www" or len(path) > 1:
        return True
    if (
        (name.isdigit() and len(name) <= _LONGEST_NUMBERING)
        or _VERSION.match(host.looks)
        or host.domain in _PRODUCTS
    ):
        return False
    if "." in suffix or suffix.startswith("xn--"):
        return True
    is_file = suffix in _FILE_SUFFIXES and len(labels) == 2  # noqa: PLR2004
    is_package = labels[0] in _PACKAGE_ROOTS and len(labels) > 2  # noqa: PLR2004
    is_call = following == "("
    is_version = bool(_VERSION_INSIDE.search(host.looks))
    if suffix in _PLAIN_SUFFIXES and not (is_file or is_package):
        return True
    if is_file or is_package or is_call or is_version:
        return False
    is_odd = any(c.isdigit() or c == "-" for c in name)
    return is_odd or (suffix in _WORDY_SUFFIXES and len(name) >= _LONG_NAME)


def _trimmed(path: str) -> str:
    """Cut the punctuation of the sentence off a path."""
    end = _PATH_END.search(path)
    return path[: end.start()] if end else path


def _targets(
    folded: Folded, plain: Respelled, match: "regex.Match[str]", outer: Link
) -> Iterator[Link]:
    """Find the links that stand in a link's path or query, in whatever encoding."""
    path = outer.path
    if "=" not in path and "//" not in path and "%2f" not in path:
        return
    found = _TARGET.finditer(path, overlapped=True, timeout=1.0)
    for target in islice(found, _MOST_TARGETS):
        group = "full" if target["full"] is not None else "bare"
        written = target[group]
        url = _decoded(written)
        link = parse_link(url)
        if link is None or link.start:
            continue
        start = match.start("path") + target.start(group)
        end = start + (link.end if url == written else len(written))
        start, end = folded.span(*plain.span(start, end))
        yield msgspec.structs.replace(link, start=start, end=end, via=outer.host)


def _decoded(written: str) -> str:
    """Undo percent-encoding, also where it was done twice."""
    for _ in range(_MOST_DECODINGS):
        plain = unquote(written)
        if plain == written:
            break
        written = plain
    return written
