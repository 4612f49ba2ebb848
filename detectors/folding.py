"""Folding: the text as a reader sees it, and the way back to what was typed.

Promoters write `𝐌𝐀𝐗𝐖𝐈𝐍`, `mаxwin` with a Cyrillic а, `m a x w i n` or `m4xw1n`; all read "maxwin".
Detectors match on folded text and report spans of the original, so every fold can be undone
position by position.

Two views:

* **folded**: one character at a time. Compatibility forms (NFKD), enclosed and small-capital
  letters, look-alikes from Cyrillic, Greek, Cherokee, Armenian, Coptic and Lisu (Unicode TR39),
  case; the digits of every script become ASCII; marks on Latin letters and invisible characters go,
  every kind of white space and control becomes a blank. Tamil, Chinese, Arabic, Thai and emoji keep
  their letters; composed signs come apart (Tamil ோ is two code points, as NFKD writes it), so that
  both ways of typing them are one. Expressions are written that way.
* **squeezed**: for texts that look disguised. Blanks, dots and dashes between single letters go,
  digits inside words become letters. Only such texts get it, because in ordinary Malay `x` is *tak*
  and `2` doubles a word.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, overload

import regex
from confusable_homoglyphs import confusables

from detectors.pieces import Pieces, pieces

if TYPE_CHECKING:
    from detectors.reading import Features

_LOOK_ALIKE_SCRIPT: Final = regex.compile(
    r"[\p{Cyrillic}\p{Greek}\p{Cherokee}\p{Armenian}\p{Coptic}\p{Lisu}\p{Latin}\p{So}\p{Sm}--\p{ASCII}]",
    regex.V1,
)
# Marks that may sit on any letter; vowel signs of Tamil, Thai or Arabic have blocks of their own.
_MARK: Final = regex.compile(r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_INVISIBLE: Final = regex.compile(
    r"[\p{Cf}\p{Variation_Selector}\u115f\u1160\u17b4\u17b5\u3164\uffa0]"
)
_BLANK: Final = regex.compile(r"[\p{Z}\p{Cc}]")
_NAMED_LETTER: Final = regex.compile(
    r"(?:LATIN LETTER SMALL CAPITAL|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER"
    r"|CROSSED NEGATIVE SQUARED LATIN CAPITAL LETTER|PARENTHESIZED LATIN (?:SMALL|CAPITAL) LETTER)"
    r" (?P<letter>[A-Z])",
)
_KEPT_LETTERS: Final = frozenset("ßæœøđłıþð")
"""European letters of their own standing: look-alike tables call some of them ASCII."""

_SPACED_RUN: Final = regex.compile(
    r"(?<![\p{L}\p{N}])[\p{L}\p{N}](?:[ .\-_*|/·•+~,]{1,3}[\p{L}\p{N}](?![\p{L}\p{N}\p{M}])){3,}",
)
# Scripts in which single letters apart are plain text or an alphabet lesson, never a disguise.
_UNSQUEEZED: Final = regex.compile(r"[\p{L}--\p{Latin}--\p{Cyrillic}--\p{Greek}]", regex.V1)
_MIXED_WORD: Final = regex.compile(r"(?<![\p{L}\p{N}@$!])[a-z0-9@$!]{4,}+(?![\p{L}\p{N}])")
# From the first letter (or one digit or `$` before it) to the last: `m4xw1n77!` reads "maxwin77!".
_MIXED_BODY: Final = regex.compile(r"(?:(?<![0-9@$!])[0-9$])?[a-z][a-z0-9@$!]*[a-z]")
_MIXED_INSIDE: Final = regex.compile(r"[a-z][0-9@$!]+[a-z]")
_LETTER_RUN: Final = regex.compile(
    r"(?<![\U0001f1e6-\U0001f1ff])(?:[\U0001f1e6-\U0001f1ff]{3,}"
    r"|[\U0001f1e6-\U0001f1ff](?: [\U0001f1e6-\U0001f1ff]){2,})(?![\U0001f1e6-\U0001f1ff])",
)
# Pairs shown as flags: ISO 3166-1 and what Unicode adds (AC CP CQ DG EA EU IC TA UN XK).
_FLAGS: Final = frozenset(
    (
        "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn "
        "bo bq br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cp cq cr cu cv cw cx cy "
        "cz de dg dj dk dm do dz ea ec ee eg eh er es et eu fi fj fk fm fo fr ga gb gd ge gf gg "
        "gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu ic id ie il im in io iq ir is "
        "it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc "
        "md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no "
        "np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd "
        "se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz ta tc td tf tg th tj tk tl tm tn to "
        "tr tt tv tw tz ua ug um un us uy uz va vc ve vg vi vn vu wf ws xk ye yt za zm zw"
    ).split()
)
DISGUISES: Final = (
    r"[\p{L}\p{N}](?:(?:[ ._*|/+~,]|-|·|•){1,3}[\p{L}\p{N}]){3}",
    r"[a-z][0-9@$!]+[a-z]",
    "|".join(map(chr, range(0x1F1E6, 0x1F200))),
)
"""Cheap expressions over folded text; one of them hits every text that has a squeezed view.

The pattern database looks for them, so that the views are made for few texts. Alternatives where a class
would do, because they are looked for byte by byte.
"""
_MAY_BE_DISGUISED: Final = re.compile(
    r"[^\W_][ .\-_*|/·•+~,]{1,3}[^\W_][ .\-_*|/·•+~,]{1,3}[^\W_](?![^\W_])"
    r"|[a-z][0-9@$!]+[a-z]|[\U0001f1e6-\U0001f1ff]"
)
"""In every text that has a squeezed view, and in few others; a quarter as slow as making sure."""
_GAP: Final = regex.compile(r"[^\p{L}\p{N}]+")
_LEET: Final = str.maketrans("013457@$!", "oieastasi")


def _look_alike(char: str) -> str:
    """Return the ASCII letter or digit that TR39 lists as looking like `char`, or `char` itself."""
    if char in _KEPT_LETTERS or not _LOOK_ALIKE_SCRIPT.fullmatch(char):
        return char
    for entry in confusables.confusables_data.get(char, ()):
        other: str = entry["c"]
        if len(other) == 1 and other.isascii() and other.isalnum():
            return other
    return char


def _fold_char(char: str) -> str:
    """Fold one character until folding changes nothing more, so that folding is idempotent."""
    seen = char
    while True:
        out = []
        named = _NAMED_LETTER.fullmatch(unicodedata.name(seen, "")) if len(seen) == 1 else None
        for c in named["letter"] if named else unicodedata.normalize("NFKD", seen):
            if _BLANK.fullmatch(c):
                out.append(" ")
            elif (digit := unicodedata.decimal(c, None)) is not None:
                out.append(str(digit))
            elif not (_INVISIBLE.fullmatch(c) or _MARK.fullmatch(c)):
                out.append(_look_alike(c).casefold())
        folded = "".join(out)
        if folded == seen:
            return folded
        seen = folded


_SURROGATES: Final = range(0xD800, 0xE000)


class _Table(dict[int, str]):
    """The translation table, filled as characters are met; `str.translate` does the rest in C."""

    def __missing__(self, code: int) -> str:
        folded = _fold_char(chr(code)) if code not in _SURROGATES else ""
        self[code] = folded
        return folded


_TABLE: Final = _Table()
for _code in range(128):
    _TABLE[_code]


class Folded:
    """One text with its folded views and the maps back. Offsets are code points."""

    __slots__ = ("__dict__", "features", "original", "text")

    def __init__(self, original: str, text: str) -> None:
        self.original = original
        self.text = text
        self.features: Features | None = None
        """What `detectors.reading` has read of it, if anybody asked."""

    def __reduce__(self) -> tuple[type["Folded"], tuple[str, str]]:
        """Give another process the texts; it makes of them what it needs."""
        return Folded, (self.original, self.text)

    @cached_property
    def _starts(self) -> tuple[int, ...] | None:
        """For each folded position the original one; `None` where they are the same."""
        if len(self.text) == len(self.original) and self.original.isascii():
            return None
        starts: list[int] = []
        for position, char in enumerate(self.original):
            starts.extend([position] * len(_TABLE[ord(char)]))
        starts.append(len(self.original))
        return tuple(starts)

    @cached_property
    def _squeeze(self) -> tuple[str, tuple[int, ...]]:
        return _squeeze(self.text)

    @property
    def squeezed(self) -> str | None:
        """The squeezed view, or `None` for a text that does not look disguised."""
        if not _MAY_BE_DISGUISED.search(self.text):
            return None
        text = self._squeeze[0]
        return None if text == self.text else text

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the folded text to the original; an empty span stays empty."""
        starts = self._starts
        if starts is None:
            return start, end
        if start >= end:
            return starts[start], starts[start]
        # What was removed after the last letter (a combining mark, a joiner) belongs to the span.
        last = starts[end - 1] + 1
        while last < len(self.original) and not _TABLE[ord(self.original[last])]:
            last += 1
        return starts[start], last

    def squeezed_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the squeezed text to the original."""
        starts = self._squeeze[1]
        if start >= end:
            return self.span(starts[start], starts[start])
        return self.span(starts[start], starts[end - 1] + 1)

    @cached_property
    def obfuscation(self) -> float:
        """The share of letters that were disguised, 0..1.

        Counts letters written in another script or style than their word reads in, letters with
        marks stacked on them, invisible characters inside words, and letters pulled apart. Accents,
        full-width forms of East Asian typing, superscript digits, flags and ordinary Cyrillic or
        Greek words do not.
        """
        return _obfuscation(self)


def _squeeze(text: str) -> tuple[str, tuple[int, ...]]:
    """Undo letters pulled apart, letter emoji, digits inside words; return the text and its map."""
    pieces: list[str] = []
    starts: list[int] = []
    position = 0

    def keep(until: int) -> None:
        nonlocal position
        pieces.append(text[position:until])
        starts.extend(range(position, until))
        position = until

    def put(char: str, at: int) -> None:
        pieces.append(char)
        starts.append(at)

    runs = sorted(
        [(*m.span(), "spaced") for m in _spaced_runs(text)]
        + [(*body, "mixed") for body in _mixed_words(text)]
        + [(*m.span(), "letters") for m in _letter_runs(text)]
    )
    for start, end, kind in runs:
        if start < position:
            continue
        keep(start)
        if kind == "mixed":
            for at in range(start, end):
                put(text[at].translate(_LEET), at)
        elif kind == "letters":
            for at in range(start, end):
                if text[at] != " ":
                    put(_indicated(text[at]), at)
        else:
            _put_spaced(text, start, end, put)
        position = end
    keep(len(text))
    starts.append(len(text))
    return "".join(pieces), tuple(starts)


def _put_spaced(text: str, start: int, end: int, put: Callable[[str, int], None]) -> None:
    """Join letters pulled apart; a separator longer than the usual one stands between words."""
    gaps = [(m.start(), m.end()) for m in _GAP.finditer(text, start, end)]
    usual = min(after - before for before, after in gaps)
    at = start
    for before, after in gaps:
        put(text[at], at)
        if after - before > usual:
            put(" ", before)
        at = after
    put(text[at], at)


def _spaced_runs(text: str) -> Iterator[regex.Match[str]]:
    """Yield the runs of four and more letters or digits pulled apart."""
    return (m for m in _SPACED_RUN.finditer(text) if not _UNSQUEEZED.search(m[0]))


def _mixed_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span, first to last letter, of each word with digits or signs between letters."""
    if not _MIXED_INSIDE.search(text):
        return
    for word in _MIXED_WORD.finditer(text):
        body = _MIXED_BODY.search(text, *word.span())
        if body and _MIXED_INSIDE.search(body[0]):
            yield body.span()


def _letter_runs(text: str) -> Iterator[regex.Match[str]]:
    """Yield the runs of regional indicators that spell a word, not a row of flags."""
    for run in _LETTER_RUN.finditer(text):
        letters = [_indicated(c) for c in run[0] if c != " "]
        pairs = {"".join(letters[at : at + 2]) for at in range(0, len(letters), 2)}
        if " " in run[0] or not pairs <= _FLAGS:
            yield run


def _indicated(char: str) -> str:
    """Return the letter of a regional indicator."""
    return chr(ord(char) - 0x1F1E6 + ord("a"))


# Letters that exist as ornament, not as spelling. Circled digits number lists; U+2139 is an emoji.
_STYLED: Final = regex.compile(
    r"[\U0001d400-\U0001d7ff\u249c-\u24e9\U0001f110-\U0001f189\u1d00-\u1d6a\u02b0-\u02b8\ua730-\ua731"
    r"\u0262\u026a\u0274\u0276\u0280\u028f\u0299\u029c\u029f\u2071\u207f\u2100-\u2138\u213a-\u214f]",
)
_WORD: Final = regex.compile(
    r"[\u249c-\u24e9\U0001f110-\U0001f189\p{L}\p{M}\p{N}\p{Cf}\p{Variation_Selector}]+",
)
_STYLED_WORD_LETTERS: Final = 3
"""Fewer styled letters are an ordinal or a sign (1ˢᵗ, a blood-type emoji), not a disguise."""


def _obfuscation(folded: Folded) -> float:
    runs = list(_spaced_runs(folded.text))
    indicated = list(_letter_runs(folded.text))
    if folded.original.isascii() and not runs:
        return 0.0
    disguised = letters = 0
    for word in _WORD.finditer(folded.original):
        found, count = _disguised(word[0])
        disguised += found
        letters += count
    for run in runs:
        # Digits apart are a score, a date or a count far more often than a disguise.
        if any(c.isalpha() for c in run[0]):
            disguised += sum(c.isalnum() for c in run[0])
    for run in indicated:
        count = len(run[0].replace(" ", ""))
        disguised += count
        letters += count
    return min(1.0, round(disguised / letters, 4)) if letters else 0.0


def _disguised(word: str) -> tuple[int, int]:
    """Count the disguised letters of a word, each once, and all its letters and digits."""
    latin = styled = foreign = touched = letters = 0
    # The letter before, composed with the marks that spelling puts on it; empty once it counted.
    held = ""
    hidden = False
    for c in word:
        if _MARK.fullmatch(c):
            whole = unicodedata.normalize("NFC", held + c) if held else ""
            touched += len(whole) > 1 and _reads_latin(held)
            held = whole if len(whole) == 1 else ""
            continue
        if _INVISIBLE.fullmatch(c):
            hidden = bool(held) and _reads_latin(held)
            continue
        letters += 1
        if c.isascii():
            latin += c.isalpha()
            touched += hidden and c.isalpha()
        elif _STYLED.fullmatch(c):
            styled += 1
        elif c.isalpha() and len(_TABLE[ord(c)]) == 1 and _reads_latin(c):
            foreign += not unicodedata.decomposition(c)
        held = c
        hidden = False
    if styled < _STYLED_WORD_LETTERS:
        styled = 0
    return min(letters, touched + styled + (foreign if latin else 0)), letters


def _reads_latin(char: str) -> bool:
    folded = _TABLE[ord(char)]
    return folded.isascii() and folded.isalpha()


class FoldedBatch(Sequence[Folded]):
    """Many folded texts; few are looked at closely, so what maps them back is made for those."""

    def __init__(self, originals: Sequence[str]) -> None:
        self._originals = originals
        self.texts = [_folded(text) for text in originals]
        self._made: dict[int, Folded] = {}
        self.opened: dict[str, list[int]] = {}
        """Which texts a model chose to read closely, by its digest and labels, if anybody asked."""

    @cached_property
    def pieces(self) -> Pieces:
        """The pieces of all texts, for whoever weighs wording."""
        return pieces(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, at: int) -> Folded: ...

    @overload
    def __getitem__(self, at: slice) -> list[Folded]: ...

    def __getitem__(self, at: int | slice) -> Folded | list[Folded]:
        if isinstance(at, slice):
            return [self[position] for position in range(*at.indices(len(self)))]
        made = self._made.get(at)
        if made is None:
            made = self._made[at] = Folded(self._originals[at], self.texts[at])
        return made


def _folded(text: str) -> str:
    # Of plain ASCII only the case changes, and a table costs eight times as much.
    return text.lower() if text.isascii() and text.isprintable() else text.translate(_TABLE)


def fold(text: str) -> Folded:
    """Fold one text. Never fails, whatever the text holds."""
    return Folded(text, _folded(text))


def fold_batch(texts: Iterable[str]) -> FoldedBatch:
    """Fold many texts, in order."""
    return FoldedBatch(list(texts))
