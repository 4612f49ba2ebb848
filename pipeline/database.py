"""The pattern database: what all detectors look for, scanned once a batch.

An automaton finds, in a pass over a batch's bytes, where a pattern may match (`pipeline.automaton`). What is
left is confirmed on its own text with `regex`, which gives exact spans and Unicode semantics.

Two passes: one for the patterns of which a detector needs one (`Pattern.is_anchor`), over all texts; one for
the others, over the few texts in which an anchor was confirmed. Ordinary talk ends at the first.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import re2

from detectors.contract import Match, Pattern, View
from detectors.expressions import compiled
from detectors.folding import DISGUISES, Folded, FoldedBatch
from pipeline.automaton import Automaton, digest_of

if TYPE_CHECKING:
    import regex

EXPRESSION_SECONDS: Final = 0.05
"""The longest one expression may take on one text; longer, and the hit is given up and reported."""
MATCHES_PER_PATTERN: Final = 32
"""More repeats of one pattern in one text add work and no evidence."""
_REMEMBERED: Final = 65_536
_NOBODY: Final[Mapping[int, Mapping[int, float]]] = {}
_BY_NOBODY: Final[Mapping[int, float]] = {}
_UNANCHORED: Final = re2._re2.RE2.Anchor.UNANCHORED  # noqa: SLF001

_Found = list[tuple[int, View, int]]
"""Patterns that may match, in which view of the text, and from where on."""
Reach = Callable[[int, frozenset[int], bool], float]
"""The most that an owner could make of these patterns, if all match, in a text disguised or not."""


class Hits(msgspec.Struct, frozen=True):
    """What was found in one text, by pattern index: confirmed matches, what took too long, and hints."""

    matches: tuple[tuple[int, Match], ...] = ()
    overruns: tuple[int, ...] = ()
    hints: tuple[int, ...] = ()


class PatternDatabase:
    """All patterns in one automaton, with an optional cache on disk."""

    def __init__(
        self,
        patterns: Sequence[Pattern],
        cache: Path | None = None,
        owners: Sequence[int] = (),
        reach: Reach | None = None,
        least: Mapping[int, float] | None = None,
    ) -> None:
        """Compile, or load what was compiled before.

        `owners` tells, for each pattern, whose it is: one's other patterns are looked for where one of its
        anchors is. Left out, all are one owner's. `reach` tells the most that an owner could make of matches
        of some patterns; where it is less than `least` of that owner, they are not confirmed.

        Raises:
            PatternError: if an expression is not valid or matches the empty text.
        """
        self._patterns = tuple(patterns)
        self._owners = tuple(owners) or (0,) * len(patterns)
        self._reach = lru_cache(maxsize=_REMEMBERED)(reach) if reach else None
        self._least = least or {}
        self._first_disguise = len(patterns)
        expressions = (*(p.expression for p in patterns), *DISGUISES)
        self.digest = digest_of(
            expressions, [(p.is_anchor, p.is_hint, p.group, p.weight) for p in patterns]
        )
        anchors = [n for n, p in enumerate(patterns) if p.is_anchor]
        others = [n for n, p in enumerate(patterns) if not p.is_anchor]
        disguises = range(len(patterns), len(expressions))
        self._expressions = _Expressions(patterns)
        self._ranks = [(not p.is_anchor, -p.weight, n) for n, p in enumerate(patterns)]
        ids = {n: pattern.id for n, pattern in enumerate(patterns)}
        looked_for = {n: expressions[n] for n in (*anchors, *disguises)}
        self._anchors = Automaton.load(looked_for, ids, cache)
        looked_for = {n: expressions[n] for n in others}
        self._others = Automaton.load(looked_for, ids, cache) if others else None
        self._others_of = _OthersOf({n: self._owners[n] for n in others})
        self._doubts = _Doubts(
            self._anchors.wider | (self._others.wider if self._others is not None else {})
        )

    def scan(
        self, texts: Sequence[Folded], asked: Mapping[int, Mapping[int, float]] = _NOBODY
    ) -> dict[int, Hits]:
        """Return what is in each text, by its position; texts without an anchor are left out.

        Of a text, only patterns are looked for whose owner has an anchor in it, or has `asked` for it. An
        owner asks for what may reach as much as it says.
        """
        lines = texts.texts if isinstance(texts, FoldedBatch) else [f.text for f in texts]
        found: dict[int, _Found] = defaultdict(list)
        disguised = set()
        for position, pattern in self._anchors.find(lines):
            if pattern < self._first_disguise:
                found[position].append((pattern, "folded", 0))
            else:
                disguised.add(position)
        squeezed = {p: s for p in sorted(disguised) if (s := texts[p].squeezed) is not None}
        for index, pattern in self._anchors.find(list(squeezed.values())):
            if pattern < self._first_disguise:
                found[list(squeezed)[index]].append((pattern, "squeezed", 0))
        views = _Views(lines, squeezed)
        likely = {p: kept for p in sorted(found) if (kept := self._doubted(views, p, found[p]))}
        for position in asked:
            likely.setdefault(position, [])
        if self._others is not None:
            self._add_others(self._others, views, likely, asked)
        hits = {}
        for position, candidates in likely.items():
            by = asked.get(position, _BY_NOBODY)
            worthwhile = self._worthwhile(texts, views, position, candidates, by)
            if worthwhile:
                confirmed = self._confirmed(texts, views, position, worthwhile, by)
                if confirmed.matches or confirmed.overruns or confirmed.hints:
                    hits[position] = confirmed
        return hits

    def _doubted(self, views: "_Views", position: int, found: _Found) -> _Found:
        """Leave out what a wider form does not match; of the rest, say where that starts to match.

        An expression cannot match before its wider form does, and `regex` is quickest where it need not look.
        """
        kept: _Found = []
        for index, view, _ in found:
            doubt = self._doubts[index]
            if doubt is None:
                kept.append((index, view, 0))
                continue
            encoded = views.encoded(position, view)
            start = doubt.start(encoded)
            if start >= 0:
                is_ascii = len(encoded) == len(views.text(position, view))
                kept.append(
                    (
                        index,
                        view,
                        start if is_ascii else len(encoded[:start].decode(errors="ignore")),
                    )
                )
        return kept

    def _add_others(
        self,
        others: Automaton,
        views: "_Views",
        likely: dict[int, _Found],
        asked: Mapping[int, Mapping[int, float]],
    ) -> None:
        """Add what may support or speak against the anchors that were found."""
        wanted = {}
        for position, found in likely.items():
            owners = frozenset(self._owners[n] for n, *_ in found)
            others_too = self._others_of[owners.union(asked.get(position, ()))]
            if others_too:
                wanted[position] = others_too
        views_: tuple[View, View] = ("folded", "squeezed")
        for view in views_:
            positions = [p for p in wanted if view == "folded" or p in views.squeezed]
            lines = [views.text(p, view) for p in positions]
            also: dict[int, _Found] = defaultdict(list)
            for index, pattern in others.find(lines, [wanted[p] for p in positions]):
                also[positions[index]].append((pattern, view, 0))
            for position, found in also.items():
                likely[position] += self._doubted(views, position, found)

    def _worthwhile(
        self,
        texts: Sequence[Folded],
        views: "_Views",
        position: int,
        found: _Found,
        asked: Mapping[int, float],
    ) -> _Found:
        """Leave out what could come to nothing even if all of it matched."""
        if self._reach is None or not found:
            return found
        by_owner: dict[int, set[int]] = defaultdict(set)
        for index, *_ in found:
            by_owner[self._owners[index]].add(index)
        is_disguised = position in views.squeezed or not texts[position].original.isascii()
        kept = set()
        for owner, indexes in by_owner.items():
            least = asked.get(owner, self._least.get(owner, 0.0))
            if least <= 0 or self._reach(owner, frozenset(indexes), is_disguised) >= least:
                kept.add(owner)
        return [one for one in found if self._owners[one[0]] in kept]

    def _confirmed(
        self,
        texts: Sequence[Folded],
        views: "_Views",
        position: int,
        found: _Found,
        asked: Mapping[int, float],
    ) -> Hits:
        """Let `regex` decide: the anchors first, the heaviest of a group first."""
        matches: list[tuple[int, Match]] = []
        overruns: list[int] = []
        hints: list[int] = []
        anchored = set(asked)
        heaviest: dict[tuple[int, str], float] = {}
        for index, view, start in sorted(found, key=self._rank):
            pattern, owner = self._patterns[index], self._owners[index]
            group = owner, pattern.group
            if pattern.is_hint:
                hints.append(index)
                anchored.add(owner)
                continue
            if not pattern.is_anchor and owner not in anchored:
                continue
            if pattern.group and heaviest.get(group, 0.0) > pattern.weight:
                continue
            hits = self._hits(index, views.text(position, view), start)
            if hits is None:
                overruns.append(index)
            if hits is None or hits:
                anchored.add(owner)
            for hit in hits or ():
                heaviest[group] = pattern.weight
                matches.append((index, _match(pattern, texts[position], view, hit)))
        if len(matches) > 1:
            unique = {(n, m.start, m.end): (n, m) for n, m in reversed(matches)}
            matches = sorted(unique.values(), key=_place)
        return Hits(tuple(matches), tuple(dict.fromkeys(overruns)), tuple(hints))

    def _rank(self, found: tuple[int, View, int]) -> tuple[bool, float, int]:
        return self._ranks[found[0]]

    def _hits(self, index: int, text: str, start: int) -> "Sequence[regex.Match[str]] | None":
        """Return the first hits of an expression, or None if it takes too long, twice.

        The limit counts time on the wall, which also passes while a busy machine runs something else; the
        second, longer try keeps that from looking like a hostile text.
        """
        for seconds in (EXPRESSION_SECONDS, 5 * EXPRESSION_SECONDS):
            try:
                if self._patterns[index].group:
                    first = self._expressions[index].search(text, start, timeout=seconds)
                    return () if first is None else (first,)
                hits = self._expressions[index].finditer(text, start, timeout=seconds)
                return tuple(islice(hits, MATCHES_PER_PATTERN))
            except TimeoutError:
                continue
        return None


def _place(match: tuple[int, Match]) -> tuple[int, int, int]:
    return match[1].start, match[1].end, match[0]


def _match(pattern: Pattern, folded: Folded, view: View, hit: "regex.Match[str]") -> Match:
    to_original = folded.span if view == "folded" else folded.squeezed_span
    start, end = to_original(*hit.span())
    if not hit.re.groupindex:
        return Match(pattern, start, end, view)
    groups = {k: v for k, v in hit.groupdict().items() if v is not None}
    return Match(pattern, start, end, view, groups)


class _Views:
    """The folded and squeezed texts of a batch, as text and as bytes."""

    def __init__(self, lines: Sequence[str], squeezed: Mapping[int, str]) -> None:
        self.lines = lines
        self.squeezed = squeezed
        self._encoded: dict[tuple[int, View], bytes] = {}

    def text(self, position: int, view: View) -> str:
        return self.lines[position] if view == "folded" else self.squeezed[position]

    def encoded(self, position: int, view: View) -> bytes:
        held = self._encoded.get((position, view))
        if held is None:
            held = self._encoded[position, view] = self.text(position, view).encode()
        return held


class _Expressions(dict[int, "regex.Pattern[str]"]):
    """The expressions of patterns, compiled when first needed: most never are."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        super().__init__()
        self._patterns = patterns

    def __missing__(self, index: int) -> "regex.Pattern[str]":
        self[index] = compiled(self._patterns[index].expression)
        return self[index]


class _Doubt:
    """A wider form of an expression, over bytes, for RE2."""

    __slots__ = ("_match",)

    def __init__(self, wider: bytes, options: Any) -> None:  # noqa: ANN401  # RE2 has no types
        # What `re2.compile` wraps; the wrapper costs as much again.
        self._match = re2.compile(wider, options)._regexp.Match  # noqa: SLF001

    def start(self, text: bytes) -> int:
        """Return where the first match starts, -1 if there is none."""
        spans: list[tuple[int, int]] = self._match(_UNANCHORED, text, 0, len(text))
        return spans[0][0]


class _Doubts(dict[int, _Doubt | None]):
    """A wider form of each expression; made when first needed, None where there is none.

    RE2 costs a tenth of `regex`, and turns away most of what the automaton lets through.
    """

    def __init__(self, wider: Mapping[int, bytes]) -> None:
        super().__init__()
        self._wider = wider
        self._options = re2.Options()
        self._options.encoding = re2.Options.Encoding.LATIN1
        self._options.never_capture = True
        self._options.log_errors = False

    def __missing__(self, index: int) -> _Doubt | None:
        wider = self._wider.get(index)
        try:
            self[index] = None if wider is None else _Doubt(wider, self._options)
        except re2.error:
            self[index] = None
        return self[index]


class _OthersOf(dict[frozenset[int], frozenset[int]]):
    """The patterns that are no anchors, by the set of their owners; filled as such sets are met."""

    def __init__(self, owners: Mapping[int, int]) -> None:
        super().__init__()
        self._owners = owners

    def __missing__(self, met: frozenset[int]) -> frozenset[int]:
        self[met] = frozenset(n for n, owner in self._owners.items() if owner in met)
        return self[met]
