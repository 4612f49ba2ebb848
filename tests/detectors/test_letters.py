"""Letters: a run has one hash wherever it stands, and no run is of two texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.folding import fold
from detectors.letters import Letters, hashes_of

TEXTS = st.lists(st.text(max_size=30).map(lambda text: fold(text).text), min_size=1, max_size=6)


def words(text: str) -> list[str]:
    """Return the words of one text, as letters see them."""
    letters = Letters([text])
    starts, ends = letters.words()
    return [spelled(letters, start, end) for start, end in zip(starts, ends, strict=True)]


def spelled(letters: Letters, start: int, end: int) -> str:
    """Return a run as a string."""
    return "".join(map(chr, letters.codes[start:end]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jangan bagitahu mak, ok?", ["jangan", "bagitahu", "mak", "ok"]),
        ("don't", ["don", "t"]),
        ("别告诉妈妈ok", ["别", "告", "诉", "妈", "妈", "ok"]),
        ("அம்மா கிட்ட", ["அம்மா", "கிட்ட"]),
        ("rm25 and 123456789", ["rm00", "and", "0000"]),
        ("see https://a.example/b?c=1 now", ["see", "now"]),
        ("😀 !! ", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_single_ideographs(text: str, expected: list[str]) -> None:
    """Digits are all the same, and a link is no word."""
    assert expected == words(fold(text).text)


def test_a_run_has_the_same_hash_in_any_text() -> None:
    """And another run has another."""
    seen = 0

    @given(TEXTS)
    def check(texts: list[str]) -> None:
        nonlocal seen
        letters = Letters(texts)
        starts, ends = letters.words()
        hashes = letters.hashes(starts, ends)
        spellings = [spelled(letters, s, e) for s, e in zip(starts, ends, strict=True)]
        seen += len(spellings)
        if spellings:
            assert list(hashes) == list(hashes_of(spellings))
        assert len(set(spellings)) == len(set(hashes.tolist()))

    check()

    assert seen > 100


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_runs_hold_blanks_at_their_ends_only(size: int) -> None:
    """A word with the blanks around it is cut into all its runs, and those of two texts never meet."""
    seen = 0

    @given(TEXTS)
    def check(texts: list[str]) -> None:
        nonlocal seen
        letters = Letters(texts)
        found = sorted(spelled(letters, at, at + size) for at in letters.runs(size))
        expected = []
        for number in range(letters.count):
            own = "".join(map(chr, letters.codes[letters.texts == number])).strip("\n")
            for at in range(len(own) - size + 1):
                run = own[at : at + size]
                if " " not in run[1:-1] and run.strip(" "):
                    expected.append(run)
        seen += len(expected)
        assert sorted(expected) == found

    check()

    assert seen > 50


def test_every_letter_belongs_to_its_text() -> None:
    """Also where texts are empty."""
    letters = Letters(["ab", "", "c"])
    own = [
        spelled(letters, *np.flatnonzero(letters.texts == n)[[0, -1]] + [0, 1]) for n in range(3)
    ]

    assert ["ab", "", "c"] == [text.strip() for text in own]
    assert 3 == letters.count
