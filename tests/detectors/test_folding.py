"""Folding: what a reader sees, mapped back to what was typed."""

import time

import hypothesis.strategies as st
import pytest
import regex
from hypothesis import example, given, settings

from detectors.folding import DISGUISES, fold, fold_batch

ANY_TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from("abm4x1@$! .-²\u0301\u0336\u200b\u200d\u202e\x00\ud800𝐌ⓜаᴍ🇲🇾🇽வோ你"),
    ),
    max_size=60,
)


@given(ANY_TEXT)
@example("a a a \U000116d0")
@settings(max_examples=400, deadline=None)
def test_folding_twice_changes_nothing(text: str) -> None:
    """Folding is idempotent."""
    once = fold(text).text

    assert once == fold(once).text


@given(ANY_TEXT, st.data())
@settings(max_examples=400, deadline=None)
def test_spans_lie_inside_the_original(text: str, data: st.DataObject) -> None:
    """Every span of either view maps to a span of the original, and none is turned around."""
    folded = fold(text)
    views = [(folded.text, folded.span)]
    if folded.squeezed is not None:
        views.append((folded.squeezed, folded.squeezed_span))
    for view, to_original in views:
        start = data.draw(st.integers(0, len(view)))
        end = data.draw(st.integers(start, len(view)))
        first, last = to_original(start, end)

        assert 0 <= first <= last <= len(text)
        assert (first < last) is (start < end)


@given(ANY_TEXT)
@settings(max_examples=400, deadline=None)
def test_obfuscation_is_a_share(text: str) -> None:
    """Obfuscation stays within 0..1, whatever the text."""
    assert 0.0 <= fold(text).obfuscation <= 1.0


@given(ANY_TEXT)
@example("🇲🇦🇽")
@example("🇲 🇦 🇽 🇼")
@example("m.a.x.w.i.n")
@example("m4xw1n")
@settings(max_examples=400, deadline=None)
def test_a_text_with_a_squeezed_view_is_hit_by_a_disguise(text: str) -> None:
    """The pattern database finds every text with a squeezed view through `DISGUISES`."""
    folded = fold(text)
    is_hit = any(regex.search(expression, folded.text) for expression in DISGUISES)

    assert is_hit or folded.squeezed is None


@pytest.mark.parametrize(
    "text",
    [
        "𝐌𝐀𝐗𝐖𝐈𝐍",
        "ⓜⓐⓧⓦⓘⓝ",
        "🅼🅰🆇🆆🅸🅽",
        "⒨⒜⒳⒲⒤⒩",
        "ᴍᴀxᴡɪɴ",
        "ＭＡＸＷＩＮ",
        "mаxwin",
        "m̷a̷x̷w̷i̷n̷",
        "m\u200ba\u200bx\u200bw\u200bi\u200bn",
    ],
)
def test_styled_letters_read_as_plain_ones(text: str) -> None:
    """Styled, enclosed, look-alike and marked letters fold to the letters they stand for."""
    assert fold(text).text == "maxwin"


@pytest.mark.parametrize(
    "text", ["m a x w i n", "m.a.x.w.i.n", "m-a-x-w-i-n", "m4xw1n", "🇲🇦🇽🇼🇮🇳", "🇲 🇦 🇽 🇼 🇮 🇳"]
)
def test_letters_pulled_apart_are_joined(text: str) -> None:
    """The squeezed view undoes spacing, digits inside words and letter emoji."""
    assert fold(text).squeezed == "maxwin"


@pytest.mark.parametrize(
    ("text", "squeezed"),
    [
        ("m4xw1n77!", "maxwin77!"),
        ("@m4xw1n", "@maxwin"),
        ("$l0ts", "slots"),
        ("77m4xwin", "77maxwin"),
    ],
)
def test_only_what_stands_between_letters_is_read_as_one(text: str, squeezed: str) -> None:
    """Digits and signs before the first and after the last letter keep their meaning."""
    assert fold(text).squeezed == squeezed


def test_letters_of_other_alphabets_are_joined() -> None:
    """Cyrillic letters that look like no Latin one are joined too when pulled apart."""
    assert fold("д ж ш ю").squeezed == "джшю"


def test_every_character_folds_once_and_for_all() -> None:
    """Folding the fold of any single code point changes nothing."""
    every = "".join(map(chr, range(0x110000)))
    once = fold(every).text

    assert len(once) > 1_000_000
    assert once == fold(once).text


def test_a_wider_gap_stands_between_words() -> None:
    """Among letters pulled apart, the longer gap is the blank between words."""
    assert fold("m a x  w i n").squeezed == "max win"


def test_both_ways_of_typing_tamil_are_one() -> None:
    """A composed vowel sign and its two parts fold alike."""
    assert fold("\u0baa\u0bcb").text == fold("\u0baa\u0bc7\u0bbe").text


@pytest.mark.parametrize("text", ["தமிழ் மழை", "你好臺灣", "مرحبا بكم", "สวัสดีครับ", "😀🎉", "🇲🇾🇮🇩"])
def test_other_scripts_and_emoji_stay(text: str) -> None:
    """Tamil, Chinese, Arabic, Thai, emoji and flags lose nothing and have no squeezed view."""
    folded = fold(text)

    assert folded.text == text
    assert folded.squeezed is None
    assert folded.obfuscation == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "anak² sekolah",
        "1ˢᵗ",
        "🇲🇾",
        "🇲🇾🇮🇩🇸🇬",
        "café naïve",
        "cafe\u0301 Nguyễn".encode().decode(),
        "ａｂｃｄ",
        "привет мир",
        "Ελλάδα",
        "① ② ③ ④",
        "ℹ️ 🅰️ 🅱️",
        "1 2 3 4 5",
        "hello\u200b world",
        "👨\u200d👩\u200d👧 ok ❤️",
        "க ங ச ஞ ட",
        "あ い う え お",
    ],
)
def test_ordinary_writing_is_no_obfuscation(text: str) -> None:
    """Superscripts, flags, accents, full width, other scripts, lists and numbers count as 0."""
    assert fold(text).obfuscation == 0.0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("𝐌𝐀𝐗𝐖𝐈𝐍", 1.0),
        ("ⓜⓐⓧⓦⓘⓝ", 1.0),
        ("mаxwin", 0.1667),
        ("m̷a̷x̷w̷i̷n̷", 1.0),
        ("hello x" + "\u0336" * 50, 0.1667),
        ("m a x w i n", 1.0),
        ("🇲🇦🇽🇼🇮🇳", 1.0),
    ],
)
def test_disguise_is_counted_by_letters(text: str, share: float) -> None:
    """Each disguised letter counts once, however many marks are stacked on it."""
    assert fold(text).obfuscation == share


def test_nothing_breaks_folding() -> None:
    """Lone surrogates vanish, NUL becomes a blank, a right-to-left override vanishes."""
    assert [f.text for f in fold_batch(["\ud800abc", "a\x00b", "\u202eabc", ""])] == [
        "abc",
        "a b",
        "abc",
        "",
    ]


def test_a_mark_belongs_to_the_span_of_its_letter() -> None:
    """A span that ends on a letter covers the marks that were removed behind it."""
    folded = fold("xm̷y")

    assert folded.span(1, 2) == (1, 3)


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301" * 10_000,
        "ம" + "\u0301" * 10_000,
        "m̷" * 10_000,
        "@" * 20_000 + " m4xw1n",
        "a " * 10_000,
        "1a" * 10_000,
    ],
    ids=["marks", "tamil-marks", "struck", "signs", "spaced", "mixed"],
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    """Ten thousand marks, signs or gaps fold within half a second, all views included."""
    began = time.perf_counter()
    folded = fold(text)
    _ = folded.squeezed, folded.obfuscation, folded.span(0, len(folded.text))
    seconds = time.perf_counter() - began

    assert seconds < 0.5
