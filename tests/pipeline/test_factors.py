"""Factors are in every match, and find what Hyperscan's composed expressions miss."""

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors.contract import Pattern
from detectors.folding import fold
from pipeline.database import PatternDatabase
from pipeline.factors import DIGIT, frequency, requirements
from pipeline.prefilter import EDGE, UnsupportedError, prefilter
from tests.pipeline.test_prefilter import Sample, samples

MISSED = r"(?:he|this (?:guy|man|person)|my (?:coach|uncle|ex)) (?:then |always )?(?:told|said)"
TEXT = " when i get back like he told me to"
E = bytes([EDGE])
D = bytes([DIGIT])

Needs = set[frozenset[frozenset[bytes]]]


def needs(*alternatives: tuple[set[bytes], ...]) -> Needs:
    """Write requirements without their order."""
    return {frozenset(frozenset(clause) for clause in a) for a in alternatives}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("maxwin", needs(({b"maxwin"},))),
        ("free kredit|kredit free", needs(({b"free kredit", b"kredit free"},))),
        (r"free\s+kredit", needs(({b"free kredit"},))),
        (r"free\s*kredit", needs(({b"free kredit", b"freekredit"},))),
        ("sewa .{0,20}akaun", needs(({b"sewa "}, {b"akaun"}))),
        ("jual .{0,9}akaun|kirim .{0,9}gambar", needs(({b"jual "}, {b"akaun"}), ({b"kirim "}, {b"gambar"}))),
        (r"(?<![\p{L}\p{M}\p{N}])(?:wd|maxwin)(?![\p{L}\p{N}])", needs(({E + b"wd" + E, b"maxwin"},))),
        (r"\bwd\b", needs(({E + b"wd" + E},))),
        (r"\b(?:தம்|wd)", needs(({E + b"wd", "தம்".encode()},))),
        (r"(?<![a-f])wd", needs(({b"wd"},))),
        (r"rm\s?\d", needs(({b"rm" + D, b"rm " + D},))),
        ("[預预][測测]", needs(({c.encode() for c in ("預測", "預测", "预測", "预测")},))),
        (r"ab{2,3}c", needs(({b"abb"}, {b"bbc"}))),
        (r"(?:foo|x)+ bar", needs(({b"foo bar", b"x bar"},))),
        ("colou?r", needs(({b"color", b"colour"},))),
        (r"@[a-z]", needs(({b"@"},))),
        (r"[a-z]{3,}\d{2,4}", needs(({D + D},))),
        ("a.*z", None),
        ("(?:gacor|[a-z]+)", None),
        (" [a-z] ", None),
    ],
)  # fmt: skip
def test_what_every_match_holds(
    expression: str, expected: Needs | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strings that are certain, however common they are, or none where nothing is."""
    monkeypatch.setattr("pipeline.factors.MOST_COMMON", 1e9)
    found = requirements(prefilter(expression))

    assert expected == (None if found is None else {frozenset(a) for a in found})


def test_the_rarest_clause_comes_first() -> None:
    """What is looked for in every text is the clause that ordinary talk holds least."""
    [alternative] = requirements(prefilter("makan .{0,9}rebat")) or ()

    assert (frozenset({b"rebat"}), frozenset({b"makan "})) == alternative
    assert frequency(alternative[0]) < frequency(alternative[1])


def test_what_is_everywhere_tells_nothing() -> None:
    """Strings that most messages hold are no requirement; then the expression itself is looked for."""
    assert requirements(prefilter("(?:an|en|in|on)")) is None


def test_the_database_finds_what_hyperscan_misses() -> None:
    """The missed expression is found through its strings."""
    database = PatternDatabase([Pattern("told", MISSED)])

    hits = database.scan([fold(TEXT)])

    assert [(22, 29)] == [(match.start, match.end) for _, match in hits[0].matches]


def test_no_match_is_without_what_it_requires() -> None:
    """Whatever the expression, the database finds every text in which it matches."""
    checked = 0

    @settings(max_examples=800)
    @given(samples(), st.text("ab0 .-中", max_size=4), st.text("ab0 .-中", max_size=4))
    def check(sample: Sample, before: str, after: str) -> None:
        nonlocal checked
        expression, text = sample[0], before + sample[1] + after
        assume(fold(text).text == text)
        assume(regex.search(expression, "") is None)
        assume(regex.search(expression, text, timeout=1) is not None)
        try:
            required = requirements(prefilter(expression))
        except UnsupportedError:
            return
        checked += required is not None

        assert PatternDatabase([Pattern("p", expression)]).scan([fold(text)])

    check()

    assert checked > 50
