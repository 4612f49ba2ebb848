"""Phone numbers in a text: in digits, in words, or in both.

People write `012-345 6789`, `+60 (0)12 345 6789`, `0️⃣1️⃣2️⃣...`, "kosong satu dua ...", `0壹2叁...`. What is
somebody's number is decided by `phonenumbers`, the numbering plans that Google keeps; one that begins with a
nought is taken for a Malaysian or an Indonesian one.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import phonenumbers
import regex

from detectors.folding import fold

_DIGIT_WORDS: Final = {
    word: str(digit)
    for digit, words in enumerate(
        (
            "kosong nol sifar zero oh 零 〇 ○ பூஜ்யம் பூஜ்ஜியம் பூச்சியம் சுழியம்",
            "satu one 一 壹 幺 ஒன்று",
            "dua two 二 贰 貳 இரண்டு",
            "tiga three 三 叁 參 மூன்று",
            "empat four 四 肆 நான்கு",
            "lima five 五 伍 ஐந்து",
            "enam six 六 陆 陸 ஆறு",
            "tujuh seven 七 柒 ஏழு",
            "lapan delapan eight 八 捌 எட்டு",
            "sembilan nine 九 玖 ஒன்பது",
        )
    )
    for word in fold(words).text.split()
}
_TIMES: Final = {"double": 2, "dobel": 2, "triple": 3}
_LATIN: Final = "|".join(word for word in _DIGIT_WORDS if word.isascii())
_TAMIL: Final = "|".join(w for w in sorted(_DIGIT_WORDS, reverse=True) if "\u0b80" <= w < "\u0c00")
_HAN: Final = "".join(word for word in _DIGIT_WORDS if len(word) == 1)
_DIGIT: Final = regex.compile(
    rf"(?:(?<![a-z])(?P<times>{'|'.join(_TIMES)})\ )?"
    rf"(?P<digit>[0-9{_HAN}]|o(?=[ .-]?[0-9])(?<=[0-9][ .-]?o|(?<![a-z0-9])o)"
    rf"|(?<![a-z])(?:{_LATIN})(?![a-z])|(?<![\u0b80-\u0bff])(?:{_TAMIL})(?![\u0b80-\u0bff]))"
)
_SEPARATORS: Final = r"[ \-\u2013._*/|~()]{0,3}"
_RUN: Final = regex.compile(
    rf"(?<![a-z0-9])(?<![0-9][.,/-])(?P<plus>\(?\+\ ?)?"
    rf"{_DIGIT.pattern}(?:{_SEPARATORS}{_DIGIT.pattern}){{7,39}}+(?![a-z0-9])(?!,\d)"
)
_DIGITS: Final = re.compile(
    rf"[0-9](?:(?:[^a-z0-9]{{0,3}}[0-9o]){{5}}| ?(?:{'|'.join(_DIGIT_WORDS)}))"
)
_NOUGHTS: Final = re.compile(
    "|".join(
        rf"\b{word}\b" if word.isascii() else word
        for word, digit in _DIGIT_WORDS.items()
        if digit == "0"
    )
)
_HAN_DIGITS: Final = re.compile("[幺一]" + f"[{_HAN}]{{6}}")
_NO_NUMBER: Final = regex.compile(
    r"\d{1,2}([-./])\d{1,2}\1(?:(?:19|20)\d\d|\d\d)(?!\d)|0\.\d|\d{1,2}\.\d{1,2}[.-]"
)
"""What dates and versions begin with."""
_CALL: Final = regex.compile(
    r"(?:电话|電話|手机|手機|微信|致电|热线|熱線|联系|聯繫|加v|call|tel|telp|phone|mobile|whats ?app|wasap"
    r"|ws|wa|sms|hp|hub|hubungi|wechat|line|"
    + fold("அழைக்க|தொலைபேசி|வாட்ஸ்அப்").text
    + r")\b[^\n]{0,12}\Z"
)
_OTHER: Final = regex.compile(
    r"(?:\b(?:rek|rekening|norek|acc|acct|akaun|account|a/c|bank|bca|bri|bni|mandiri|maybank|cimb|rhb|ic|nric|nik|npwp"
    r"|order|resi|tracking|invoice|ref|otp|tac|pin|id)|订单|訂單|账号|帳號|身份证|單號|单号|卡号)\b[^\n]{0,10}\Z"
)
"""Words before a number that is an account's, a card's or an order's."""
_AREA_CODE: Final = regex.compile(r"0\d{1,2}[ )-]{1,2}\d[\d -]{5,9}(?![\d._/])")
"""How land lines are written; what only might be one is an amount or a part number more often."""
_REACH: Final = 24
_FEWEST: Final = 8
_MOST: Final = 15
_NATIONAL: Final = ("MY", "ID")
"""Where a number that begins with a nought is dialled: the first plan that knows it wins."""
_MOBILE: Final = frozenset(
    {phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE}
)
_CODES: Final = ("60", "62")
"""Country codes that are recognised without a plus sign."""
_ASKED_CODES: Final = ("65", "86", "91", "44")
"""Likewise, where a word before says that it is a phone number."""


def find_numbers(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the phone numbers in folded text: in E.164, with where each starts and ends.

    Raises:
        TimeoutError: if a hostile text takes longer than a second.
    """
    if not (_DIGITS.search(text) or _NOUGHTS.search(text) or _HAN_DIGITS.search(text)):
        return
    for run in _RUN.finditer(text, timeout=1.0):
        yield from _numbers(text, run)


@lru_cache(maxsize=4096)
def dialled(digits: str) -> str | None:
    """Return digits that begin with a country code in E.164, or `None` if no plan could hold them."""
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _numbers(text: str, run: "regex.Match[str]") -> Iterator[tuple[str, int, int]]:
    """Yield the numbers in a run of digits: one, or several with separators between."""
    tokens = [
        (_DIGIT_WORDS.get(m["digit"], "0" if m["digit"] == "o" else m["digit"])
         * _TIMES.get(m["times"] or "", 1), m.start(), m.end())
        for m in _DIGIT.finditer(text, *run.span())
    ]  # fmt: skip
    at = 0
    while at < len(tokens):
        found = _longest(text, run, tokens, at)
        if found is None:
            at += 1
            while at < len(tokens) and tokens[at - 1][2] == tokens[at][1]:
                at += 1
            continue
        value, count = found
        start = run.start() if at == 0 else tokens[at][1]
        yield value, start, tokens[at + count - 1][2]
        at += count


def _longest(
    text: str, run: "regex.Match[str]", tokens: list[tuple[str, int, int]], at: int
) -> tuple[str, int] | None:
    """Return the longest number that begins at a token, and of how many tokens it is."""
    start = tokens[at][1]
    before = text[max(0, run.start() - _REACH) : run.start()] if at == 0 else ""
    has_plus = at == 0 and run["plus"] is not None
    if _NO_NUMBER.match(text, start):
        return None
    for count in range(min(_MOST, len(tokens) - at), _FEWEST - 3, -1):
        last = at + count - 1
        if last + 1 < len(tokens) and tokens[last][2] == tokens[last + 1][1]:
            continue
        digits = "".join(token[0] for token in tokens[at : last + 1])
        is_apart = bool(_AREA_CODE.match(text, start))
        value = _valid(digits, has_plus=has_plus, is_apart=is_apart, before=before)
        if value:
            return value, count
    return None


def _valid(digits: str, *, has_plus: bool, is_apart: bool, before: str) -> str | None:
    """Return digits in E.164 if they are somebody's number and not an account's or a card's."""
    if not _FEWEST <= len(digits) <= _MOST:
        return None
    if has_plus:
        return _known(_without_trunk(digits), "", mobile=False)
    if _OTHER.search(before):
        return None
    tries: list[tuple[str, str, bool]] = []
    if digits.startswith("0"):
        tries = [(digits, region, not is_apart) for region in _NATIONAL]
    elif digits.startswith(_CODES):
        tries = [(_without_trunk(digits), "", True)]
    elif _CALL.search(before):
        tries = [(digits, "", True)] if digits.startswith(_ASKED_CODES) else []
        tries += [("86" + digits, "", True)] if digits.startswith("1") else []
    values = (_known(number, region, mobile=mobile) for number, region, mobile in tries)
    return next(filter(None, values), None)


def _without_trunk(digits: str) -> str:
    """Drop the nought that some leave in after the country code: `+60 (0)12`."""
    code = digits[:2]
    is_left_in = code in (*_CODES, *_ASKED_CODES) and digits[2:3] == "0"
    return code + digits[3:] if is_left_in else digits


@lru_cache(maxsize=4096)
def _known(digits: str, region: str, *, mobile: bool) -> str | None:
    """Return a number in E.164 if its plan says that it is given out; without a region it has its code."""
    try:
        number = phonenumbers.parse(digits if region else "+" + digits, region or None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    if mobile and phonenumbers.number_type(number) not in _MOBILE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
