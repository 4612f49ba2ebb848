"""The pattern database: what all detectors look for, scanned once a batch.

Hyperscan finds, in a pass over a batch's bytes, which patterns *may* be in which text. It is given strings of
which each match must hold one (`pipeline.factors`) and, where an expression has none, a wider form of the
expression (`pipeline.prefilter`). Each hit is then confirmed on its own text with `regex`, which gives exact
spans and Unicode semantics. Clean texts cost nothing after the pass.
"""

import hashlib
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

import hyperscan
import msgspec
import regex

from detectors.contract import Match, Pattern, View
from detectors.folding import DISGUISES, Folded
from pipeline.factors import factors
from pipeline.prefilter import UnsupportedError, escaped, prefilter

EXPRESSION_SECONDS: Final = 0.05
"""The longest one expression may take on one text; longer, and the hit is given up and reported."""
MATCHES_PER_PATTERN: Final = 32
"""More repeats of one pattern in one text add work and no evidence."""

_Add = Callable[[tuple[int, int]], None]

_MAGIC: Final = b"penjaga-patterns-1\n"

_Source = tuple[bytes, tuple[int, ...]]
"""What Hyperscan looks for, as an expression over bytes, and the patterns that it stands for."""


class PatternError(ValueError):
    """An expression that cannot be used: whose, which, and why."""


class Hits(msgspec.Struct, frozen=True):
    """What was found in one text: confirmed matches by pattern index, and patterns that took too long."""

    matches: tuple[tuple[int, Match], ...] = ()
    overruns: tuple[int, ...] = ()


class PatternDatabase:
    """All patterns in one automaton, with an optional cache on disk."""

    def __init__(self, patterns: Sequence[Pattern], cache: Path | None = None) -> None:
        """Compile, or load what was compiled before.

        Raises:
            PatternError: if an expression is not valid or matches the empty text.
        """
        self._patterns = tuple(patterns)
        self._expressions = [_compiled(pattern) for pattern in patterns]
        expressions = (*(p.expression for p in patterns), *DISGUISES)
        literals, composed, self._everywhere = _sources(expressions)
        self._first_disguise = len(patterns)
        self.digest = _digest(expressions, (*literals, *composed))
        # Apart, because Hyperscan's matcher of literals is both faster and without the gap that
        # `pipeline.factors` tells of; in one database it would share the other's machinery.
        self._automata = [
            (_load(sources, self._patterns, digest, cache), sources)
            for sources in (literals, composed)
            if sources and (digest := _digest(expressions, sources))
        ]

    def scan(self, texts: Sequence[Folded]) -> dict[int, Hits]:
        """Return what is in each text, by its position; texts in which nothing is are left out."""
        hits: dict[int, list[tuple[int, View]]] = defaultdict(list)
        disguised: list[int] = []
        for position, pattern in self._pass([folded.text for folded in texts]):
            if pattern < self._first_disguise:
                hits[position].append((pattern, "folded"))
            else:
                disguised.append(position)
        for position in range(len(texts) if self._everywhere else 0):
            hits[position].extend((pattern, "folded") for pattern in self._everywhere)
        squeezed = [(p, s) for p in sorted(set(disguised)) if (s := texts[p].squeezed) is not None]
        for index, pattern in self._pass([text for _, text in squeezed]):
            if pattern < self._first_disguise:
                hits[squeezed[index][0]].append((pattern, "squeezed"))
        for position, _ in squeezed if self._everywhere else ():
            hits[position].extend((pattern, "squeezed") for pattern in self._everywhere)
        confirmed = ((p, self._confirm(texts[p], found)) for p, found in sorted(hits.items()))
        return {p: found for p, found in confirmed if found.matches or found.overruns}

    def _pass(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        r"""Scan all texts as one buffer; return each (text, pattern) that may match, in order.

        Folded text has no newline, so one between texts keeps them apart; a match that runs across it
        (`\s` and negated classes can) is no match of either text and falls at confirmation.
        """
        if not texts:
            return []
        parts = [text.encode() for text in texts]
        ends = list(accumulate(len(part) + 1 for part in parts))
        buffer = b"\n".join(parts)
        hits: set[tuple[int, int]] = set()
        for automaton, sources in self._automata:
            found: set[tuple[int, int]] = set()

            def on_match(
                source: int, _start: int, end: int, *_: object, _seen: _Add = found.add
            ) -> None:
                _seen((end, source))

            automaton.scan(buffer, on_match)
            position = 0
            for end, source in sorted(found):
                while ends[position] < end:
                    position += 1
                hits.update((position, pattern) for pattern in sources[source][1])
        return sorted(hits)

    def _confirm(self, folded: Folded, found: Iterable[tuple[int, View]]) -> Hits:
        matches: list[tuple[int, Match]] = []
        overruns: list[int] = []
        seen: set[tuple[int, int, int]] = set()
        for index, view in found:
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
        matches.sort(key=lambda item: (item[1].start, item[1].end, item[0]))
        return Hits(tuple(matches), tuple(overruns))

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


def _sources(expressions: Sequence[str]) -> tuple[list[_Source], list[_Source], list[int]]:
    """Return strings to look for, expressions to look for, and patterns to try on every text."""
    strings: dict[bytes, list[int]] = {}
    composed: list[_Source] = []
    everywhere: list[int] = []
    for index, expression in enumerate(expressions):
        try:
            wider = prefilter(expression)
        except UnsupportedError:
            everywhere.append(index)
            continue
        found = factors(wider)
        if found is None:
            composed.append((wider, (index,)))
        for string in found or ():
            strings.setdefault(string, []).append(index)
    literals = [(escaped(string), tuple(strings[string])) for string in sorted(strings)]
    return literals, composed, everywhere


def _digest(expressions: Sequence[str], sources: Sequence[_Source]) -> str:
    content = hashlib.sha256(_MAGIC)
    content.update(f"{version('hyperscan')}\x00{platform.machine()}".encode())
    for expression in expressions:
        content.update(b"\x00" + expression.encode())
    for form, owners in sources:
        content.update(b"\x00%s\x00" % str(owners).encode() + form)
    return content.hexdigest()


def _load(
    sources: Sequence[_Source], patterns: Sequence[Pattern], digest: str, cache: Path | None
) -> hyperscan.Database:
    path = cache / f"patterns-{digest[:32]}.hsdb" if cache else None
    if path is not None:
        database = _read(path, digest)
        if database is not None:
            return database
    try:
        database = _compile(sources)
    except hyperscan.error as error:
        raise PatternError(_blame(sources, patterns, error)) from None
    if path is not None:
        _write(path, digest, hyperscan.dumpb(database))
    return database


def _compile(sources: Sequence[_Source]) -> hyperscan.Database:
    database = hyperscan.Database()
    database.compile(
        expressions=[form for form, _ in sources],
        ids=list(range(len(sources))),
        elements=len(sources),
        flags=0,
    )
    return database


def _blame(sources: Sequence[_Source], patterns: Sequence[Pattern], error: Exception) -> str:
    """Name the pattern that does not compile alone; the library's message names none."""
    for source in sources:
        try:
            _compile([source])
        except hyperscan.error as alone:
            return f"pattern `{patterns[source[1][0]].id}` cannot be compiled: {alone}"
    return f"the patterns cannot be compiled together: {error}"


def _read(path: Path, digest: str) -> hyperscan.Database | None:
    """Load a cached database; anything but an intact one of this machine's kind counts as absent."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + hashlib.sha256().digest_size
    body = content[head:]
    if content[:head] != _head(digest, body):
        return None
    try:
        database = hyperscan.loadb(body, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.error:
        return None
    return database


def _write(path: Path, digest: str, body: bytes) -> None:
    """Write the cache whole or not at all; a worker without a writable cache only starts slower."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_head(digest, body) + body)
        part.replace(path)
    except OSError:
        return


def _head(digest: str, body: bytes) -> bytes:
    """Tie a cached database to the patterns it was compiled from, whatever its file is called."""
    return _MAGIC + hashlib.sha256(digest.encode() + body).digest()
