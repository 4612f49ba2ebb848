"""Lexicons: terms as data, each with the examples that keep it honest.

A term names what it looks for, how much it weighs, and which sentences it must fire on and must stay silent
on. A lexicon with a term that misses its own examples is refused, with the line, so that an analyst can
edit a file without reading code and without breaking detection. Whoever loads a detector sees to that; one
that has passed is not checked again until it changes.

Scores are sums. Terms belong to groups (`bonus`, `call_to_action`, ...); of each group only the heaviest
term that fired counts, once, so that ten synonyms weigh no more than one. The sum of the groups, cut to 0..1,
is the score.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import msgspec
import regex

import detectors.folding
from detectors.contract import Candidate, Match, Pattern
from detectors.expressions import ExpressionError, compiled
from detectors.folding import fold
from schemas import Evidence
from schemas.document import Document, DocumentError

# Scripts written without blanks: a term is found inside a longer run of letters there.
_UNSPACED: Final = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Khmer}\p{Lao}\p{Myanmar}]"
)
# A blank with its repeat; escapes and classes are skipped over.
_BLANK: Final = regex.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]| (?:[?*+]|\{[\d,]+\})*")
_INSIDE_WORD: Final = r"[\p{L}\p{M}\p{N}]"


class Term(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One row of a lexicon.

    Exactly one of `any` and `expression` says what to look for: `any` lists literal wordings, matched whole
    words with any white space between them; `expression` is a regular expression over folded text.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")]
    label: str
    group: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    weight: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
    language: Annotated[str, msgspec.Meta(pattern=r"^([a-z]{2,3}|und)$")]
    any: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...] = ()
    expression: str = ""
    note: str = ""
    fires: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    silent: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]

    @cached_property
    def pattern(self) -> Pattern:
        """The term as one expression over folded text.

        Folding takes composed letters apart, Tamil vowel signs too, and so is the expression.
        """
        expression = unicodedata.normalize("NFD", _spaced(self.expression))
        return Pattern(self.id, expression or _literals(self.any))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    terms: tuple[Term, ...]


class Lexicon:
    """The terms of one family."""

    def __init__(self, documents: Iterable[Document]) -> None:
        """Read them; `check` holds them against their own examples.

        Raises:
            DocumentError: at the first term that is malformed or declared twice.
        """
        self.terms: dict[str, Term] = {}
        self._places: dict[str, tuple[Document, int]] = {}
        for document in documents:
            for index, term in enumerate(document.to(_File).terms):
                if term.id in self.terms:
                    raise document.error(
                        ("terms", index, "id"), f"term `{term.id}` is declared twice"
                    )
                self.terms[term.id] = term
                self._places[term.id] = document, index

    def check(self) -> None:
        """Hold every term against its own examples.

        Raises:
            DocumentError: at the first term that cannot be looked for, misses one of its `fires` or hits one
                of its `silent` examples.
        """
        for id_, term in self.terms.items():
            _check(*self._places[id_], term)

    @property
    def proof(self) -> str:
        """Stands for all that `check` depends on: what passed it once need not pass it again."""
        content = hashlib.sha256(f"{version('regex')} {unicodedata.unidata_version}".encode())
        for path in (__file__, detectors.folding.__file__):
            content.update(Path(str(path)).read_bytes())
        content.update(self._encoded())
        return content.hexdigest()[:32]

    def _encoded(self) -> bytes:
        return msgspec.json.encode(list(self.terms.values()), order="deterministic")

    @classmethod
    def shipped(cls, family: str) -> "Lexicon":
        """Load `detectors/lexicons/<family>*.toml`.

        Raises:
            DocumentError: as the constructor does.
        """
        folder = Path(str(resources.files("detectors") / "lexicons"))
        paths = sorted(folder.glob(f"{family}*.toml"))
        if not paths:
            raise DocumentError(str(folder / f"{family}.toml"), 0, "no such lexicon")
        return cls(Document.read(path) for path in paths)

    @property
    def digest(self) -> str:
        """Changes whenever a term does: the part of a detector's version that analysts edit."""
        return hashlib.sha256(self._encoded()).hexdigest()[:8]

    def patterns(self, is_anchor: Callable[[Term], bool]) -> tuple[Pattern, ...]:
        """Return what to look for, one pattern a term, with the term's id; `is_anchor` tells the anchors."""
        return tuple(
            msgspec.structs.replace(
                term.pattern,
                is_anchor=is_anchor(term),
                group=f"{term.label}/{term.group}",
                weight=abs(term.weight),
            )
            for term in self.terms.values()
        )

    def weigh(self, candidate: Candidate, label: str) -> tuple[Evidence, ...]:
        """Pick, of each group of `label`, the heaviest term that fired, in order of the text.

        At equal weight the earlier match counts.
        """
        best: dict[str, tuple[Term, Match]] = {}
        for match in candidate.matches:
            term = self.terms.get(match.pattern.id)
            if term is None or term.label != label:
                continue
            held = best.get(term.group)
            if held is None or abs(term.weight) > abs(held[0].weight):
                best[term.group] = (term, match)
        picked = sorted(best.values(), key=lambda item: item[1].start)
        return tuple(Evidence(t.id, t.weight, m.start, m.end) for t, m in picked)


def summed(evidence: Iterable[Evidence]) -> float:
    """Add up weights, to four decimals."""
    return round(sum(e.weight for e in evidence), 4)


def total(evidence: Iterable[Evidence]) -> float:
    """Add up weights, cut to 0..1, to four decimals."""
    return min(1.0, max(0.0, summed(evidence)))


def reach(terms: Iterable[Term]) -> float:
    """Return the most that these terms could score: the heaviest of each label's groups, added up."""
    heaviest: dict[tuple[str, str], float] = {}
    for term in terms:
        group = term.label, term.group
        heaviest[group] = max(heaviest.get(group, 0.0), term.weight)
    return round(sum(heaviest.values()), 4)


def span(evidence: Sequence[Evidence]) -> tuple[int, int]:
    """Return the smallest span of the original text that holds every placed piece of evidence."""
    placed = [e for e in evidence if e.end > e.start]
    if not placed:
        return 0, 0
    return min(e.start for e in placed), max(e.end for e in placed)


def _spaced(expression: str) -> str:
    """Let every blank of an expression stand for a run of them: two blanks must not hide a scam."""
    return _BLANK.sub(
        lambda found: {" ": " +", " ?": " *"}.get(found[0], found[0]),
        expression,
    )


def _literals(wordings: Sequence[str]) -> str:
    """Build one expression for literal wordings: whole words, any white space in between."""
    return "|".join(_literal(w) for w in sorted(wordings, key=len, reverse=True))


def _literal(wording: str) -> str:
    folded = fold(wording).text.strip()
    body = r"\s+".join(regex.escape(word, special_only=True) for word in folded.split())
    before = rf"(?<!{_INSIDE_WORD})" if _is_word(folded[:1]) else ""
    after = rf"(?!{_INSIDE_WORD})" if _is_word(folded[-1:]) else ""
    return before + body + after


def _is_word(char: str) -> bool:
    return bool(regex.match(_INSIDE_WORD, char)) and not _UNSPACED.match(char)


def _check(document: Document, index: int, term: Term) -> None:
    here = ("terms", index)
    if bool(term.any) == bool(term.expression):
        raise document.error(
            (*here, "id"), f"term `{term.id}` needs either `any` or `expression`, not both"
        )
    for position, wording in enumerate(term.any):
        if not fold(wording).text.strip():
            raise document.error(
                (*here, "any", position), f"term `{term.id}`: nothing left of the wording"
            )
    try:
        expression = compiled(term.pattern.expression)
    except ExpressionError as error:
        raise document.error((*here, "expression"), f"term `{term.id}` {error}") from None
    for name, examples, wanted, problem in (
        ("fires", term.fires, True, "does not fire on its own example"),
        ("silent", term.silent, False, "fires on its own counter-example"),
    ):
        for position, example in enumerate(examples):
            folded = fold(example)
            views = (folded.text, folded.squeezed or "")
            if any(expression.search(view) for view in views) is not wanted:
                raise document.error((*here, name, position), f"term `{term.id}` {problem}")
