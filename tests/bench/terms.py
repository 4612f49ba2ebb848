"""Terms: as many invented ones as a measurement wants, the same every time."""

from random import Random
from typing import Final

# Spread over what is harmful and what is not.
_FOUND: Final = (
    "bonus",
    "deposit",
    "maxwin",
    "akaun",
    "rahsia",
    "jangan bagitau",
    "klik",
    "hadiah",
    "password",
    "transfer",
)
_SYLLABLES: Final = tuple(
    consonant + vowel + end
    for consonant in "bcdghjklmnprstwy"
    for vowel in "aeiou"
    for end in ("", "", "n", "r", "k")
)
# Shorter ones would now and then be a word of the corpus.
_SHORTEST_TERM: Final = 8


def terms(count: int) -> list[str]:
    """Return expressions for so many terms of one to three invented words, after ten that the corpus has.

    The ten keep the share of messages that are hit the same however many terms there are.
    """
    random = Random(count)  # noqa: S311  # it must repeat
    found = dict.fromkeys(rf"\b{term}\b" for term in _FOUND[:count])
    while len(found) < count:
        words = random.choice((1, 2, 2, 3))
        term = " ".join(
            "".join(random.choices(_SYLLABLES, k=random.randint(2, 4))) for _ in range(words)
        )
        if len(term) >= _SHORTEST_TERM:
            found[rf"\b{term}\b"] = None
    return list(found)
