"""Factors are in every match, and find what Hyperscan's composed expressions miss."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from detectors.contract import Pattern
from detectors.folding import fold
from pipeline.database import PatternDatabase
from pipeline.factors import factors
from pipeline.prefilter import UnsupportedError, prefilter

MISSED = r"(?:he|this (?:guy|man|person)|my (?:coach|uncle|ex)) (?:then |always )?(?:told|said)"
TEXT = " when i get back like he told me to"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("maxwin", {b"maxwin"}),
        ("free kredit|kredit free", {b"free kredit", b"kredit free"}),
        (r"free\s+kredit", {b"kredit"}),
        (r"(?:pola|jam) +(?:hoki|gacor)", {b" hoki", b" gacor"}),
        ("[預预][測测]", {"預測".encode(), "預测".encode(), "预測".encode(), "预测".encode()}),
        (r"\bab{2,3}c\b", {b"ab"}),
        (r"(?:foo|x)+ bar", {b"foo bar", b"x bar"}),
        ("colou?r", {b"color", b"colour"}),
        (r"[a-z]{3,}\d{2,4}", None),
        ("a.*z", None),
        ("(?:gacor|[a-z]+)", None),
    ],
)
def test_the_strings_every_match_holds(expression: str, expected: set[bytes] | None) -> None:
    """The longest strings that are certain, or none where nothing is."""
    found = factors(prefilter(expression))

    assert expected == (None if found is None else set(found))


def test_the_database_finds_what_hyperscan_misses() -> None:
    """The missed expression is found through its strings."""
    database = PatternDatabase([Pattern("told", MISSED)])

    hits = database.scan([fold(TEXT)])

    assert [(22, 29)] == [(match.start, match.end) for _, match in hits[0].matches]


ATOMS = st.sampled_from(["ab", "c", "d ", "[ab]", "[^a]", ".", "é", "[預预]", r"\d", r"\w", " "])


def _composed(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(children, min_size=1, max_size=4).map("".join),
        st.lists(children, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(children, st.sampled_from(["?", "+", "*", "{2}", "{0,2}", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    )


@given(
    st.recursive(ATOMS, _composed, max_leaves=8),
    st.text(alphabet="abcd é預预0x", max_size=14),
)
def test_no_match_is_without_one_of_its_strings(expression: str, text: str) -> None:
    """Whatever the expression, a text in which it matches holds one of the strings."""
    try:
        found = factors(prefilter(expression))
    except UnsupportedError:
        return
    match = regex.search(expression, text)

    if match is not None and found is not None:
        assert any(string in match[0].encode() for string in found)
