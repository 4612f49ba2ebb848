"""Spellings of a link's signs that keep it from being recognised, and the way back to what was typed.

People write `hxxp[:]//site[.]com`, `site dot com`, `site titik com`, `site点com`, `site&#46;com`,
`s i t e . c o m`, `bit . ly / x`. All of it is rewritten to plain dots and slashes before anything is
parsed, so that the grammar of links stays simple.
"""

import re
from collections.abc import Callable
from typing import Final

import regex

from detectors.folding import fold
from detectors.hosts import TOP_LEVEL

STRICT: Final = frozenset("com xyz biz icu cyou sbs cfd".split())
"""Suffixes that are no word of any language here: they make a name a link even after a stray dot."""
_FIRM: Final = STRICT | set("net org info vip cc cn co".split())
_COUNTRIES: Final = frozenset("my id sg cn hk tw in au uk br ph th vn".split())
_REGISTRIES: Final = frozenset("com co net org gov edu".split())
"""What a country's suffixes begin with: `com.my`."""

SHORT_LINKS: Final = (
    "bit.ly t.me wa.me m.me wasap.my wa.link telegram.me line.me lin.ee cutt.ly rb.gy is.gd ow.ly t.ly s.id "
    "tinyurl.com linktr.ee goo.gl"
).split()
"""Hosts so well known that they are recognised with blanks around their dot, before a slash."""
DOTLESS: Final = frozenset("bit.ly t.me wa.me wasap.my lin.ee cutt.ly".split())
"""Those recognised without their dot too: `t me / name`."""
_COMPACT: Final = {name.replace(".", ""): name for name in SHORT_LINKS}

DOT_WORDS: Final = ("dot", "titik", fold("புள்ளி").text)
"""How people say "dot", folded."""
_DOT: Final = "|".join(DOT_WORDS)
_SHORT: Final = "|".join(
    name.replace(".", r"(?:\ ?\.\ ?|\ dot\ " + (r"|\ )" if name in DOTLESS else ")"))
    for name in SHORT_LINKS
)
_EMOJI: Final = r"[\p{Extended_Pictographic}--[\u00a9\u00ae\u2122]]"
_END: Final = r"(?![a-z0-9-])"

_SPELLING: Final = regex.compile(
    rf"""
    (?P<scheme>(?:h(?:tt|xx|\*\*|__)ps?|ftp)
      (?:\ ?(?:\[:\]|:|&\#0*58;|&colon;|%3a)\ ?(?:/|\\|&\#0*47;|&sol;|%2f|\[/+\]){{1,3}}
        |\ ?\[://\]|//)
      \ ?(?=[\p{{L}}\p{{N}}\[]))
    | (?P<apart>(?<![^ ])(?:[a-z0-9-]\ ){{3,62}}\.\ ?
      (?:c\ ?o\ ?m|n\ ?e\ ?t|o\ ?r\ ?g|x\ ?y\ ?z|v\ ?i\ ?p)(?![^ ]))
    | (?P<short>(?<![a-z0-9.@'\u2019-])(?:{_SHORT})(?:\ ?/\ ?|\ slash\ )(?=[a-z0-9+~@]))
    | (?P<slash>\ slash\ (?=[a-z0-9]))
    | (?<=[\p{{L}}\p{{N}}])(?:
        (?P<bracketed>\ ?[\[({{<]\ ?(?:\.|{_DOT}|punto|点|點)\ ?[\])}}>]\ ?(?=[\p{{L}}\p{{N}}]))
      | (?P<entity>(?:&(?:\#0*46|\#x0*2e|period);|%2e)(?=[\p{{L}}\p{{N}}]))
      | (?P<sign>[。点點·•](?=(?:[a-z0-9-]{{1,63}}[。点點]){{0,4}}(?:{"|".join(sorted(_FIRM))}){_END}))
      | (?P<www>(?:\ ?\.\ |\ \.)(?<=\bwww\ ?\.\ ?)(?=[a-z0-9])|,(?=[a-z0-9])(?<=\bwww[^ ]{{0,80}}))
      | (?P<word>[\ -](?:{_DOT})[\ -](?=[a-z0-9])|\ dot(?=com{_END}))
      | (?P<blank>(?:\ \.\ ?|\.\ )(?=(?:{"|".join(sorted(_FIRM | _COUNTRIES))}){_END}))
      | (?P<emoji>\ ?(?:{_EMOJI}{{1,4}}\.?|\.{_EMOJI}{{1,4}})\ ?(?=(?:{"|".join(sorted(STRICT))}){_END}))
      )
    """,
    regex.VERBOSE | regex.V1,
)
_SHORT_ENDS: Final = "|".join(sorted({name.rpartition(".")[2] for name in SHORT_LINKS}))
_AFTER_DOT: Final = re.compile(
    rf"\.(?: (?:{'|'.join(sorted(_FIRM | _COUNTRIES))}|{_SHORT_ENDS})(?![a-z0-9])| ?[\])}}>]|[^\x00-\x7f]"
    rf"| ?(?:c ?o ?m|n ?e ?t|o ?r ?g|x ?y ?z|v ?i ?p)(?![^ ])(?<= [a-z])|(?:{_SHORT_ENDS})(?: ?/ | /))"
)
_ODD_HTTP: Final = re.compile(r"ttps?(?!s?://[^\s/])")
_ODD_FTP: Final = re.compile(r"ftp(?!://[^\s/])")
_ODD_HAN: Final = re.compile(
    rf"[。点點](?:[a-z0-9-]{{1,63}}[。点點]){{0,4}}(?:{'|'.join(sorted(_FIRM))})"
)
_ODD_EMOJI: Final = re.compile(rf"[^\x00-\x7f] ?\.?(?:{'|'.join(sorted(STRICT))})(?![a-z0-9-])")
_DOTLESS: Final = tuple(sorted(name.replace(".", " ") for name in DOTLESS))
_DOTLESS_SIGN: Final = re.compile("(?:" + "|".join(_DOTLESS) + r")(?: ?/| slash)")
_SURE: Final = re.compile("|".join(sorted(STRICT)))
_NAME_BEFORE: Final = regex.compile(
    rf"(?P<www>(?<![a-z0-9])www\ ?(?:\.|{_DOT})\ ?)?(?<![a-z0-9-])(?P<label>[a-z0-9-]{{1,63}})\Z"
)
_NAME_AFTER: Final = regex.compile(r"(?P<label>[a-z0-9-]+)(?P<slash>\ ?/|\ slash\ )?")
_SUFFIX_BEFORE: Final = regex.compile(rf"(?:\.|{_DOT})\ ?[a-z]{{2,12}}\Z")
_EVERYDAY: Final = frozenset(
    "the and any are every your our new old one this that some all with from for was has its into via "
    "big rom sit www yang dan itu ini ada".split(),
)
"""Words before "dot com" or ".com" that make it a mention of the suffix, not a name."""
_SHORTEST_NAME: Final = 3
_REACH: Final = 80
"""How far before a sign the name may begin."""
_BUSINESS: Final = regex.compile(
    r"com (?:bubble|boom|era|crash|bust|compan|business|startup|millionaire)"
)


class Respelled:
    """A text with plain signs, and where each of its characters stood."""

    __slots__ = ("_ends", "_starts", "text")

    def __init__(self, text: str, starts: list[int] | None, ends: list[int] | None) -> None:
        self.text = text
        self._starts = starts
        self._ends = ends

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span, not empty, to the text as it was."""
        if self._starts is None or self._ends is None:
            return start, end
        return self._starts[start], self._ends[end - 1]

    def is_verbatim(self, start: int, end: int) -> bool:
        """Tell whether nothing in a span was rewritten."""
        first, last = self.span(start, end)
        return last - first == end - start


def is_plain(text: str) -> bool:
    """Tell quickly that nothing in folded text needs to be written more plainly."""
    if "." in text and (" ." in text or "www. " in text or _AFTER_DOT.search(text)):
        return False
    # One character is found many times faster than a word or an expression.
    if "dot" in text or "titik" in text or "&" in text or "%" in text:
        return False
    if ("/" in text or ":" in text) and (_has_odd_scheme(text) or _has_dotless_name(text)):
        return False
    if "," in text and "www," in text:
        return False
    if " slash " in text:
        return False
    return text.isascii() or not _is_odd_beyond_ascii(text)


def _has_odd_scheme(text: str) -> bool:
    if "hxxp" in text or "h**p" in text or "h__p" in text:
        return True
    # An expression that begins with a string looks for that first, which is quick.
    return bool(_ODD_HTTP.search(text) or _ODD_FTP.search(text))


def _has_dotless_name(text: str) -> bool:
    for name in _DOTLESS:
        if name in text:
            return bool(_DOTLESS_SIGN.search(text))
    return False


def _is_odd_beyond_ascii(text: str) -> bool:
    if "·" in text or "•" in text or DOT_WORDS[-1] in text:
        return True
    if ("。" in text or "点" in text or "點" in text) and _ODD_HAN.search(text):
        return True
    return bool(_SURE.search(text) and _ODD_EMOJI.search(text))


def respelled(text: str) -> Respelled:
    """Return folded text with the signs of its links written plainly.

    Raises:
        TimeoutError: if that takes longer than a second.
    """
    if is_plain(text):
        return Respelled(text, None, None)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in _SPELLING.finditer(text, timeout=1.0):
        plain = _RULES[match.lastgroup or ""](text, match)
        if plain is None or plain == match[0]:
            continue
        start, end = match.span()
        pieces += (text[at:start], plain)
        starts += [*range(at, start), *([start] * len(plain))]
        ends += [*range(at + 1, start + 1), *([end] * len(plain))]
        at = end
    if not pieces:
        return Respelled(text, None, None)
    pieces.append(text[at:])
    starts += range(at, len(text))
    ends += range(at + 1, len(text) + 1)
    return Respelled("".join(pieces), starts, ends)


_Match = regex.Match[str]
_Rule = Callable[[str, _Match], str | None]


def _dot(_text: str, _match: _Match) -> str:
    return "."


def _scheme(text: str, match: _Match) -> str | None:
    start = match.start()
    if "%" in match[0] and start and text[start - 1] in "=/&?":
        # Inside another link's query, which stays as it is.
        return None
    return "ftp://" if match[0][0] == "f" else f"http{'s' * (match[0][4] == 's')}://"


def _apart(_text: str, match: _Match) -> str:
    return match[0].replace(" ", "")


def _short(_text: str, match: _Match) -> str:
    return _COMPACT[regex.sub(r"slash|dot|[ ./]", "", match[0])] + "/"


def _slash(text: str, match: _Match) -> str | None:
    start = match.start()
    return "/" if _SUFFIX_BEFORE.search(text[max(0, start - _REACH) : start]) else None


def _sign(text: str, match: _Match) -> str | None:
    before = _before(text, match)
    return "." if _is_name(before) or (before and before["label"] == "www") else None


def _word(text: str, match: _Match) -> str | None:
    """Decide on "dot" in words: mostly it is just that."""
    before, after = _before(text, match), _NAME_AFTER.match(text, match.end())
    if before is None or after is None or _BUSINESS.match(text, match.end()):
        return None
    label, suffix = before["label"], after["label"]
    is_plain = suffix in STRICT and _is_name(before)
    is_short_link = after["slash"] is not None and suffix in TOP_LEVEL
    is_host = is_plain or is_short_link or label == "www" or _is_told(before, suffix)
    return "." if is_host or (label in _REGISTRIES and suffix in _COUNTRIES) else None


def _blank(text: str, match: _Match) -> str | None:
    """Decide on a dot beside a blank: mostly it ends a sentence."""
    before, after = _before(text, match), _NAME_AFTER.match(text, match.end())
    if before is None or after is None:
        return None
    label, suffix = before["label"], after["label"]
    if suffix in STRICT:
        return "." if _is_name(before) else None
    is_apart = match[0] == " . "
    is_host = _is_told(before, suffix) or (label in _REGISTRIES and suffix in _COUNTRIES)
    return "." if is_apart and is_host else None


def _before(text: str, match: _Match) -> _Match | None:
    return _NAME_BEFORE.search(text[max(0, match.start() - _REACH) : match.start()])


def _is_name(before: _Match | None) -> bool:
    """Tell whether what stands before a sign can be a site's name."""
    return (
        before is not None
        and len(before["label"]) >= _SHORTEST_NAME
        and before["label"] not in _EVERYDAY
    )


def _is_told(before: _Match, suffix: str) -> bool:
    """Tell whether a name is one by itself, so that a suffix which is also a word may follow."""
    label = before["label"]
    is_odd = any(c.isdigit() or c == "-" for c in label) and any(c.isalpha() for c in label)
    return suffix in _FIRM and (before["www"] is not None or is_odd)


_RULES: Final[dict[str, _Rule]] = {
    "scheme": _scheme,
    "apart": _apart,
    "short": _short,
    "slash": _slash,
    "bracketed": _dot,
    "entity": _dot,
    "sign": _sign,
    "www": _dot,
    "word": _word,
    "blank": _blank,
    "emoji": _sign,
}
