"""Names on lists: how a host or a page is written so that a list and a link in a text agree.

A name is a host, without `www.` above its registered domain, or such a host with a path. A host stands for
what is below it too. Links come from `detectors.links`, which decides how hosts and paths are folded; what is
no plain host is read by the same code, so both sides fold alike.
"""

import ipaddress
import re
from typing import Final, Literal

import msgspec
import tldextract

from detectors.links import parse_link

Fault = Literal[
    "malformed", "too_long", "unknown_suffix", "public_suffix", "hosting", "local_address"
]
"""Why what a list holds is no name."""

_LONGEST: Final = 2048
_HOST: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.){1,10}[a-z]{2,24}")
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_SCHEME: Final = re.compile(r"\s*h(?:tt|xx)ps?\s?(?:\[:\]|:)\s?/", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(r"[.,;:!?'*_~)\]}\u2019\u201d\u2026]*")

# The list that comes with the package: nothing is fetched.
_EXTRACT: Final = tldextract.TLDExtract(
    suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True
)


class Name(msgspec.Struct, frozen=True, gc=False):
    """What a list holds. `page` is a path with its query; empty, the whole host is meant."""

    host: str
    domain: str
    """The registered domain, counting hosting services as registries; an address is its own."""
    page: str = ""
    has_wildcard: bool = False
    """It was written `*.example.com` or `||example.com^`."""

    @property
    def key(self) -> str:
        """The name as it is looked up."""
        return self.host + self.page


def name(text: str, *, has_wildcard: bool = False) -> Name | Fault:
    """Read a host or a URL, as lists write them."""
    text = text.strip()
    if len(text) > _LONGEST:
        return "too_long"
    if text.startswith(("*.", ".")):
        text, has_wildcard = text.lstrip("*").lstrip("."), True
    host = text.lower().removesuffix(".")
    if "xn--" not in host and _HOST.fullmatch(host):
        return _named(host, "", has_wildcard=has_wildcard)
    url = text if _SCHEME.match(text) else f"http://{text}"
    link = parse_link(url)
    # A link cut short would stand for more than the list says.
    is_whole = link is not None and link.start == 0 and _SENTENCE_END.fullmatch(url[link.end :])
    if link is None or not is_whole:
        return "malformed"
    if link.is_ip:
        if not ipaddress.IPv4Address(link.host).is_global:
            return "local_address"
        return Name(link.host, link.host, page(link.path))
    return _named(link.host, page(link.path), has_wildcard=has_wildcard)


def page(path: str) -> str:
    """Return a link's path as lists hold it: without its fragment and a slash at the end."""
    way, mark, query = path.partition("#")[0].partition("?")
    return way.rstrip("/") + (mark + query if query else "")


def pages(path: str) -> tuple[str, ...]:
    """Return what a link's path may be listed as: with its query, and without."""
    full = page(path)
    bare = full.partition("?")[0]
    return tuple(form for form in dict.fromkeys((full, bare)) if form)


def above_www(host: str, domain: str) -> str:
    """Take `www.` off a host; a registered domain called so keeps it."""
    return host[4:] if host.startswith("www.") and len(host) > len(domain) else host


def _named(host: str, of_page: str, *, has_wildcard: bool) -> Name | Fault:
    parts = _EXTRACT.extract_str(host)
    if not parts.suffix:
        return "unknown_suffix"
    if not parts.domain or (parts.domain == "www" and not parts.subdomain):
        # The suffix itself. A page of a hosting service's own site is a page like others.
        if not of_page or not parts.is_private or parts.domain:
            return "hosting" if parts.is_private else "public_suffix"
        return Name(host, host, of_page)
    domain = f"{parts.domain}.{parts.suffix}"
    return Name(above_www(host, domain), domain, of_page, has_wildcard)
