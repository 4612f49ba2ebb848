"""The pattern database: what all detectors look for, scanned once a batch.

Hyperscan finds, in a pass over a batch's bytes, strings without which a pattern cannot match
(`pipeline.factors`) and, where an expression has none, a wider form of the expression (`pipeline.prefilter`).
What is left is confirmed on its own text with `regex`, which gives exact spans and Unicode semantics.

Two passes: one for the patterns of which a detector needs one (`Pattern.is_anchor`), over all texts; one for
the others, over the few texts in which an anchor was confirmed. Ordinary talk ends at the first.
"""

import hashlib
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

import hyperscan
import msgspec
import regex

import pipeline.factors
import pipeline.prefilter
from detectors.contract import Match, Pattern, View
from detectors.folding import DISGUISES, Folded, FoldedBatch
from pipeline.factors import DIGIT, requirements
from pipeline.prefilter import EDGE, UnsupportedError, escaped, prefilter, without_edges

EXPRESSION_SECONDS: Final = 0.05
"""The longest one expression may take on one text; longer, and the hit is given up and reported."""
MATCHES_PER_PATTERN: Final = 32
"""More repeats of one pattern in one text add work and no evidence."""

_MAGIC: Final = b"penjaga-patterns-2\n"
_NOT_ADJOINING: Final = b"[^a-z0-9]"

_Add = Callable[[tuple[int, int]], None]


class PatternError(ValueError):
    """An expression that cannot be used: whose, which, and why."""


class Hits(msgspec.Struct, frozen=True):
    """What was found in one text, by pattern index: confirmed matches, what took too long, and hints."""

    matches: tuple[tuple[int, Match], ...] = ()
    overruns: tuple[int, ...] = ()
    hints: tuple[int, ...] = ()


class _Plan(msgspec.Struct, frozen=True):
    """How the patterns of one pass are looked for.

    `strings`: what Hyperscan's matcher of literals finds, each with the `alternatives` it may complete.
    `alternatives`: of which pattern, and the clauses that the text must hold besides.
    `composed`: wider forms, each of one pattern. `everywhere`: patterns to try on every text.
    """

    strings: list[tuple[bytes, tuple[int, ...]]]
    alternatives: list[tuple[int, tuple[int, ...]]]
    clauses: list[tuple[bytes, ...]]
    composed: list[tuple[bytes, int]]
    everywhere: tuple[int, ...]


class PatternDatabase:
    """All patterns in one automaton, with an optional cache on disk."""

    def __init__(
        self, patterns: Sequence[Pattern], cache: Path | None = None, owners: Sequence[int] = ()
    ) -> None:
        """Compile, or load what was compiled before.

        `owners` tells, for each pattern, whose it is: one's other patterns are looked for where one of its
        anchors is. Left out, all are one owner's.

        Raises:
            PatternError: if an expression is not valid or matches the empty text.
        """
        self._patterns = tuple(patterns)
        self._owners = tuple(owners) or (0,) * len(patterns)
        self._first_disguise = len(patterns)
        expressions = (*(p.expression for p in patterns), *DISGUISES)
        self.digest = _digest(expressions, [p.is_anchor for p in patterns])
        anchors = [n for n, p in enumerate(patterns) if p.is_anchor]
        others = [n for n, p in enumerate(patterns) if not p.is_anchor]
        disguises = range(len(patterns), len(expressions))
        self._expressions = [_compiled(pattern) for pattern in patterns]
        self._anchors = _Pass.load(expressions, [*anchors, *disguises], patterns, cache)
        self._others = _Pass.load(expressions, others, patterns, cache) if others else None
        self._others_of = _OthersOf({n: self._owners[n] for n in others})

    def scan(self, texts: Sequence[Folded]) -> dict[int, Hits]:
        """Return what is in each text, by its position; texts without an anchor are left out.

        Of a text, only patterns are looked for whose owner has an anchor in it.
        """
        lines = texts.texts if isinstance(texts, FoldedBatch) else [f.text for f in texts]
        found: dict[int, list[tuple[int, View]]] = defaultdict(list)
        disguised = set()
        for position, pattern in self._anchors.find(lines):
            if pattern < self._first_disguise:
                found[position].append((pattern, "folded"))
            else:
                disguised.add(position)
        squeezed = {p: s for p in sorted(disguised) if (s := texts[p].squeezed) is not None}
        again = self._anchors.find(list(squeezed.values()))
        again = [(index, pattern) for index, pattern in again if pattern < self._first_disguise]
        _add(found, again, list(squeezed), "squeezed")
        hits = {p: self._confirm(texts[p], found[p]) for p in sorted(found)}
        hits = {p: h for p, h in hits.items() if h.matches or h.overruns or h.hints}
        if self._others is not None:
            self._add_others(self._others, texts, hits, squeezed)
        return hits

    def _add_others(
        self,
        others: "_Pass",
        texts: Sequence[Folded],
        hits: dict[int, Hits],
        squeezed: dict[int, str],
    ) -> None:
        """Add what supports or speaks against the anchors that were found."""
        found: dict[int, list[tuple[int, View]]] = defaultdict(list)
        wanted = {}
        for position, held in hits.items():
            patterns = (*(n for n, _ in held.matches), *held.overruns, *held.hints)
            others_too = self._others_of[frozenset(self._owners[n] for n in patterns)]
            if others_too:
                wanted[position] = others_too
        positions = list(wanted)
        lines = [texts[p].text for p in positions]
        _add(found, others.find(lines, list(wanted.values())), positions, "folded")
        also = [p for p in positions if p in squeezed]
        lines = [squeezed[p] for p in also]
        _add(found, others.find(lines, [wanted[p] for p in also]), also, "squeezed")
        for position, also_found in found.items():
            held = hits[position]
            more = self._confirm(texts[position], also_found)
            hits[position] = Hits(
                tuple(sorted((*held.matches, *more.matches), key=_place)),
                (*held.overruns, *more.overruns),
                held.hints,
            )

    def _confirm(self, folded: Folded, found: Iterable[tuple[int, View]]) -> Hits:
        matches: list[tuple[int, Match]] = []
        overruns: list[int] = []
        hints: list[int] = []
        seen: set[tuple[int, int, int]] = set()
        for index, view in found:
            if self._patterns[index].is_hint:
                hints.append(index)
                continue
            text = folded.text if view == "folded" else folded.squeezed or ""
            to_original = folded.span if view == "folded" else folded.squeezed_span
            hits = self._hits(index, text)
            if hits is None and index not in overruns:
                overruns.append(index)
            for hit in hits or ():
                start, end = to_original(*hit.span())
                if (index, start, end) not in seen:
                    seen.add((index, start, end))
                    groups = {k: v for k, v in hit.groupdict().items() if v is not None}
                    matches.append((index, Match(self._patterns[index], start, end, view, groups)))
        matches.sort(key=_place)
        return Hits(tuple(matches), tuple(overruns), tuple(hints))

    def _hits(self, index: int, text: str) -> "list[regex.Match[str]] | None":
        """Return the first hits of an expression, or None if it takes too long, twice.

        The limit counts time on the wall, which also passes while a busy machine runs something else; the
        second, longer try keeps that from looking like a hostile text.
        """
        for seconds in (EXPRESSION_SECONDS, 5 * EXPRESSION_SECONDS):
            try:
                hits = self._expressions[index].finditer(text, timeout=seconds)
                return list(islice(hits, MATCHES_PER_PATTERN))
            except TimeoutError:
                continue
        return None


def _place(match: tuple[int, Match]) -> tuple[int, int, int]:
    return match[1].start, match[1].end, match[0]


def _add(
    found: dict[int, list[tuple[int, View]]],
    hits: Iterable[tuple[int, int]],
    positions: Sequence[int],
    view: View,
) -> None:
    for index, pattern in hits:
        found[positions[index]].append((pattern, view))


class _OthersOf(dict[frozenset[int], frozenset[int]]):
    """The patterns that are no anchors, by the set of their owners; filled as such sets are met."""

    def __init__(self, owners: Mapping[int, int]) -> None:
        super().__init__()
        self._owners = owners

    def __missing__(self, met: frozenset[int]) -> frozenset[int]:
        self[met] = frozenset(n for n, owner in self._owners.items() if owner in met)
        return self[met]


class _Pass:
    """The automata of one pass, and what their hits mean."""

    def __init__(
        self,
        plan: _Plan,
        literals: hyperscan.Database | None,
        composed: hyperscan.Database | None,
    ) -> None:
        clauses = [tuple(map(_certain, clause)) for clause in plan.clauses]
        rests = [(pattern, tuple(clauses[c] for c in rest)) for pattern, rest in plan.alternatives]
        self._completes = [tuple(rests[a] for a in held) for _, held in plan.strings]
        self._owners = [pattern for _, pattern in plan.composed]
        self._everywhere = plan.everywhere
        self._literals = literals
        self._composed = composed

    @classmethod
    def load(
        cls,
        expressions: Sequence[str],
        indexes: Sequence[int],
        patterns: Sequence[Pattern],
        cache: Path | None,
    ) -> "_Pass":
        """Read what was compiled before, or compile and write it."""
        digest = _digest([expressions[n] for n in indexes], indexes)
        path = cache / f"patterns-{digest[:32]}.hsdb" if cache else None
        held = _read(path, digest) if path else None
        if held is None:
            plan = _plan(expressions, indexes)
            forms = [_literal_form(string) for string, _ in plan.strings]
            literals = _database(
                forms, [plan.alternatives[held[0]][0] for _, held in plan.strings], patterns
            )
            composed = _database(
                [form for form, _ in plan.composed], [n for _, n in plan.composed], patterns
            )
            held = (plan, literals, composed)
            if path is not None:
                _write(path, digest, held)
        return cls(*held)

    def find(
        self, texts: Sequence[str], wanted: Sequence[Container[int]] = ()
    ) -> list[tuple[int, int]]:
        r"""Return each (text, pattern) that may match, in order.

        `wanted`, if given, names for each text the patterns to look for.

        All texts are scanned as one buffer. Folded text has no newline, so one between texts keeps them
        apart. No string holds one but as the edge of its first or last letter; a match of a composed form
        that runs across it (`\s` and negated classes can) is no match of either text and falls at
        confirmation.
        """
        if not texts:
            return []
        parts = [text.encode() for text in texts]
        buffer = b"\n%b\n" % b"\n".join(parts)
        found = {(position, n) for n in self._everywhere for position in range(len(texts))}
        if self._composed is not None:
            hits = _hits(self._composed, buffer, parts)
            found.update((position, self._owners[form]) for position, form in hits)
        if wanted:
            found = {hit for hit in found if hit[1] in wanted[hit[0]]}
        if self._literals is not None:
            if b"  " in buffer:
                parts = [_single_blanks(part) for part in parts]
                buffer = b"\n%b\n" % b"\n".join(parts)
            hits = _hits(self._literals, buffer, parts)
            self._complete(hits, parts, wanted, found)
        return sorted(found)

    def _complete(
        self,
        hits: Iterable[tuple[int, int]],
        parts: Sequence[bytes],
        wanted: Sequence[Container[int]],
        found: set[tuple[int, int]],
    ) -> None:
        """Add the patterns of which a text holds all that they require."""
        # As text of one character a byte, in which Python finds strings four times as fast.
        characters: dict[int, str] = {}
        for position, string in hits:
            for pattern, rest in self._completes[string]:
                hit = (position, pattern)
                if hit in found or (wanted and pattern not in wanted[position]):
                    continue
                if rest and position not in characters:
                    characters[position] = parts[position].decode("latin-1")
                if not rest or _holds(characters[position], rest):
                    found.add(hit)


def _hits(
    database: hyperscan.Database, buffer: bytes, parts: Sequence[bytes]
) -> list[tuple[int, int]]:
    """Scan, and return in which part each hit ends."""
    ends: set[tuple[int, int]] = set()

    def on_match(form: int, _start: int, end: int, *_: object, _add: _Add = ends.add) -> None:
        _add((end, form))

    database.scan(buffer, on_match)
    if not ends:
        return []
    last = list(accumulate((len(part) + 1 for part in parts), initial=1))
    position = 0
    hits = []
    for end, form in sorted(ends):
        while last[position + 1] < end:
            position += 1
        hits.append((position, form))
    return hits


def _holds(text: str, clauses: Iterable[tuple[str, ...]]) -> bool:
    # Loops, because this runs for every string that is found, and generators cost twice as much.
    for clause in clauses:
        for string in clause:
            if string in text:
                break
        else:
            return False
    return True


def _single_blanks(text: bytes) -> bytes:
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _compiled(pattern: Pattern) -> "regex.Pattern[str]":
    try:
        expression = regex.compile(pattern.expression)
    except regex.error as error:
        raise PatternError(f"pattern `{pattern.id}` is not a regular expression: {error}") from None
    if expression.search("") is not None:
        raise PatternError(
            f"pattern `{pattern.id}` matches the empty text: it would hit every message"
        )
    return expression


def _plan(expressions: Sequence[str], indexes: Sequence[int]) -> _Plan:
    """Decide how each pattern is looked for."""
    strings: dict[bytes, list[int]] = defaultdict(list)
    alternatives: list[tuple[int, tuple[int, ...]]] = []
    clauses: dict[tuple[bytes, ...], int] = {}
    composed: list[tuple[bytes, int]] = []
    everywhere: list[int] = []
    for index in indexes:
        try:
            wider = prefilter(expressions[index])
        except UnsupportedError:
            everywhere.append(index)
            continue
        needs = requirements(wider)
        if needs is None:
            composed.append((without_edges(wider), index))
        for first, *rest in needs or ():
            for string in first:
                strings[string].append(len(alternatives))
            others = tuple(clauses.setdefault(tuple(sorted(c)), len(clauses)) for c in rest)
            alternatives.append((index, others))
    return _Plan(
        strings=[(string, tuple(strings[string])) for string in sorted(strings)],
        alternatives=alternatives,
        clauses=list(clauses),
        composed=composed,
        everywhere=tuple(everywhere),
    )


def _literal_form(string: bytes) -> bytes:
    edge = bytes([EDGE])
    before = _NOT_ADJOINING if string.startswith(edge) else b""
    after = _NOT_ADJOINING if string.endswith(edge) else b""
    body = string.strip(edge).split(bytes([DIGIT]))
    return before + b"[0-9]".join(map(escaped, body)) + after


def _certain(string: bytes) -> str:
    """Return the longest part of a string that stands for itself, one character a byte."""
    return max(string.strip(bytes([EDGE])).split(bytes([DIGIT])), key=len).decode("latin-1")


def _digest(expressions: Iterable[str], roles: Sequence[object]) -> str:
    """Stand for the expressions and for the code that says how they are looked for."""
    content = hashlib.sha256(_MAGIC)
    content.update(f"{version('hyperscan')}\x00{platform.machine()}\x00{list(roles)}".encode())
    for module in (pipeline.prefilter, pipeline.factors):
        content.update(Path(str(module.__file__)).read_bytes())
    for expression in expressions:
        content.update(b"\x00" + expression.encode())
    return content.hexdigest()


def _database(
    forms: Sequence[bytes], owners: Sequence[int], patterns: Sequence[Pattern]
) -> hyperscan.Database | None:
    if not forms:
        return None
    try:
        return _compile(forms)
    except hyperscan.error as error:
        raise PatternError(_blame(forms, owners, patterns, error)) from None


def _compile(forms: Sequence[bytes]) -> hyperscan.Database:
    database = hyperscan.Database()
    database.compile(
        expressions=list(forms), ids=list(range(len(forms))), elements=len(forms), flags=0
    )
    return database


def _blame(
    forms: Sequence[bytes], owners: Sequence[int], patterns: Sequence[Pattern], error: Exception
) -> str:
    """Name the pattern that does not compile alone; the library's message names none."""
    for form, owner in zip(forms, owners, strict=True):
        try:
            _compile([form])
        except hyperscan.error as alone:
            return f"pattern `{patterns[owner].id}` cannot be compiled: {alone}"
    return f"the patterns cannot be compiled together: {error}"


_Held = tuple[_Plan, hyperscan.Database | None, hyperscan.Database | None]


class _File(msgspec.Struct, frozen=True):
    plan: _Plan
    literals: bytes
    composed: bytes


def _read(path: Path, digest: str) -> _Held | None:
    """Load a cached pass; anything but an intact one of this machine's kind counts as absent."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + hashlib.sha256().digest_size
    body = content[head:]
    if content[:head] != _head(digest, body):
        return None
    try:
        file = msgspec.msgpack.decode(body, type=_File)
        return file.plan, _loaded(file.literals), _loaded(file.composed)
    except (hyperscan.error, msgspec.DecodeError):
        return None


def _loaded(dump: bytes) -> hyperscan.Database | None:
    if not dump:
        return None
    database = hyperscan.loadb(dump, hyperscan.HS_MODE_BLOCK)
    database.scratch = hyperscan.Scratch(database)
    return database


def _write(path: Path, digest: str, held: _Held) -> None:
    """Write the cache whole or not at all; a worker without a writable cache only starts slower."""
    plan, *databases = held
    dumps = [hyperscan.dumpb(database) if database else b"" for database in databases]
    body = msgspec.msgpack.encode(_File(plan, *dumps))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_head(digest, body) + body)
        part.replace(path)
    except OSError:
        return


def _head(digest: str, body: bytes) -> bytes:
    """Tie a cached pass to the patterns it was compiled from, whatever its file is called."""
    return _MAGIC + hashlib.sha256(digest.encode() + body).digest()
