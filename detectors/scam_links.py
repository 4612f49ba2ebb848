"""Links that pass themselves off as a bank, an agency, a shop or a platform, or that carry an app.

A link is judged by what it looks like and by the words around it; nothing is fetched.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
import regex

from detectors.brands import Brand, Brands
from detectors.contract import Candidate, Pattern
from detectors.folding import Folded, fold
from detectors.lexicon import total
from detectors.links import HINT, Link, find_links, parse_link
from schemas import Evidence, Finding

FLOOR: Final = 0.3
"""Below this a link is not worth a finding, whatever the policy's thresholds."""

_ODD_SUFFIXES: Final = frozenset(
    "xyz top vip icu cyou sbs cfd click buzz rest quest bond lol monster cc tk ml ga cf gq pw ws "
    "cam work support help live online site store shop club fun win bid loan men review stream "
    "date racing party download zip mov life world today guru autos beauty hair skin makeup "
    "yachts boats homes motorcycles ru su info ink wang ltd link finance money cash digital "
    "services center rocks asia one lat ist xin".split(),
)
"""Suffixes cheap enough to throw away after a day; honest sites use them too, so little weight."""
_SHORTENERS: Final = frozenset(
    "bit.ly bit.do tinyurl.com cutt.ly is.gd v.gd rb.gy ow.ly shorturl.at shorturl.asia t.ly s.id "
    "rebrand.ly tiny.cc adf.ly buff.ly qr.ae soo.gd clck.ru u.to t2m.io short.gy linktr.ee bl.ink "
    "tny.im x.co qrco.de urlzs.com n9.cl surl.li acesse.one dub.sh tinyurl.ee reurl.cc".split(),
)
_SERVICE: Final = regex.compile(
    r"log-?[io]n|sign-?in|signon|logon|verif|secur|accounts?(?![a-z])|akaun|update|unlock|recover|"
    r"wallet|auth|\bsso\b|\botp\b|\btac\b|\bkyc\b|claim|tuntut|reward|ganjaran|bonus|hadiah|refund|"
    r"redeem|suspen|confirm|sahkan|support|helpdesk|bantuan|semak|(?<![a-z])ebank|banking|"
    r"(?<![a-z])pay(?:ment)?(?![a-z])|bayar|billing|invoice|track|parcel|deliver|customs|kemaskini|"
    r"permohonan|portal|promo|gift|airdrop|connect|customer",
)
_ASK: Final = regex.compile(
    r"verif|suspend|\bb[l1][o0]ck|\block(?:ed)?\b|log ?in|sign ?in|unusual|update|confirm|claim|"
    r"refund|winner|have won|redeem|expir|overdue|unpaid|deliver|parcel|urgent|immediate|sahkan|"
    r"disekat|digantung|dibekukan|tamat tempoh|kemas ?kini|tuntut|bantuan|hadiah|menang|ganjaran|"
    r"bungkusan|saman|tertunggak|segera|paket|blokir|klaim|undian|"
    r"冻结|凍結|验证|驗證|领取|領取|中奖|中獎|停用|"
    r"过期|過期|包裹|补贴|補貼|"
    r"முடக்க|சரிபார்|பரிசு|உடனடி|பார்சல்|உதவித்தொகை",
)
_APP_FILE: Final = regex.compile(r"\.apk(?:$|[?#/&])")
_HYPHEN: Final = regex.compile(r"[-_]")
_HYPHEN_OR_DOT: Final = regex.compile(r"[-_.]")
_DIGITS: Final = str.maketrans("01345", "oleas")
_SHORT_NAME: Final = 5
_LONG_NAME: Final = 8
"""Only names this long are looked for across hyphens (`coin-base`)."""

_WEIGHTS: Final = {
    "link.official_name_in_front": (0.65, "puts a protected domain in front of its own"),
    "link.official_name_as_user": (0.65, "puts a protected domain before an @"),
    "link.disguised_name": (0.65, "writes a protected name with look-alike letters"),
    "link.swapped_letters": (0.5, "writes a protected name with look-alike digits"),
    "link.name_in_part": (0.5, "joins a protected name to other words"),
    "link.mistyped_name": (0.45, "misses a protected name by one letter"),
    "link.name_inside": (0.4, "holds a protected name outside its owner's domains"),
    "link.word_in_part": (0.4, "joins a short protected name to a service word"),
    "link.name_in_subdomain": (0.4, "carries a protected name in its subdomain"),
    "link.name_on_other_suffix": (0.35, "is a protected name under an unusual suffix"),
    "link.user_before_host": (0.4, "hides its host behind an @"),
    "link.address": (0.35, "is a bare network address"),
    "link.app_file": (0.45, "downloads an Android app outside a store"),
    "link.shortened": (0.2, "is shortened"),
    "link.odd_suffix": (0.15, "has a throw-away suffix"),
    "link.hosted": (0.15, "lies on free hosting"),
    "link.service_word": (0.2, "names a login, payment or claim"),
    "link.brand_wording": (0.15, "stands beside a protected name"),
    "link.asking_words": (0.25, "stands beside a demand to verify, claim or act"),
}


class ScamLinks:
    """Find links that imitate a protected name, hide where they lead, or install an app.

    Weighs what the host looks like (a protected name in a foreign domain, one letter off, in
    look-alike letters; a throw-away suffix; a bare address; a shortener) with the words of its path
    and of the text around it. Under the protected names' own domains nothing is ever flagged.

    Misses: compromised sites and fresh domains without any name in them; what lies behind a
    shortener or a form on an official host; names that are not in `detectors/data/brands.toml`.
    """

    name: Final = "scam_links"
    labels: Final = frozenset({"fraud.phishing", "fraud.impersonation", "fraud.malware_apk"})
    patterns: Final = (Pattern("link.hint", HINT, is_hint=True),)
    reads_links: Final = True

    def __init__(self, brands: Brands | None = None) -> None:
        """Use the shipped brands unless given others.

        Raises:
            DocumentError: if the shipped file is malformed.
        """
        self._brands = brands or Brands.shipped()
        self.version = f"1+{self._brands.digest}"

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield, for each event, the worst link of each label."""
        for candidate in candidates:
            worst: dict[str, Finding] = {}
            for link in _links(candidate):
                finding = self._judged(link, candidate.folded)
                if finding is not None:
                    held = worst.get(finding.label)
                    if held is None or finding.score > held.score:
                        worst[finding.label] = finding
            for finding in worst.values():
                yield candidate, finding

    def _judged(self, link: Link, folded: Folded) -> Finding | None:
        if link.is_chat or self._brands.is_official(link.host):
            return None
        term, written, brand = next(self._imitations(link), ("", "", None))
        terms = [term] if term else []
        terms += _shape(link, written)
        if terms and link.end:
            # The words around a link count only when something about the link itself is odd.
            terms += self._surroundings(link, folded)
        evidence = tuple(Evidence(t, _WEIGHTS[t][0], link.start, link.end) for t in terms)
        score = total(evidence)
        if score < FLOOR:
            return None
        return Finding(
            detector=self.name,
            version=self.version,
            label=_label(terms, brand),
            score=score,
            start=link.start,
            end=link.end,
            reason="a link that " + ", ".join(_WEIGHTS[t][1] for t in terms),
            evidence=evidence,
            attributes={"imitates": brand.name} if brand else {},
        )

    def _imitations(self, link: Link) -> Iterator[tuple[str, str, Brand | None]]:
        """Yield the ways in which a link borrows a name, strongest first: how, what, whose."""
        brands = self._brands
        if brands.is_official(link.user.split(":")[0]):
            yield "link.official_name_as_user", "", None
        if link.is_ip or _is_restricted(link.suffix):
            return
        front = link.looks.removesuffix("." + fold(link.suffix).text)
        embedded = brands.embedded(front)
        if embedded:
            yield "link.official_name_in_front", embedded, brands.domains[embedded]
        disguised = brands.inside(front)
        if disguised and disguised not in link.host:
            yield "link.disguised_name", disguised, brands.names[disguised]
        if link.name not in brands.names:
            yield from self._borrowed(link)
        elif link.suffix in _ODD_SUFFIXES or link.is_hosted:
            yield "link.name_on_other_suffix", link.name, brands.names[link.name]

    def _borrowed(self, link: Link) -> Iterator[tuple[str, str, Brand | None]]:
        """Yield the protected names in a host's labels, where the registered one is none."""
        brands = self._brands
        parts = _HYPHEN.split(link.name)
        for term, name in self._borrowed_names(link.name, parts):
            yield term, name, brands.names[name]
        around = _HYPHEN_OR_DOT.split(link.subdomain)
        for part in around:
            if part in brands.names:
                yield "link.name_in_subdomain", part, brands.names[part]
        for part in (*parts, *around):
            is_joined = part in brands.words and part != link.name
            if is_joined and _SERVICE.search(link.looks.replace(part, " ", 1)):
                yield "link.word_in_part", part, brands.words[part]

    def _borrowed_names(self, label: str, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield the protected names in a registered label, as (how, what)."""
        brands = self._brands
        for part in parts:
            if part in brands.names:
                yield "link.name_in_part", part
        inside = brands.inside(label)
        if inside and (len(inside) > _SHORT_NAME or label.startswith(inside)):
            yield "link.name_inside", inside
        joined = brands.inside("".join(parts))
        if joined and len(joined) >= _LONG_NAME:
            yield "link.name_inside", joined
        swapped = brands.inside(label.translate(_DIGITS).replace("rn", "m").replace("vv", "w"))
        if swapped and not inside:
            yield "link.swapped_letters", swapped
        for part in parts:
            mistyped = brands.mistyped(part)
            if mistyped:
                yield "link.mistyped_name", mistyped

    def _surroundings(self, link: Link, folded: Folded) -> Iterator[str]:
        """Yield what the words of the text around a link add to it."""
        around = f"{folded.original[: link.start]} {folded.original[link.end :]}"
        text = fold(around).text
        if self._brands.inside(text.replace(" ", "")):
            yield "link.brand_wording"
        if _ASK.search(text):
            yield "link.asking_words"


def _links(candidate: Candidate) -> Iterator[Link]:
    """Yield the links of the text, then those that the event carries only beside it, without a place."""
    yield from find_links(candidate.folded)
    for url in candidate.event.links:
        if url in candidate.event.text:
            continue
        link = parse_link(url)
        if link is not None:
            yield msgspec.structs.replace(link, start=0, end=0)


def _label(terms: Sequence[str], brand: Brand | None) -> str:
    if "link.app_file" in terms:
        return "fraud.malware_apk"
    is_agency = brand is not None and brand.kind == "agency"
    return "fraud.impersonation" if is_agency else "fraud.phishing"


def _is_restricted(suffix: str) -> bool:
    """Tell whether only a government, a university or an army can register under a suffix."""
    return suffix.split(".", 1)[0] in {"gov", "edu", "ac", "mil", "int"} and suffix != "ac"


def _is_blog(suffix: str) -> bool:
    """Tell whether a hosting service is mostly people's own writing and code."""
    first = suffix.split(".", 1)[0]
    return first in {"blogspot", "wordpress", "github", "gitlab", "readthedocs", "tumblr"}


def _shape(link: Link, imitated: str) -> Iterator[str]:
    """Yield what is odd about a link apart from the name it imitates."""
    if link.user:
        yield "link.user_before_host"
    if link.is_ip:
        if not ipaddress.IPv4Address(link.host).is_global:
            return
        yield "link.address"
    if _APP_FILE.search(link.path):
        yield "link.app_file"
    if link.domain in _SHORTENERS:
        yield "link.shortened"
    elif link.is_hosted and not _is_blog(link.suffix):
        yield "link.hosted"
    elif link.suffix in _ODD_SUFFIXES:
        yield "link.odd_suffix"
    host = link.looks.replace(imitated, " ") if imitated else link.looks
    if _SERVICE.search(host) or _SERVICE.search(link.path[:200]):
        yield "link.service_word"
