"""Prefilters: what an expression finds, its wider form finds."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors.contract import Pattern
from detectors.folding import fold, fold_batch
from detectors.lexicon import Lexicon
from pipeline.database import Hits, PatternDatabase
from pipeline.line import Line
from pipeline.prefilter import UnsupportedError, prefilter
from tests.pipeline.events import CANARY

FAMILIES = ("fraud", "gambling", "grooming", "harassment")
CORPUS = Path(__file__).parents[1] / "corpus"

# Letters and signs that folding leaves alone, so that an expression and a text mean the same.
CHARACTERS = "abxz059_ -./:+@$!ß中文字காமணிகும்"
WORDS = ("told me", "apk", "செய்தி", "免费彩金", "x2", "a.b/c", "aab", "baa")
UNITS = {
    r"\w": "aக中5_",
    r"\W": " -!",
    r"\d": "05",
    r"\D": "aக中 ",
    r"\s": " ",
    r"\S": "aக中-",
    r"\p{L}": "aக中ß",
    r"\P{L}": "1 -",
    r"\p{Han}": "中文",
    r"\pL": "aக",
    ".": "aக中 -",
    "[a-c]": "abc",
    "[a-z0-9_]": "az09_",
    "[^a-c]": "zக中 1",
    "[கம中]": "கம中",
    r"[\u0b95-\u0ba9]": "கச",
    r"[\w.-]": "aக.-",
    r"[^\W\d]": "aக中",
    "[[:alpha:]]": "aக中",
    "[^[:digit:]]": "aக中",
    r"[\d\s]": "5 ",
    "[]a]": "a",
    r"\x61": "a",
    r"\u0b95": "க",
}
REPEATS = {
    "*": (0, 1, 3),
    "+": (1, 3),
    "?": (0, 1),
    "{2}": (2,),
    "{1,3}": (1, 3),
    "{0,2}": (0, 2),
    "{,2}": (0, 1, 2),
    "{2,}": (2, 4),
    "{,}": (0, 2),
}
ZERO_WIDTH = (
    r"\b", r"\B", "(?=[^z])", r"(?!z{2}\))", "(?<=.)", r"(?<![z\]])", "^", "$", r"\m", "(?=a)?", r"\b?"
)  # fmt: skip

Sample = tuple[str, str]
"""An expression and a text that it is likely to find."""


@st.composite
def samples(draw: st.DrawFn, depth: int = 2) -> Sample:
    """Draw a small expression with a text."""
    parts: list[Sample] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from("wlluurrgaz" if depth else "wlluur"))
        if kind == "l":
            char = draw(st.sampled_from(CHARACTERS))
            parts.append((regex.escape(char, special_only=True), char))
        elif kind == "w":
            word = draw(st.sampled_from(WORDS))
            parts.append((regex.escape(word, special_only=True), word))
        elif kind == "u":
            unit = draw(st.sampled_from(sorted(UNITS)))
            parts.append((unit, draw(st.sampled_from(UNITS[unit]))))
        elif kind == "z":
            parts.append((draw(st.sampled_from(ZERO_WIDTH)), ""))
        elif kind == "a":
            first, other = draw(samples(depth - 1)), draw(samples(depth - 1))
            one, two = draw(st.permutations([first[0], other[0]]))
            parts.append((f"(?:{one}|{two})", first[1]))
        else:
            parts.append(draw(_repeated(depth)) if kind == "r" else draw(_grouped(depth)))
    return "".join(e for e, _ in parts), "".join(t for _, t in parts)


@st.composite
def _repeated(draw: st.DrawFn, depth: int) -> Sample:
    """Repeat a character, a class or a group: greedy, lazy or possessive."""
    if depth and draw(st.booleans()):
        body, text = draw(_grouped(depth))
    elif draw(st.booleans()):
        body = draw(st.sampled_from(sorted(UNITS)))
        text = draw(st.sampled_from(UNITS[body]))
    else:
        text = draw(st.sampled_from(CHARACTERS))
        body = regex.escape(text, special_only=True)
    times = draw(st.sampled_from(sorted(REPEATS)))
    mode = draw(st.sampled_from(["", "", "?", "+"]))
    return body + times + mode, text * draw(st.sampled_from(REPEATS[times]))


@st.composite
def _grouped(draw: st.DrawFn, depth: int) -> Sample:
    opening = draw(st.sampled_from(["(", "(?:", "(?P<g>", "(?>"]))
    body, text = draw(samples(depth - 1))
    return f"{opening}{body})", text


def found(expression: str, text: str) -> bool:
    """Tell whether the database finds an expression; what took too long counts as found."""
    return bool(PatternDatabase([Pattern("p", expression)]).scan([fold(text)]))


def test_a_wider_form_finds_what_the_expression_finds() -> None:
    """Whatever `regex` finds in a text, Hyperscan finds with the prefilter, for random expressions."""
    hits = plain = 0

    @settings(max_examples=800)
    @given(samples(), st.text(CHARACTERS, max_size=4), st.text(CHARACTERS, max_size=4))
    def check(sample: Sample, before: str, after: str) -> None:
        nonlocal hits, plain
        expression, text = sample[0], before + sample[1] + after
        assume(fold(text).text == text)
        assume(regex.search(expression, "") is None)
        try:
            prefilter(expression)
            plain += 1
        except UnsupportedError:
            pass
        if regex.search(expression, text, timeout=1) is None:
            return
        hits += 1

        assert found(expression, text)

    check()

    assert hits > 300
    assert plain > 300


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("xa+?y", "xaay"),
        ("xa??y", "xy"),
        ("xa++y", "xaay"),
        ("xa{,2}y", "xy"),
        ("xa{,}y", "xaaay"),
        ("[[:alpha:]]b", "கb"),
        ("x(?=a)?b", "xb"),
        (r"x\b?b", "xb"),
        (r"(?:\b|x)y", "y"),
        (r"(?:\b)+b", "b"),
        (r"[^\W_]b", "中b"),
        ("கா{2,3}", "காாா"),
        (
            "(?:he|this (?:guy|man|person)|my (?:coach|uncle|ex)) (?:then |always )?(?:told|said)",
            " when i get back like he told me to",
        ),
        ("中?z", "z"),
        (r"[]a]b", "ab"),
        (r"[a\]b]c", "bc"),
    ],
)
def test_every_kind_of_token_has_a_wider_form(expression: str, text: str) -> None:
    """Lazy, possessive and open repeats, named classes and repeated assertions are not narrowed."""
    prefilter(expression)

    assert regex.search(expression, text)
    assert found(expression, text)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (r"(a|க)\1z", "ககz"),
        (r"(?P<n>a)(?P=n)z", "aaz"),
        (r"(?i)க\w+Z", "காz"),
        ("(?:foo){e<=1}z", "fxoz"),
        ("(?|x(a)|y(b))z", "ybz"),
        ("a{x}b", "a{x}b"),
        (r"a(?#note)b", "ab"),
        (r"\N{TAMIL LETTER KA}z", "கz"),
        ("(?=y)y?", "y"),
        (r"x\Xy", "xay"),
    ],
)
def test_what_has_no_wider_form_is_refused_here_and_found_all_the_same(
    expression: str, text: str
) -> None:
    """Back-references, flags, fuzzy and conditional parts are tried on every text instead."""
    with pytest.raises(UnsupportedError):
        prefilter(expression)

    assert regex.search(expression, text)
    assert found(expression, text)
    assert not found(expression, "-- 1 2 3 --")


@pytest.fixture(scope="module")
def alone(built: Line) -> PatternDatabase:
    """Return a database in which each shipped pattern is found by itself."""
    return PatternDatabase(_anchors(built))


def test_shipped_patterns_are_found_where_regex_finds_them(
    built: Line, alone: PatternDatabase
) -> None:
    """On every example of every term, the database finds exactly the patterns that `regex` finds."""
    lexicons = [Lexicon.shipped(family) for family in FAMILIES]
    fires = [
        (term.id, x) for lexicon in lexicons for term in lexicon.terms.values() for x in term.fires
    ]
    texts = [text for _, text in fires]
    for path in sorted(CORPUS.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        texts += [json.loads(line)["text"] for line in lines]
    texts += ["lucky88bet", "77slot", "【L】【U】【K】【8】【8】", "lucky7/7", CANARY]
    folded = [fold(text) for text in texts]
    patterns = _anchors(built)
    expressions = [regex.compile(p.expression) for p in patterns]

    hits = alone.scan(folded)

    seen: set[int] = set()
    for position, one in enumerate(folded):
        views = [one.text, one.squeezed or ""]
        expected = {n for n, e in enumerate(expressions) if any(e.search(v) for v in views)}
        held = hits.get(position, Hits())
        actual = {n for n, _ in held.matches}
        # A hint is not confirmed, so there may be more.
        assert expected - set(held.hints) == actual
        seen |= actual | set(held.hints)
    by_id = [{m.pattern.id for _, m in hits[n].matches} for n in range(len(fires))]
    assert [] == [term for (term, _), ids in zip(fires, by_id, strict=True) if term not in ids]
    assert len(fires) > 300
    unseen = {patterns[n].id for n in range(len(patterns)) if n not in seen}
    assert not unseen


def _anchors(built: Line) -> list[Pattern]:
    """Return all patterns in use, each to be found by itself."""
    patterns = [p for d in built.chain.detectors for p in d.patterns]
    return [msgspec.structs.replace(p, is_anchor=True, group="") for p in patterns]


def test_what_counts_is_found_where_an_anchor_is(built: Line, alone: PatternDatabase) -> None:
    """The chain's database holds, of each text, what decides the score of the detectors anchored in it."""
    paths = sorted(CORPUS.glob("*.jsonl"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    folded = fold_batch(json.loads(line)["text"] for line in lines)
    detectors = built.chain.detectors
    patterns = [p for d in detectors for p in d.patterns]
    owners = [n for n, d in enumerate(detectors) for _ in d.patterns]
    by_itself = alone.scan(folded)
    together = built.chain.database.scan(folded)
    supporting = silent = 0
    for position, hits in by_itself.items():
        found = together[position].matches if position in together else ()
        supporting += sum(not patterns[n].is_anchor for n, _ in found)
        for owner in {owners[n] for n, _ in hits.matches}:
            matched = {n for n, _ in hits.matches if owners[n] == owner}
            actual = {n for n, _ in found if owners[n] == owner}
            if not actual:
                anchored = any(patterns[n].is_anchor for n in matched)
                ids = {patterns[n].id for n in matched}
                asked: Any = detectors[owner]
                assert not anchored or asked.reach(ids, is_disguised=False) < asked.least_reach
                silent += anchored
                continue
            assert _heaviest(patterns, matched) <= actual <= matched

    assert together.keys() <= by_itself.keys()
    assert supporting > 50
    assert silent > 10


def _heaviest(patterns: list[Pattern], matched: set[int]) -> set[int]:
    """Return the patterns that no heavier one of their group outweighs."""
    most: dict[str, float] = {}
    for n in matched:
        most[patterns[n].group] = max(most.get(patterns[n].group, 0.0), patterns[n].weight)
    return {n for n in matched if patterns[n].weight >= most[patterns[n].group]}


@pytest.mark.parametrize("white", ["  ", "\n\n", "\u00a0 \t", "\u3000"])
def test_more_white_space_hides_nothing(alone: PatternDatabase, white: str) -> None:
    """Two blanks between words, or a new paragraph, leave nearly every example of a term found."""
    fires = [
        (term.id, example.replace(" ", white))
        for family in FAMILIES
        for term in Lexicon.shipped(family).terms.values()
        for example in term.fires
        if " " in example
    ]
    hits = alone.scan([fold(text) for _, text in fires])
    none: tuple[()] = ()
    missed = [
        term
        for position, (term, _) in enumerate(fires)
        if term not in {m.pattern.id for _, m in getattr(hits.get(position), "matches", none)}
    ]

    assert len(fires) > 300
    assert len(missed) < 0.02 * len(fires)


def test_shipped_patterns_all_have_a_wider_form(built: Line) -> None:
    """None of ours has to be tried on every text, which would cost every message."""
    patterns = [p for d in built.chain.detectors for p in d.patterns]

    assert len(patterns) > 300
    for pattern in patterns:
        assert prefilter(pattern.expression)
