"""The automaton: in which texts of a batch a pattern may match, found in one pass over the batch's bytes.

Aho-Corasick finds strings without which a pattern cannot match (`pipeline.factors`). Where an expression has
none, Hyperscan finds a wider form of it (`pipeline.prefilter`). Both find too much; `pipeline.database`
confirms.

Hyperscan could find the strings too, but hands each over by calling a Python function, which costs more than
finding it, and takes 40 s to compile 36,000 of them, where this takes 0.05 s.
"""

import hashlib
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Final

import hyperscan
import msgspec
from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

import pipeline.factors
import pipeline.prefilter
from detectors.expressions import ExpressionError, compiled
from pipeline.factors import DIGIT, requirements
from pipeline.prefilter import EDGE, UnsupportedError, prefilter, without_edges

_MAGIC: Final = b"penjaga-patterns-4\n"
_EDGE: Final = bytes([EDGE])
_ADJOINS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_DIGITS: Final = b"0123456789"

_MOST_WITH_ONE_START: Final = 3
"""More strings of a clause that start with the same word are looked for by that word alone."""

_Clause = tuple[str, ...]
"""Strings of which a text must hold one, each of one character a byte."""
_Add = Callable[[tuple[int, int]], None]


class PatternError(ValueError):
    """An expression that cannot be used: whose, which, and why."""


class _Plan(msgspec.Struct, frozen=True):
    """How patterns are looked for.

    `strings`: what is looked for, each with the `alternatives` it may complete and at which of its ends no
    letter or digit may adjoin. `alternatives`: of which pattern, and the clauses that the text must hold
    besides. `composed`: patterns whose wider form Hyperscan looks for. `everywhere`: those to try on every
    text. `wider`: the wider form of each pattern that has one.
    """

    strings: list[tuple[bytes, tuple["_Completion", ...]]]
    alternatives: list[tuple[int, tuple[int, ...]]]
    clauses: list[_Clause]
    composed: list[int]
    everywhere: tuple[int, ...]
    wider: dict[int, bytes]


class _Completion(msgspec.Struct, frozen=True, array_like=True):
    """An alternative that a string may complete, and whether the string has to start and end a word."""

    alternative: int
    starts: bool
    ends: bool


class Automaton:
    """Some patterns, ready to be looked for."""

    def __init__(self, plan: _Plan, composed: hyperscan.Database | None) -> None:
        """Take a plan and what Hyperscan compiled of it; `load` makes both."""
        rests = [
            (pattern, tuple(plan.clauses[c] for c in rest)) for pattern, rest in plan.alternatives
        ]
        self._completes = [
            tuple((c.starts, c.ends, *rests[c.alternative]) for c in completions)
            for _, completions in plan.strings
        ]
        self._owners = plan.composed
        self._everywhere = plan.everywhere
        self.wider = plan.wider
        """The wider form of each pattern that has one, as an expression over bytes."""
        self._composed = composed
        self._strings = _automaton([string for string, _ in plan.strings])

    @classmethod
    def load(
        cls, expressions: Mapping[int, str], ids: Mapping[int, str], cache: Path | None
    ) -> "Automaton":
        """Read what was compiled of these expressions before, or compile and write it.

        `ids` name patterns in errors.

        Raises:
            PatternError: if an expression cannot be compiled, or matches the empty text.
        """
        digest = digest_of(expressions.values(), list(expressions))
        path = cache / f"patterns-{digest[:32]}.hsdb" if cache else None
        held = _read(path, digest) if path else None
        if held is None:
            _check(expressions, ids)
            plan = _plan(expressions)
            composed = [(plan.wider[index], index) for index in plan.composed]
            held = plan, _compiled(composed, ids)
            if path is not None:
                _write(path, digest, held)
        return cls(*held)

    def find(
        self, texts: Sequence[str], wanted: Sequence[Container[int]] = ()
    ) -> list[tuple[int, int]]:
        r"""Return each (text, pattern) that may match, in order.

        `wanted`, if given, names for each text the patterns to look for.

        All texts are scanned as one buffer. Folded text has no newline, so one between texts keeps them
        apart. No string holds one; a match of a composed form that runs across it (`\s` and negated classes
        can) is no match of either text and falls at confirmation.
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
        if self._strings is not None:
            if b"  " in buffer:
                parts = [_single_blanks(part) for part in parts]
                buffer = b"\n%b\n" % b"\n".join(parts)
            hits_ = self._strings.find_matches_as_indexes(buffer, overlapping=True)
            self._complete(hits_, buffer, parts, wanted, found)
        return sorted(found)

    def _complete(  # one loop, run for every string that is found
        self,
        hits: Iterable[tuple[int, int, int]],
        buffer: bytes,
        parts: Sequence[bytes],
        wanted: Sequence[Container[int]],
        found: set[tuple[int, int]],
    ) -> None:
        """Add the patterns of which a text holds all that they require."""
        ends = accumulate((len(part) + 1 for part in parts), initial=0)
        position, limit = -1, next(ends)
        # Of one character a byte: Python finds strings in such a text four times as fast.
        text = ""
        for string, start, end in hits:
            while end > limit:
                position, limit, text = position + 1, next(ends), ""
            for starts, stops, pattern, rest in self._completes[string]:
                if starts and buffer[start - 1] in _ADJOINS:
                    continue
                if stops and buffer[end] in _ADJOINS:
                    continue
                hit = (position, pattern)
                if hit in found or (wanted and pattern not in wanted[position]):
                    continue
                if rest and not text:
                    text = parts[position].decode("latin-1")
                if not rest or _holds(text, rest):
                    found.add(hit)


def _hits(
    database: hyperscan.Database, buffer: bytes, parts: Sequence[bytes]
) -> Iterator[tuple[int, int]]:
    """Scan, and yield in which part each hit ends, with its form."""
    ends: set[tuple[int, int]] = set()

    def on_match(form: int, _start: int, end: int, *_: object, _add: _Add = ends.add) -> None:
        _add((end, form))

    database.scan(buffer, on_match)
    if not ends:
        return
    last = list(accumulate((len(part) + 1 for part in parts), initial=1))
    position = 0
    for end, form in sorted(ends):
        while last[position + 1] < end:
            position += 1
        yield position, form


def _holds(text: str, clauses: Iterable[_Clause]) -> bool:
    # Loops, because this runs for every string that is found, and generators cost twice as much.
    for clause in clauses:
        for string in clause:
            if string in text:
                break
        else:
            return False
    return True


def _clause(strings: Iterable[bytes]) -> _Clause:
    """Write a clause so that it is quick to look for: some texts more may hold it, none less."""
    by_start: dict[str, list[str]] = defaultdict(list)
    for string in sorted(map(_certain, strings)):
        start, blank, _ = string.lstrip().partition(" ")
        by_start[string[: len(string) - len(string.lstrip())] + start + blank].append(string)
    few = [
        string
        for start, held in by_start.items()
        for string in ([start] if start.strip() and len(held) > _MOST_WITH_ONE_START else held)
    ]
    shortest: list[str] = []
    for string in sorted(dict.fromkeys(few), key=len):
        if not any(other in string for other in shortest):
            shortest.append(string)
    return tuple(shortest)


def _single_blanks(text: bytes) -> bytes:
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _check(expressions: Mapping[int, str], ids: Mapping[int, str]) -> None:
    """Refuse what cannot be confirmed; what was compiled before has passed."""
    for index, expression in expressions.items():
        try:
            compiled(expression)
        except ExpressionError as error:
            raise PatternError(f"pattern `{ids.get(index, index)}` {error}") from None


def _plan(expressions: Mapping[int, str]) -> _Plan:
    """Decide how each pattern is looked for."""
    strings: dict[bytes, list[_Completion]] = defaultdict(list)
    alternatives: list[tuple[int, tuple[int, ...]]] = []
    clauses: dict[tuple[bytes, ...], int] = {}
    composed: list[int] = []
    everywhere: list[int] = []
    wider_forms: dict[int, bytes] = {}
    for index, expression in expressions.items():
        try:
            wider = prefilter(expression)
        except UnsupportedError:
            everywhere.append(index)
            continue
        wider_forms[index] = without_edges(wider)
        needs = requirements(wider)
        if needs is None or not all(_looked_for(s) for first, *_ in needs for s in first):
            composed.append(index)
            continue
        for first, *rest in needs:
            for string in sorted(first):
                for body, starts, stops in _looked_for(string):
                    strings[body].append(_Completion(len(alternatives), starts, stops))
            others = tuple(clauses.setdefault(tuple(sorted(c)), len(clauses)) for c in rest)
            alternatives.append((index, others))
    return _Plan(
        strings=[(string, tuple(strings[string])) for string in sorted(strings)],
        alternatives=alternatives,
        clauses=[_clause(clause) for clause in clauses],
        composed=composed,
        everywhere=tuple(everywhere),
        wider=wider_forms,
    )


def _looked_for(string: bytes) -> list[tuple[bytes, bool, bool]]:
    """Return what to look for in place of a string, and at which ends nothing may adjoin.

    Of a string that has a place for any digit: its longest part that stands for itself, with the digit
    beside it written out. Empty if nothing else than digits is left.
    """
    starts, stops = string.startswith(_EDGE), string.endswith(_EDGE)
    parts = string.strip(_EDGE).split(bytes([DIGIT]))
    if len(parts) == 1:
        return [(parts[0], starts, stops)]
    longest = max(range(len(parts)), key=lambda at: len(parts[at]))
    body = parts[longest]
    if not body:
        return []
    digits = [bytes([digit]) for digit in _DIGITS]
    if longest < len(parts) - 1:
        return [(body + digit, starts and longest == 0, False) for digit in digits]
    return [(digit + body, False, stops) for digit in digits]


def _certain(string: bytes) -> str:
    """Return the longest part of a string that stands for itself, one character a byte."""
    return max(string.strip(_EDGE).split(bytes([DIGIT])), key=len).decode("latin-1")


def _automaton(strings: Sequence[bytes]) -> BytesAhoCorasick | None:
    if not strings:
        return None
    return BytesAhoCorasick(
        strings, matchkind=MatchKind.Standard, implementation=Implementation.ContiguousNFA
    )


def digest_of(expressions: Iterable[str], roles: Sequence[object]) -> str:
    """Stand for expressions, and for the code that says how they are looked for."""
    content = hashlib.sha256(_MAGIC)
    content.update(
        f"{version('hyperscan')}\x00{version('regex')}\x00{platform.machine()}\x00{list(roles)}".encode()
    )
    for path in (__file__, pipeline.prefilter.__file__, pipeline.factors.__file__):
        content.update(Path(str(path)).read_bytes())
    for expression in expressions:
        content.update(b"\x00" + expression.encode())
    return content.hexdigest()


def _compiled(
    composed: Sequence[tuple[bytes, int]], ids: Mapping[int, str]
) -> hyperscan.Database | None:
    if not composed:
        return None
    forms = [form for form, _ in composed]
    try:
        return _database(forms)
    except hyperscan.error as error:
        raise PatternError(_blame(composed, ids, error)) from None


def _database(forms: Sequence[bytes]) -> hyperscan.Database:
    database = hyperscan.Database()
    database.compile(
        expressions=list(forms), ids=list(range(len(forms))), elements=len(forms), flags=0
    )
    return database


def _blame(composed: Sequence[tuple[bytes, int]], ids: Mapping[int, str], error: Exception) -> str:
    """Name the pattern that does not compile alone; the library's message names none."""
    for form, index in composed:
        try:
            _database([form])
        except hyperscan.error as alone:
            return f"pattern `{ids.get(index, index)}` cannot be compiled: {alone}"
    return f"the patterns cannot be compiled together: {error}"


_Held = tuple[_Plan, hyperscan.Database | None]


class _File(msgspec.Struct, frozen=True):
    plan: _Plan
    composed: bytes


def _read(path: Path, digest: str) -> _Held | None:
    """Load what is cached; anything but an intact file of this machine's kind counts as absent."""
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
        return file.plan, _loaded(file.composed)
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
    plan, composed = held
    body = msgspec.msgpack.encode(_File(plan, hyperscan.dumpb(composed) if composed else b""))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_head(digest, body) + body)
        part.replace(path)
    except OSError:
        return


def _head(digest: str, body: bytes) -> bytes:
    """Tie a cached file to the patterns it was compiled from, whatever it is called."""
    return _MAGIC + hashlib.sha256(digest.encode() + body).digest()
