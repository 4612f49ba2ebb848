"""Signs of a link: what every text with a link holds, so that the other texts are left quickly."""

import re
from typing import Final

from detectors.hosts import TOP_LEVEL
from detectors.link_spellings import DOT_WORDS, DOTLESS, SHORT_LINKS, STRICT, is_plain

_LONG: Final = 6
"""Suffixes of so many letters are looked for by their first two, which keeps the list of strings short."""
_OFTEN: Final = frozenset("co ex ke me te".split())
"""What stands after many a dot (`.com`, `.example`, `.test`), so that two letters tell too little."""
_STARTS: Final = sorted({suffix[:2] for suffix in TOP_LEVEL if len(suffix) >= _LONG} - _OFTEN)
_ENDS: Final = sorted(s for s in TOP_LEVEL if s[:2] not in _STARTS)
_WHOLE: Final = "|".join(
    # Some at a time: a list of more than 256 strings is not looked for as strings.
    rf"\.(?:{'|'.join(_ENDS[at : at + 200])})(?![a-z0-9])"
    for at in range(0, len(_ENDS), 200)
)
_SURE: Final = "|".join(sorted(STRICT))
_LIKELY: Final = "net|org|info|vip|cc|cn|co"
_SHORT_ENDS: Final = "|".join(sorted({name.rpartition(".")[2] for name in SHORT_LINKS}))
_SHORT_NAMES: Final = "|".join(sorted(name.replace(".", " ") for name in DOTLESS))
_DOT: Final = "|".join(DOT_WORDS)
HINT: Final = (
    r"http|hxxp|h\*\*p|h__p|www[ ,]|ftp:"
    rf"|\.(?:xn--|{'|'.join(_STARTS)})|{_WHOLE}"
    rf"|(?:{_SURE})(?![a-z0-9])"
    rf"|[\[({{] ?(?:\.|{_DOT})|\[:"
    r"|&#46;|&#x2e;|&period;|%2e|%3a%2f"
    rf"|(?:{_DOT}) (?:{_LIKELY}|{_SHORT_ENDS})(?![a-z0-9])"
    rf"|[。点點·•](?:{_LIKELY})(?![a-z0-9])"
    rf"| \. (?:{_LIKELY})(?![a-z0-9])|\. (?:{_SHORT_ENDS}) ?/|\.(?:{_SHORT_ENDS}) /"
    rf"|(?:{_SHORT_NAMES}) ?/"
    r"|\. ?(?:c o m|n e t|o r g|x y z|v i p)(?![a-z0-9])"
    r"|\.\d(?:/|:)|\.\d\d(?:/|:)|\.\d\d\d(?:/|:)"
)
"""An expression that is in every text with a link, and in few others.

It is made of alternatives that are plain strings, few enough for them all to be looked for as such.
"""

_WRITTEN_PLAINLY: Final = re.compile(r"\.[^\W_]")


def has_sign(text: str) -> bool:
    """Tell quickly whether folded text may hold a link; most texts do not."""
    if "." in text and _WRITTEN_PLAINLY.search(text):
        return True
    return "://" in text or not is_plain(text)
