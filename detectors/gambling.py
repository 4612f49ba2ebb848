"""Gambling promotion: adverts for slots, casinos, betting and illegal lotteries, disguised or not.

Site names change by the week, so none is listed. What stays is their shape (a word with 77, 888 or
4D behind it, a word ending in *togel* or *toto*), how they are set off (stars on both sides, fancy
letters in a plain sentence) and the funnel around them: a game, a bonus, a winning claim, a call to
act, a contact.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final

import msgspec
import regex

from detectors.contacts import ways
from detectors.contract import Candidate, Match, Pattern
from detectors.folding import FoldedBatch, fold
from detectors.lexicon import Lexicon, reach, span, summed
from detectors.wording import Wording
from schemas import Evidence, Finding

LABEL: Final = "gambling.promotion"

LEAST_SCORE: Final = 0.4
"""Below it there is no finding: two ordinary words ("bonus", "menang") are not worth a record."""

CORE: Final = frozenset({"game", "bonus", "win"})
"""Groups of which one must be there, or a name: without, the rest is any advert or chat."""
LEAST_CORE: Final = 0.3
"""A lighter term of these groups ("event", "member") is looked for only beside a heavier one or a name, or
where a text reads like a promotion."""

DISGUISE_WEIGHT: Final = 0.35
"""What a wholly disguised name adds; less in proportion. Alone it stays below review (0.6)."""
_DISGUISED_THROUGHOUT: Final = 0.15
"""What it adds where the whole text is in fancy letters: a taste, not an attempt to hide a word."""
_UNNAMED_WEIGHT: Final = 0.25
"""What a disguised word adds that has no shape of a name."""
_MOST_ABOUT_A_NAME: Final = 0.5
"""What capitals, a frame and a place together add to a name, at most."""
_FANCY: Final = 0.8
"""From this share of disguised letters on, a text of more than `_FEW_WORDS` is in fancy letters."""
_FEW_WORDS: Final = 3
_MOST_NAMES: Final = 16
"""More names than these in one text say nothing new and cost time."""
_REACH: Final = 120
"""How far around a disguised word its disguised neighbours are looked for, in code points."""

_LEET: Final = 0.4
"""How much a digit inside a word (`sl0t`) counts as disguise: many nicknames have one."""
_MOST: Final = 0.7
"""The share of styled letters from which a word counts as wholly disguised."""

_LETTER: Final = r"[a-z\p{Greek}\p{Cyrillic}]"
_BEFORE: Final = r"(?<![\p{L}\p{M}\p{N}@#\\=_])(?<![^/]/)"
_TOP_LEVEL: Final = "com|net|vip|org|xyz|site|online|club|asia|fun|top|win|bet|my|link|live|games?"
_AFTER: Final = (
    r"(?![\p{L}\p{M}\p{N}_@]|[-/][\p{L}\p{N}]"
    rf"|\.(?!(?:{_TOP_LEVEL})(?![\p{{L}}\p{{N}}]))\p{{L}})"
)
_LUCKY: Final = (
    r"(?:(?:77|88|99|33|55|66)|[789]{3}|333|555|666|7777|8888|9999|[❼➐⓻]{2,3}|[❽➑⓼]{2,3}|[❾➒⓽]{2,3}"
    r"|138|168|188|288|388|268|303|338|368|808|918|1[13]8)"
)
_STRONG: Final = (
    r"(?:t[o0]g[e3]l|g[a4]c[o0]r|slots?|m[a4]xwin|h[o0]k[i1]|kasino|casino|poker|jackpot"
    r"|(?<!se)jitu|(?<!pro)t[o0]t[o0]|s?catter)"
)
_WEAK: Final = "(?:[w\u03c9\u0461\u0448][i1\u03b9]n|bet|play|qq|spin|jp)"
_END_DIGITS: Final = r"(?:[ ]?\d{1,4}|\p{No}{1,4})?"

SHAPES: Final = {
    "gambling.name.draw": (0.45, rf"{_BEFORE}{_LETTER}{{2,14}}\d?[456]d\d?{_AFTER}"),
    "gambling.name.draw_apart": (0.25, rf"{_BEFORE}{_LETTER}{{2,14}} [456]d{_AFTER}"),
    "gambling.name.game": (
        0.45,
        rf"{_BEFORE}{_LETTER}[a-z0-9]{{1,12}}{_STRONG}{_END_DIGITS}{_AFTER}",
    ),
    "gambling.name.lucky": (
        0.4,
        rf"{_BEFORE}{_LETTER}{{2,16}}(?:[0134]{_LETTER}{{1,8}})?{_LUCKY}{_AFTER}",
    ),
    "gambling.name.lucky_glued": (
        0.3,
        rf"{_BEFORE}{_LETTER}{{3,18}}(?:77|88|99|777|888|999)(?=\p{{L}}{{3}})",
    ),
    "gambling.name.lucky_apart": (
        0.25,
        rf"{_BEFORE}{_LETTER}{{4,14}} (?:77|88|99|777|888|999){_AFTER}",
    ),
    "gambling.name.number": (0.3, rf"{_BEFORE}{_LETTER}{{3,16}}(?!19|20)\d{{2,3}}{_AFTER}"),
    "gambling.name.front": (
        0.35,
        rf"{_BEFORE}\d{{1,3}}x?(?:kiss|bet|win|play|ace|slots?|toto|casino|poker)\d{{0,3}}{_AFTER}",
    ),
    "gambling.name.ending": (
        0.25,
        (
            rf"{_BEFORE}{_LETTER}[a-z0-9\p{{Greek}}\p{{Cyrillic}}]{{2,11}}"
            rf"{_WEAK}{_END_DIGITS}{_AFTER}"
        ),
    ),
    "gambling.name.boxed": (
        0.35,
        r"(?:(?:[\[({]|【)\p{L}(?:[\])}]|】) ?){2,12}(?:(?:[\[({]|【)\d(?:[\])}]|】) ?){1,3}(?:[\])}]|】)?",
    ),
    "gambling.name.pieces": (
        0.35,
        (
            r"(?<![\p{L}\p{M}\p{N}])(?:[a-z0-4]{1,8}[ /|_-]{1,2}){1,6}"
            r"(?:h[o0][ -]?k[i1]"
            r"|(?:7[ /.|_-]{0,2}7|8[ /.|_-]{0,2}8|9[ /.|_-]{0,2}9)(?:[ /.|_-]{0,2}[789])?"
            r"|t[o0] ?g ?e ?l|t ?o ?t ?o|[wu]? ?w [i1] ?n|wi n|(?:tujuh ?){2,3})"
            r"(?: ?[789]){0,3}(?!\p{N})"
        ),
    ),
    "gambling.name.split": (
        0.4,
        (
            r"(?<![\p{L}\p{M}\p{N}])[a-z]{1,8}[/|]?[a-z]{2,10}"
            r"(?: ?(?:7[/|.-]7(?:[/|.-]?7)?|77[/|.-]7|8[/|.-]8(?:[/|.-]?8)?|88[/|.-]8|9[/|.-]9)"
            r"|7 7 7|8 8 8|@(?:\d)\d\d)(?!\p{N})"
        ),
    ),
}
"""Shapes of site names over folded text: id to weight and expression.

A shape alone is never enough: people are called `mike77`, modules `bcm4311`.
"""

_APART: Final = frozenset(
    {"gambling.name.pieces", "gambling.name.draw_apart", "gambling.name.lucky_apart"}
)

_CAPITALISED: Final = regex.compile(
    r"(?<![A-Za-z])[A-Z][A-Za-z]{0,7}(?:[ /|_-]{1,2}[A-Za-z]{1,5}){0,4}?"
    r"[ /|_-]{1,2}[A-Z0-9][\w /|_-]*$",
)
_CAPITAL: Final = regex.compile(r"(?<![A-Za-z])[A-Z]")
_GLUED: Final = regex.compile(
    r"(?:di|ke|dari|sama|main|liat|buka|bareng|situs)(?=[A-Z]|[^\x00-\x7f])",
)

# Words that ordinary text joins to a number, or that end like a site's name.
_ORDINARY: Final = frozenset(
    (
        "blok blk jalan jln lorong lrg seksyen taman bandar kelas bilik bas bus tel fax ext "
        "psl rtm lot unit aras rm rp usd sgd idr myr km kg ml cm mm psi pt form bab level lvl "
        "gate area route hwy sha utf iso ipv hdmi vol page hal psalm kode kod covid abc room "
        "grup group team class no nombor nomor umur tahun jam tgl pukul amd intel darwin "
        "erwin edwin irwin cherwin twin godwin baldwin goodwin kahwin berkahwin dikahwin "
        "mengahwin throwin followin growin showin blowin alphabet tibet debet autodebet "
        "elizabet sherbet ngebet lebet robet kalebet dilebet sabet gobet display gameplay "
        "replay airplay cosplay carplay roleplay autoplay ngeplay foreplay wordplay byplay "
        "misplay downplay teleplay topspin backspin timeslot googleplay"
    ).split(),
)
_PLACE: Final = regex.compile(
    r"(?:^|[^\p{L}])(?P<at>di|d|ke|dari|dr|sama|ama|bareng|lewat|situs|web|bo|agen|bandar|link|login|daftar|"
    r"join|main|maen|mainin|pakai|pake|kat|dekat|dgn|dengan|google|cari|ketik|coba|cobain|"
    r"makasih|makasi|kasih|berkat|percaya|at|on|在|到|上|来|來)[^\p{L}\p{N}]{0,6}$",
)
_MARKS: Final = r"(?:[\p{So}*{}\[\]【】«»→←░█✯~|]|\p{Extended_Pictographic})"
_LOOSE: Final = r"[\s\p{M}\p{Cf}\p{Variation_Selector}!.*]{0,3}"
_FRAME: Final = regex.compile(rf"{_MARKS}{_LOOSE}$")
_FRAME_AFTER: Final = regex.compile(rf"{_LOOSE}{_MARKS}")
_WORDS: Final = regex.compile(r"[\p{L}\p{M}\p{N}\p{So}\p{Cf}\p{Variation_Selector}]+")

_GROUND: Final = {
    "name": "a name in the shape of a betting site",
    "disguise": "disguised letters",
    "capitals": "a name in capitals",
    "frame": "a name set off by symbols",
    "place": "a place to play at",
    "game": "a gambling game",
    "bonus": "a bonus or deposit offer",
    "win": "a winning claim",
    "call": "a call to act",
    "play": "an invitation to play",
    "contact": "a contact",
    "site": "talk of a site or agent",
    "praise": "praise",
    "wording": "wording as in known promotions",
}
_PRODUCTS: Final = frozenset({"slots", "casino", "sports", "lottery"})


class GamblingPromotion:
    """Find promotion of gambling: sites, casinos, slots, betting, lottery numbers for sale.

    Promotion, not mention: complaints about adverts, news, warnings, people who quit, licensed
    lotteries and a *slot* that is booked or parked in count against it. Malay, Indonesian, English,
    Chinese, Tamil.

    Misses: praise of a name without the shape of a site; a bare name with nothing around it;
    adverts in pictures, behind links or in an author's own name; names spelled with symbols that
    folding does not read.
    """

    name: Final = "gambling_promotion"
    labels: Final = frozenset({LABEL})

    def __init__(self) -> None:
        """Load the shipped lexicon.

        Raises:
            DocumentError: if it is malformed.
        """
        self._lexicon = Lexicon.shipped("gambling")
        self.lexicons = (self._lexicon,)
        self._wording = Wording("gambling", LABEL, LEAST_SCORE)
        self.version = f"2+{self._lexicon.digest}+{self._wording.version}"
        shapes = tuple(Pattern(id_, expression) for id_, (_, expression) in SHAPES.items())
        words = self._lexicon.patterns(
            lambda term: term.group in CORE and term.weight >= LEAST_CORE
        )
        self.patterns: tuple[Pattern, ...] = (*words, *shapes)
        # The last part of a term's id is, of some, the product.
        self._products = [
            (product, regex.compile(term.pattern.expression))
            for term in self._lexicon.terms.values()
            if (product := term.id.rsplit(".", 1)[-1]) in _PRODUCTS
        ]

    @property
    def least_reach(self) -> float:
        """What terms have to add up to in a text that was not chosen by its wording."""
        return self._wording.least_terms

    def reach(self, ids: AbstractSet[str], *, is_disguised: bool) -> float:
        """Return what a name and the heaviest words could add up to."""
        named = [SHAPES[id_][0] for id_ in ids if id_ in SHAPES]
        hidden = max(DISGUISE_WEIGHT, _UNNAMED_WEIGHT) if is_disguised else 0.0
        most = max(named) + _MOST_ABOUT_A_NAME if named else 0.0
        words = reach(self._lexicon.terms[id_] for id_ in ids if id_ not in SHAPES)
        return words + most + hidden

    def opens(self, texts: FoldedBatch) -> Sequence[int]:
        """Choose the texts to be read closely."""
        return self._wording.opens(texts)

    def reads(self, texts: FoldedBatch) -> Mapping[int, float]:
        """Choose the texts that read like promotions, and say what terms have to add."""
        return self._wording.wanting(texts)

    def terms(self, candidate: Candidate) -> float:
        """Return the sum of the terms, without wording; -1..2."""
        return summed(self._evidence(candidate))

    def scan(self, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Finding]]:
        """Yield one finding for each candidate that scores at least `LEAST_SCORE`."""
        margins = self._wording.margins([candidate.folded for candidate in candidates])
        for candidate, margin in zip(candidates, margins, strict=True):
            terms = self._evidence(candidate)
            score, evidence = self._wording.join(candidate.folded, margin, terms)
            if score:
                yield candidate, self._finding(candidate, evidence, score)

    def _evidence(self, candidate: Candidate) -> tuple[Evidence, ...]:
        words = self._lexicon.weigh(candidate, LABEL)
        named = _name(candidate)
        supporting = [e for e in words if e.weight > 0]
        hidden = () if named else _disguised(candidate, supporting)
        return tuple(sorted((*named, *hidden, *words), key=lambda e: (e.start, e.end, e.term)))

    def _finding(
        self, candidate: Candidate, evidence: tuple[Evidence, ...], score: float
    ) -> Finding:
        start, end = span([e for e in evidence if e.weight > 0])
        grounds = dict.fromkeys(self._group(e) for e in evidence if e.weight > 0)
        against = any(e.weight < 0 for e in evidence)
        reason = "promotes gambling: " + ", ".join(_GROUND[g] for g in grounds)
        reason += self._wording.concepts(candidate.folded, evidence)
        product = self._product(candidate)
        return Finding(
            detector=self.name,
            version=self.version,
            label=LABEL,
            score=score,
            start=start,
            end=end,
            reason=reason + (", against signs of a mere mention" if against else ""),
            evidence=evidence,
            attributes={**({"product": product} if product else {}), **ways(candidate.folded)},
        )

    def _product(self, candidate: Candidate) -> str | None:
        """Return what is first named of slots, casino, sports and lottery, also where it adds no weight."""
        views = (candidate.folded.text, candidate.folded.squeezed or "")
        found = [
            (hit.start(), product)
            for product, expression in self._products
            for view in views
            if (hit := expression.search(view, timeout=1.0))
        ]
        return min(found)[1] if found else None

    def _group(self, evidence: Evidence) -> str:
        term = self._lexicon.terms.get(evidence.term)
        return term.group if term else evidence.term.split(".")[1]


def _name(candidate: Candidate) -> tuple[Evidence, ...]:
    """Return the evidence of the most telling site name in the text, if there is one."""
    best: tuple[Evidence, ...] = ()
    shaped = (m for m in candidate.matches if m.pattern.id in SHAPES)
    for match in islice(shaped, _MOST_NAMES):
        if _is_ordinary(candidate, match):
            continue
        trimmed = _trimmed(candidate, match)
        if trimmed:
            found = tuple(_about_name(candidate, trimmed))
            if sum(e.weight for e in found) > sum(e.weight for e in best):
                best = found
    return best


def _is_ordinary(candidate: Candidate, match: Match) -> bool:
    """Say whether a word only looks like a name, or is a person spoken to (`ali77: hello`)."""
    text = candidate.event.text
    typed = text[match.start : match.end]
    first = not text[: match.start].strip() and typed.islower() and typed.isascii()
    addressed = first and text[match.end : match.end + 1] == ":"
    mailed = match.view == "squeezed" and "@" in text[match.start : match.end + 1]
    word = regex.sub(r"[\W\d_]+", "", fold(typed).text)
    return word in _ORDINARY or addressed or mailed


def _trimmed(candidate: Candidate, match: Match) -> Match | None:
    """Cut a match to the name itself; `None` where separate words only happen to look like one.

    `diGacor77` holds a preposition; of `dari Pu Lau 777` only the capitalised pieces are a name,
    and `it is 77` is none.
    """
    original = candidate.event.text[match.start : match.end]
    glued = _GLUED.match(original)
    start = match.start + (glued.end() if glued else 0)
    if match.pattern.id in _APART and original.isascii():
        pieces = _CAPITALISED.search(original[start - match.start :])
        if not pieces or len(_CAPITAL.findall(pieces[0])) == 1 or candidate.event.text.isupper():
            return None
        start += pieces.start()
    return msgspec.structs.replace(match, start=start)


def _about_name(candidate: Candidate, match: Match) -> Iterator[Evidence]:
    text = candidate.event.text
    yield Evidence(match.pattern.id, SHAPES[match.pattern.id][0], match.start, match.end)
    share = _disguise(candidate, match)
    if share:
        weight = _DISGUISED_THROUGHOUT if _is_fancy(candidate) else DISGUISE_WEIGHT * share
        run = _run(text, match.start, match.end)
        yield Evidence("gambling.disguise", round(weight, 4), *run)
    elif _stands_out(candidate, match):
        yield Evidence("gambling.capitals", 0.1, match.start, match.end)
    earlier = text[max(0, match.start - 24) : match.start]
    later = text[match.end : match.end + 8]
    if _FRAME.search(earlier) and _FRAME_AFTER.match(later):
        yield Evidence("gambling.frame", 0.2, match.start, match.end)
    folded = fold(earlier)
    place = _PLACE.search(folded.text)
    if place:
        start, end = folded.span(*place.span("at"))
        offset = match.start - len(earlier)
        yield Evidence("gambling.place", 0.2, start + offset, end + offset)


def _stands_out(candidate: Candidate, match: Match) -> bool:
    """Say whether a name is in capitals and its text is not; so is hardware (`AMD64`)."""
    text = candidate.event.text
    typed = text[match.start : match.end]
    return typed.isupper() and not text.isupper() and match.pattern.id != "gambling.name.number"


def _disguise(candidate: Candidate, match: Match) -> float:
    """Return how much of a match is not typed as it reads, 0..1."""
    original = candidate.event.text[match.start : match.end]
    if match.pattern.id == "gambling.name.boxed":
        return 1.0
    if original.isascii():
        apart = any(not c.isalnum() for c in original)
        return (1.0 if apart else _LEET) if match.view == "squeezed" else fold(original).obfuscation
    read = [c for c in original if (f := fold(c).text).isascii() and f.isalnum()]
    styled = sum(not c.isascii() for c in read)
    marked = fold(original).obfuscation * len(read)
    return round(min(1.0, max(styled, marked) / max(1.0, _MOST * len(read))), 4)


def _is_fancy(candidate: Candidate) -> bool:
    """Say whether the whole text is in fancy letters."""
    words = len(_WORDS.findall(candidate.event.text))
    return words > _FEW_WORDS and candidate.folded.obfuscation > _FANCY


def _disguised(candidate: Candidate, words: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return disguise as evidence where no name is: of a telling word, or of one word of many."""
    if not words:
        return ()
    text = candidate.event.text
    telling = {(e.term, e.start, e.end) for e in words}
    for match in candidate.matches:
        share = _disguise(candidate, match)
        if share and (match.pattern.id, match.start, match.end) in telling:
            weight = _DISGUISED_THROUGHOUT if _is_fancy(candidate) else DISGUISE_WEIGHT * share
            run = _run(text, match.start, match.end)
            return (Evidence("gambling.disguise", round(weight, 4), *run),)
    if not 0.0 < candidate.folded.obfuscation < _MOST:
        return ()
    hidden = (w for w in _WORDS.finditer(text) if len(w[0]) > _FEW_WORDS and _is_hidden(w[0]))
    word = next(hidden, None)
    if word is None:
        return ()
    return (Evidence("gambling.disguise", _UNNAMED_WEIGHT, *_run(text, *word.span())),)


def _is_hidden(word: str) -> bool:
    """Say whether most of a word is disguised."""
    return not word.isascii() and fold(word).obfuscation >= _MOST


def _run(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span to the neighbouring words that are disguised too."""
    for word in _WORDS.finditer(text, end, end + _REACH):
        if text[end : word.start()].strip() or not _is_hidden(word[0]):
            break
        end = word.end()
    for word in reversed(list(_WORDS.finditer(text, max(0, start - _REACH), start))):
        if text[word.end() : start].strip() or not _is_hidden(word[0]):
            break
        start = word.start()
    return start, end
