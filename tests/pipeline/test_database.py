"""The pattern database: every hit in its own text, bounded, and as fast to load as it can be."""

from pathlib import Path

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from detectors.contract import Pattern
from detectors.expressions import compiled
from detectors.folding import DISGUISES, fold
from pipeline.automaton import PatternError
from pipeline.database import MATCHES_PER_PATTERN, Hits, PatternDatabase

SLOW = "(?:a|a)+(?!b)b"
"""Tries every way to split a row of `a`; the prefilter cannot see that it never matches."""


def database(*expressions: str, cache: Path | None = None) -> PatternDatabase:
    """Compile expressions, named p0, p1, ..."""
    return PatternDatabase([Pattern(f"p{n}", e) for n, e in enumerate(expressions)], cache)


def ids(hits: dict[int, Hits]) -> dict[int, list[str]]:
    """Reduce hits to the ids of the patterns that matched."""
    return {p: [m.pattern.id for _, m in found.matches] for p, found in hits.items()}


@pytest.mark.parametrize(
    "expression",
    [r"foo\s+bar", "foo[^x]bar", r"foo\Wbar", r"foo(?s:.)bar", r"f(o)\1\sbar", "foo.?bar"],
)
def test_no_match_runs_from_one_text_into_the_next(expression: str) -> None:
    """White space and negated classes do not join two messages of a batch; within one they match."""
    patterns = database(expression)

    assert {} == patterns.scan(
        [fold("so foo"), fold("bar it is"), fold(""), fold("foo"), fold("bar")]
    )
    assert {1: ["p0"]} == ids(patterns.scan([fold("foo"), fold("foo bar"), fold("bar")]))


def test_a_hit_belongs_to_the_text_it_is_in() -> None:
    """At the start, the end and alone, beside empty and multi-byte texts, positions are right."""
    texts = ["foo", "", "கா foo", "foo 中文", "", "中", "xfoo", "foo"]

    hits = database("foo").scan([fold(text) for text in texts])

    expected = {p: (t.index("foo"), t.index("foo") + 3) for p, t in enumerate(texts) if "foo" in t}
    assert expected == {p: (h.matches[0][1].start, h.matches[0][1].end) for p, h in hits.items()}


def test_an_empty_batch_has_no_hits() -> None:
    """Nor does one of empty texts."""
    assert {} == database("foo").scan([])
    assert {} == database("foo", r"(a)\1").scan([fold(""), fold("")])


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("go to m a x w i n now", "m a x w i n"),
        ("go to m4xw1n now", "m4xw1n"),
        ("中文 𝐦.𝐚.𝐱.𝐰.𝐢.𝐧 now", "𝐦.𝐚.𝐱.𝐰.𝐢.𝐧"),
        ("hi 🇲🇦🇽🇼🇮🇳 now", "🇲🇦🇽🇼🇮🇳"),
    ],
)
def test_a_squeezed_match_spans_what_was_typed(text: str, typed: str) -> None:
    """A match in the squeezed view points at the letters as they stand in the original."""
    [(_, match)] = database(r"\bmaxwin\b").scan([fold(text)])[0].matches

    assert ("squeezed", typed) == (match.view, text[match.start : match.end])


def test_named_groups_travel_with_the_match() -> None:
    """Groups that took part are there as folded text, the others are not."""
    [(_, match)] = (
        database("(?P<who>[a-z]+) pays(?P<sum> rm5)?").scan([fold("ANNA pays")])[0].matches
    )

    assert {"who": "anna"} == match.groups


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is in a cache: by file name, which file it is and its content."""
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}


def test_compiled_patterns_are_used_again(tmp_path: Path) -> None:
    """The second start writes nothing and finds the same."""
    first = database("foo", "bar", cache=tmp_path)
    written = files(tmp_path)
    second = database("foo", "bar", cache=tmp_path)

    assert written
    assert written == files(tmp_path)
    assert first.digest == second.digest
    assert {0: ["p0", "p1"]} == ids(second.scan([fold("foo bar")]))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "foreign"])
def test_a_damaged_cache_is_compiled_anew(tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with the files, the patterns are found and the files are sound again."""
    database("foo", r"\d{3}", cache=tmp_path / "own")
    database("bar", r"\s{3}", cache=tmp_path / "other")
    sound = files(tmp_path / "own")
    foreign = min((tmp_path / "other").iterdir()).read_bytes()
    for name, (_, content) in sound.items():
        (tmp_path / "own" / name).write_bytes(
            {
                "truncated": content[: len(content) // 2],
                "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
                "empty": b"",
                "text": b"not a database",
                "foreign": foreign,
            }[damage]
        )

    again = database("foo", r"\d{3}", cache=tmp_path / "own")

    assert {0: ["p0", "p1"]} == ids(again.scan([fold("foo bar 123")]))
    assert {n: c for n, (_, c) in sound.items()} == {
        n: c for n, (_, c) in files(tmp_path / "own").items()
    }


def test_what_is_cached_is_not_compiled_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was refused is not in the cache; what is there was sound, and is compiled where it may match."""
    asked: list[str] = []

    def counted(expression: str) -> "regex.Pattern[str]":
        asked.append(expression)
        return compiled(expression)

    database("foo", r"ba+r", r"\bqux\b", cache=tmp_path)
    monkeypatch.setattr("pipeline.automaton.compiled", counted)
    monkeypatch.setattr("pipeline.database.compiled", counted)
    again = database("foo", r"ba+r", r"\bqux\b", cache=tmp_path)

    assert [] == asked
    assert [{0: ["p1"]}] * 2 == [ids(again.scan([fold("baar")])) for _ in range(2)]
    assert [r"ba+r"] == asked
    with pytest.raises(PatternError, match="`p1` is not a regular expression"):
        database("foo", "(", cache=tmp_path)


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    """A folder that cannot be made is no reason not to start."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    assert {0: ["p0"]} == ids(database("foo", cache=tmp_path / "file").scan([fold("foo")]))


def test_no_part_file_is_left_behind(tmp_path: Path) -> None:
    """The cache is written whole, then put in its place."""
    database("foo", cache=tmp_path / "new" / "folder")

    assert {".hsdb"} == {path.suffix for path in (tmp_path / "new" / "folder").iterdir()}


@pytest.mark.parametrize(
    ("one", "other"), [("foo", r"\bfoo"), (r"(?<!a)x", "x"), ("(?i)foo", "foo"), ("[க]", "[中]")]
)
def test_the_digest_stands_for_the_expressions(one: str, other: str) -> None:
    """Two expressions with the same wider form are still two."""
    assert database(one).digest != database(other).digest
    assert database(one).digest == database(one).digest


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("(foo", "is not a regular expression"),
        ("[z-a]", "is not a regular expression"),
        ("a*", "matches the empty text"),
        (r"\s*(?:b|)", "matches the empty text"),
        ("(?=)", "matches the empty text"),
        ("a{1,40000}", "cannot be compiled"),
    ],
)
def test_a_bad_expression_is_named(expression: str, problem: str) -> None:
    """The error holds the pattern's id and says what is wrong with it."""
    with pytest.raises(PatternError, match=f"^pattern `p1`.* {problem}"):
        database("foo", expression, "bar")


def test_an_expression_that_takes_too_long_is_reported() -> None:
    """Catastrophic backtracking ends after its time, named, and harms no other pattern or text."""
    texts = [fold("a" * 40 + "b"), fold("foo"), fold("foo " + "a" * 40 + "b")]

    hits = database("foo", SLOW).scan(texts)

    assert {0: (1,), 1: (), 2: (1,)} == {p: found.overruns for p, found in hits.items()}
    assert {0: [], 1: ["p0"], 2: ["p0"]} == ids(hits)


def test_an_overrun_in_both_views_is_one() -> None:
    """A disguised text is tried twice, and the pattern is named once."""
    slow = fold("m a x w i n " + "a" * 40 + "b")

    assert slow.squeezed
    assert (0,) == database(SLOW).scan([slow])[0].overruns


def test_repeats_of_one_pattern_are_bounded() -> None:
    """A text that repeats a word a thousand times yields a bounded number of matches, from the start."""
    [(_, hits)] = database("foo").scan([fold("foo " * 1000)]).items()

    assert MATCHES_PER_PATTERN == len(hits.matches)
    assert list(range(0, 4 * MATCHES_PER_PATTERN, 4)) == [m.start for _, m in hits.matches]


def test_matches_come_in_order_of_their_place() -> None:
    """By start, then end, then the order the patterns were declared in."""
    hits = database("bar", "foo", "foo bar", "foo").scan([fold("foo bar")])

    assert ["p1", "p3", "p2", "p0"] == [m.pattern.id for _, m in hits[0].matches]


DISGUISED = st.lists(
    st.one_of(
        st.text("abcxyz0134@$! .-_*|/·•+~,", max_size=12),
        st.text("🇦🇧🇨🇲🇾 ", max_size=8),
        st.text("аβ𝐦ａ中க ", max_size=6),
        st.text("abcd", min_size=4, max_size=8).map(" ".join),
        st.text("ab4$1z", min_size=4, max_size=8),
    ),
    max_size=4,
).map("".join)


def test_every_disguised_text_is_looked_at_twice() -> None:
    """Whatever has a squeezed view is found by `DISGUISES`, so that its view is scanned."""
    squeezed = 0

    @given(DISGUISED)
    def check(text: str) -> None:
        nonlocal squeezed
        folded = fold(text)
        view = folded.squeezed
        if view is None:
            return
        squeezed += 1
        assume(view.strip())

        assert any(regex.search(e, folded.text) for e in DISGUISES)
        assert database(regex.escape(view)).scan([folded])

    check()

    assert squeezed > 30
