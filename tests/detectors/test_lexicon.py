"""Lexicons: every way a file is refused, with its line; how terms add up."""

from datetime import UTC, datetime

import pytest

from detectors.contract import Candidate, Match
from detectors.folding import fold
from detectors.lexicon import Lexicon, span, total
from schemas import Actor, Audience, Event, Evidence
from schemas.document import Document, DocumentError

TERM = """[[terms]]
id = "x.en.one"
label = "bullying.harassment"
group = "bonus"
weight = 0.3
language = "en"
any = ["free credit"]
fires = ["get FREE  credit now"]
silent = ["free credits"]
"""


def _lexicon(*sources: str) -> Lexicon:
    lexicon = Lexicon(Document(source, f"lexicon{n}.toml") for n, source in enumerate(sources))
    lexicon.check()
    return lexicon


def _candidate(lexicon: Lexicon, text: str) -> Candidate:
    event = Event(
        id="e1",
        platform="test",
        kind="message",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        text=text,
        actor=Actor(id="a"),
        audience=Audience(kind="public"),
    )
    folded = fold(text)
    matches = []
    for term in lexicon.terms.values():
        start = folded.text.find(term.any[0])
        if start >= 0:
            matches.append(Match(term.pattern, start, start + len(term.any[0])))
    matches.sort(key=lambda match: match.start)
    return Candidate(event, folded, tuple(matches))


def test_a_sound_lexicon_loads() -> None:
    """A term that passes its own examples becomes one pattern with its id."""
    assert [p.id for p in _lexicon(TERM).patterns(lambda _: True)] == ["x.en.one"]


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("[[terms]]", "[[terms", 1, "not TOML"),
        ('group = "bonus"', 'groop = "bonus"', 4, "unknown key `groop`"),
        ('group = "bonus"\n', "", 1, "missing key `group`"),
        ("weight = 0.3", "weight = 1.5", 5, "expected"),
        ("weight = 0.3", 'weight = "much"', 5, "expected `float`"),
        ('"x.en.one"', '"X One"', 2, "regex"),
        ('language = "en"', 'language = "English"', 6, "regex"),
        ('group = "bonus"', 'group = "Bonus!"', 4, "regex"),
        ('fires = ["get FREE  credit now"]', "fires = []", 8, "length"),
        ('silent = ["free credits"]', "silent = []", 9, "length"),
        ('any = ["free credit"]\n', "", 2, "needs either `any` or `expression`"),
        ('any = ["free credit"]', 'any = ["free credit"]\nexpression = "x"', 2, "not both"),
        ('any = ["free credit"]', 'any = [\n  "free credit",\n  "\\u200b",\n]', 9, "nothing left"),
        ('any = ["free credit"]', "expression = 'free (credit'", 7, "not a regular expression"),
        ('any = ["free credit"]', "expression = '(?:free)?'", 7, "matches the empty text"),
        ('fires = ["get FREE  credit now"]', 'fires = ["free credit", "no"]', 8, "does not fire"),
        ('silent = ["free credits"]', 'silent = ["a free credit"]', 9, "fires on its own counter"),
    ],
)
def test_an_unsound_term_is_refused_at_its_line(
    old: str, new: str, line: int, problem: str
) -> None:
    """Each defect names the file, the line and what is wrong."""
    assert TERM.count(old) == 1

    with pytest.raises(DocumentError) as refused:
        _lexicon(TERM.replace(old, new))

    assert (refused.value.file, refused.value.line) == ("lexicon0.toml", line)
    assert problem in refused.value.problem


def test_a_term_declared_twice_is_refused_across_files() -> None:
    """Ids are unique over all files of a family; the second declaration is the one named."""
    with pytest.raises(DocumentError, match="declared twice") as refused:
        _lexicon(TERM, TERM)

    assert (refused.value.file, refused.value.line) == ("lexicon1.toml", 2)


def test_a_changed_example_has_to_be_proved_anew() -> None:
    """Whatever `check` looks at is part of what stands for it, and nothing else is."""
    lexicons = [
        TERM,
        TERM,
        TERM.replace("free credits", "free credite"),
        TERM.replace("FREE", "free"),
    ]

    assert 3 == len({_lexicon(source).proof for source in lexicons})


def test_a_family_without_a_file_is_refused() -> None:
    """A misspelt family is an error, not an empty lexicon."""
    with pytest.raises(DocumentError, match="no such lexicon"):
        Lexicon.shipped("no_such_family")


def test_of_a_group_only_the_heaviest_term_counts() -> None:
    """Ten synonyms weigh no more than the heaviest of them; other groups add to it."""
    light = (
        TERM.replace("x.en.one", "x.en.light")
        .replace("0.3", "0.1")
        .replace("free credit", "bonus cash")
    )
    light = light.replace("get FREE  credit now", "bonus cash").replace("bonus cashs", "bonus")
    other = (
        TERM.replace("x.en.one", "x.en.other")
        .replace('"bonus"', '"call"')
        .replace("free credit", "join us")
    )
    other = other.replace("get FREE  credit now", "join us").replace("join uss", "join")
    lexicon = _lexicon(TERM, light, other)
    weighed = [
        lexicon.weigh(_candidate(lexicon, text), "bullying.harassment")
        for text in ("bonus cash, free credit, join us", "free credit, bonus cash, join us")
    ]

    assert [[e.term for e in evidence] for evidence in weighed] == [["x.en.one", "x.en.other"]] * 2
    assert lexicon.weigh(_candidate(lexicon, "free credit"), "fraud.phishing") == ()


def test_a_total_is_cut_to_its_range() -> None:
    """Weights add up to four decimals and never leave 0..1."""
    sums = [
        total([Evidence("a", 0.1), Evidence("b", 0.2)]),
        total([Evidence("a", 0.8), Evidence("b", 0.9)]),
        total([Evidence("a", -0.5)]),
        total([]),
    ]

    assert sums == [0.3, 1.0, 0.0, 0.0]


def test_a_span_covers_what_has_a_place() -> None:
    """Evidence without a place in the text does not widen the span."""
    placed = [Evidence("a", 0.1, 9, 12), Evidence("b", 0.1, 3, 5), Evidence("age", 0.1)]

    assert span(placed) == (3, 12)
    assert span([Evidence("age", 0.1)]) == (0, 0)


def test_a_blank_in_an_expression_is_any_run_of_blanks() -> None:
    """Two blanks where one is usual hide nothing; blanks inside a class stay as they are."""
    term = """
[[terms]]
id = "x.y"
label = "custom.x"
group = "g"
weight = 0.5
language = "en"
expression = 'send (?:the )?code ?now[ -]please'
fires = ["send  the   code  now-please", "send codenow please"]
silent = ["send the code now  please"]
"""

    assert {"x.y"} == set(_lexicon(term).terms)
