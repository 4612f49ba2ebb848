"""Links that pass themselves off as a bank, an agency, a shop or a platform, or that carry an app.

A link is judged by what it looks like and by the words around it; nothing is fetched.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import regex

from detectors.brands import Brand, Brands
from detectors.contract import Candidate, Pattern
from detectors.folding import Folded, fold
from detectors.host_scorer import HostScorer, Judgement
from detectors.imitations import Imitation, Imitations
from detectors.known_sites import KNOWN_SITES
from detectors.lexicon import total
from detectors.link_shape import is_private, is_restricted, is_shortener, shape
from detectors.link_terms import LEARNED_PART, LEARNED_REASON, LEARNED_REST, WEIGHTS
from detectors.links import HINT, Link, find_links
from schemas import Evidence, Finding

FLOOR: Final = 0.3
"""Below this a link is not worth a finding, whatever the policy's thresholds."""

_ASK: Final = regex.compile(
    r"verif|suspend|\bb[l1][o0]ck|\block(?:ed)?\b|log ?in|sign ?in|unusual|update|confirm|claim|"
    r"refund|winner|have won|redeem|expir|overdue|unpaid|deliver|parcel|urgent|immediate|sahkan|"
    r"disekat|digantung|dibekukan|tamat tempoh|kemas ?kini|tuntut|bantuan|hadiah|menang|ganjaran|"
    r"bungkusan|saman|tertunggak|segera|paket|blokir|klaim|undian|"
    r"冻结|凍結|验证|驗證|领取|領取|中奖|中獎|停用|"
    r"过期|過期|包裹|补贴|補貼|"
    r"முடக்க|சரிபார்|பரிசு|உடனடி|பார்சல்|உதவித்தொகை",
)


_REMEMBERED: Final = 16_384
_OWN: Final = frozenset({"", "www"})
"""Subdomains that are the site itself; some well-known sites give others to customers."""


class _Told(msgspec.Struct, frozen=True):
    """What a link is by itself."""

    imitation: Imitation | None
    learned: Judgement | None
    terms: tuple[str, ...]


class ScamLinks:
    """Find links that imitate a protected name, hide where they lead, or install an app.

    Weighs what the host looks like (a protected name in a foreign domain, a slip away from one, in
    look-alike letters; a throw-away suffix; a bare address; a shortener) with the words of its path
    and of the text around it, and with what a small model makes of its name. Under the protected
    names' own domains nothing is ever flagged; the model leaves well-known sites alone.

    Misses: compromised sites and fresh domains with an ordinary name; what lies behind a
    shortener or a form on an official host; names that are not in `detectors/data/brands.toml`.
    What the model misses is in `detectors/models/hosts.md`.
    """

    name: Final = "scam_links"
    labels: Final = frozenset({"fraud.phishing", "fraud.impersonation", "fraud.malware_apk"})
    patterns: Final = (Pattern("link.hint", HINT, is_hint=True),)
    reads_links: Final = True

    def __init__(self, brands: Brands | None = None, scorer: HostScorer | None = None) -> None:
        """Use the shipped brands and model unless given others.

        Raises:
            DocumentError: if the shipped file is malformed.
        """
        self._brands = brands or Brands.shipped()
        self._imitations = Imitations(self._brands)
        self._scorer = scorer or HostScorer.shipped()
        # The same few links make up most of what people send, and most of the others lie on known hosts.
        self._told = lru_cache(maxsize=_REMEMBERED)(self._tell)
        self._of_host = lru_cache(maxsize=_REMEMBERED)(self._judge_host)
        self.version = f"2+{self._brands.digest}{self._scorer.digest}"

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
        if link.is_chat or is_private(link) or self._brands.is_official(link.host):
            return None
        # Only an address can be written so that it matters how.
        written = fold(folded.original[link.start : link.end]).text if link.is_ip else ""
        told = self._told(msgspec.structs.replace(link, start=0, end=0), written)
        imitation, learned, terms = told.imitation, told.learned, list(told.terms)
        if (terms or learned) and link.end:
            # The words around a link count only when something about the link itself is odd.
            terms += self._surroundings(link, folded)
        evidence = (
            *(Evidence(term, WEIGHTS[term][0], link.start, link.end) for term in terms),
            *_learned(learned, link, folded),
        )
        score = total(evidence)
        if score < FLOOR:
            return None
        reasons = [WEIGHTS[term][1] for term in terms] + [LEARNED_REASON] * (learned is not None)
        brand = imitation.brand if imitation else None
        return Finding(
            detector=self.name,
            version=self.version,
            label=_label(terms, brand),
            score=score,
            start=link.start,
            end=link.end,
            reason="a link that " + ", ".join(reasons),
            evidence=evidence,
            attributes={
                **({"imitates": brand.name} if brand else {}),
                **({"ways": link.domain} if link.domain else {}),
            },
        )

    def _tell(self, link: Link, written: str) -> "_Told":
        """Say what a link is by itself, wherever it stands; `written` is how it stands there, folded."""
        imitation, learned = self._of_host(_host_only(link))
        odd = list(shape(link, imitation.name if imitation else "", written))
        terms = [imitation.term, *odd] if imitation else odd
        if odd and not imitation and self._imitations.in_path(link):
            terms.append("link.name_in_path")
        return _Told(imitation, learned, tuple(terms))

    def _judge_host(self, link: Link) -> tuple[Imitation | None, Judgement | None]:
        """Say whose name a host borrows and what the model makes of it, whatever its path."""
        if link.domain in KNOWN_SITES and link.subdomain in _OWN and not link.user:
            return None, None
        learned = self._scorer.judge(link) if _is_open_to_judgement(link) else None
        return self._imitations.first(link), learned

    def _surroundings(self, link: Link, folded: Folded) -> Iterator[str]:
        """Yield what the words of the text around a link add to it."""
        around = f"{folded.original[: link.start]} {folded.original[link.end :]}"
        text = fold(around).text
        if self._brands.inside(text.replace(" ", "")):
            yield "link.brand_wording"
        if _ASK.search(text):
            yield "link.asking_words"


def _host_only(link: Link) -> Link:
    """Return a link without what differs between the links of one host; a user may be a borrowed name."""
    return msgspec.structs.replace(link, start=0, end=0, scheme="", port="", path="", via="")


def _is_open_to_judgement(link: Link) -> bool:
    """Tell whether the model may judge a link: it knows names, and no well-known one is judged by it."""
    return not (
        link.is_ip
        or link.is_hosted
        or link.domain in KNOWN_SITES
        or is_shortener(link)
        or is_restricted(link.suffix)
    )


def _learned(learned: Judgement | None, link: Link, folded: Folded) -> Iterator[Evidence]:
    """Yield what the model adds: its strongest runs of letters where they stand, then all the rest."""
    if learned is None:
        return
    written = folded.original[link.start : link.end].lower()
    at = written.find(link.looks)
    for part in learned.parts:
        start, end = (link.start, link.end) if at < 0 else (part.start, part.end)
        offset = 0 if at < 0 else link.start + at
        yield Evidence(LEARNED_PART, part.weight, offset + start, offset + end)
    yield Evidence(LEARNED_REST, learned.rest, link.start, link.end)


def _links(candidate: Candidate) -> Iterator[Link]:
    """Yield the links of the text, then those that the event carries only beside it, without a place."""
    yield from find_links(candidate.folded)
    for url in candidate.event.links:
        if url in candidate.event.text:
            continue
        for link in find_links(fold(url.strip())):
            yield msgspec.structs.replace(link, start=0, end=0)


def _label(terms: Sequence[str], brand: Brand | None) -> str:
    if "link.app_file" in terms or "link.double_extension" in terms:
        return "fraud.malware_apk"
    is_agency = brand is not None and brand.kind == "agency"
    return "fraud.impersonation" if is_agency else "fraud.phishing"
